"""Where results may go, asked before a run; and that they arrive whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import OUTPUT_SUFFIXES, check_output, output_suffix, written_atomically


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_every_known_format_passes_into_an_existing_folder(suffix: str, tmp_path: Path):
    check_output(tmp_path / f"Kopf 1{suffix}")
    assert output_suffix(tmp_path / f"a.b{suffix.upper()}") == suffix
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["result.jpg", "result", "result.nii.zip", "seg.gz"])
def test_an_unknown_format_is_refused(name: str, tmp_path: Path):
    with pytest.raises(OutputRejected, match=r"end in \.seg\.nrrd"):
        check_output(tmp_path / name)


def test_a_missing_folder_is_refused(tmp_path: Path):
    with pytest.raises(OutputRejected, match="does not exist"):
        check_output(tmp_path / "results" / "a.seg.nrrd")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root can write to")
def test_a_folder_that_takes_no_files_is_refused():
    with pytest.raises(OutputRejected, match="cannot be written to"):
        check_output(Path("/proc/a.seg.nrrd"))


def test_a_folder_in_place_of_the_file_is_refused_even_to_overwrite(tmp_path: Path):
    (tmp_path / "a.seg.nrrd").mkdir()
    with pytest.raises(OutputRejected, match="is a folder"):
        check_output(tmp_path / "a.seg.nrrd", overwrite=True)


def test_a_file_that_may_hold_corrections_is_replaced_only_when_told(tmp_path: Path):
    path = tmp_path / "a.seg.nrrd"
    path.write_text("corrected by hand")
    with pytest.raises(OutputRejected, match="--overwrite"):
        check_output(path)
    check_output(path, overwrite=True)
    assert path.read_text() == "corrected by hand"


def test_a_scene_is_refused_where_slicer_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "slicer", None)  # how Python notes that a package cannot be imported
    with pytest.raises(OutputRejected, match="slicer-core"):
        check_output(tmp_path / "a.mrb")


def write_and_stop(path: Path, stop: type[BaseException]) -> None:
    with written_atomically(path) as temporary:
        temporary.write_text("half of the n")
        raise stop


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_a_stopped_write_leaves_the_old_file_and_nothing_else(stop: type[BaseException], tmp_path: Path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(stop):
        write_and_stop(path, stop)
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "old"


def test_a_finished_write_replaces_the_old_file_at_once(tmp_path: Path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with written_atomically(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "new"


def test_what_the_operating_system_refuses_is_said(tmp_path: Path):
    missing = tmp_path / "gone" / "report.json"
    with pytest.raises(OutputRejected, match="could not be written"), written_atomically(missing):
        pass
