"""Where results may go, asked before a run; and that they arrive whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import (
    OUTPUT_SUFFIXES,
    check_inputs_are_kept,
    check_output,
    output_suffix,
    written_atomically,
)
from TransformerSegLib.export.report import check_report, write_report

from example_segmentation import AFFINES, example_segmentation


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


def test_an_unrelated_package_of_slicers_name_writes_no_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "slicer").mkdir()
    (tmp_path / "slicer" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slicer", raising=False)
    with pytest.raises(OutputRejected, match="slicer-core"):
        check_output(tmp_path / "a.mrb")


def test_a_result_never_takes_the_place_of_what_the_run_reads(tmp_path: Path):
    image, roi, folder = tmp_path / "T1.nii.gz", tmp_path / "roi.mrk.json", tmp_path / "dicom"
    image.write_text("patient")
    roi.write_text("{}")
    folder.mkdir()
    link = tmp_path / "link.nii.gz"
    link.symlink_to(image)
    read = [image, roi, folder, tmp_path / "missing.nii.gz"]
    for path in (image, roi, link, folder / ".." / "T1.nii.gz"):
        with pytest.raises(OutputRejected, match=r"T1\.nii\.gz|roi\.mrk\.json"):
            check_inputs_are_kept([tmp_path / "new.seg.nrrd", path], read)
    check_inputs_are_kept([folder / "new.seg.nrrd", tmp_path / "report.json"], read)


def test_two_results_never_take_each_others_place(tmp_path: Path):
    result, link = tmp_path / "a.nrrd", tmp_path / "report.json"
    result.write_text("old")
    link.symlink_to(result)
    with pytest.raises(OutputRejected, match="replaced"):
        check_inputs_are_kept([result, link], [])


def test_a_report_replaces_reports_only_unless_told(tmp_path: Path):
    path = tmp_path / "T1.json"
    path.write_text('{"RepetitionTime": 2.3}')
    with pytest.raises(OutputRejected, match="--overwrite"):
        check_report(path)
    check_report(path, overwrite=True)
    write_report(path, example_segmentation(AFFINES["oblique"]))
    assert "provenance" in json.loads(path.read_text(encoding="utf-8"))
    check_report(path)


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


def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(tmp_path: Path):
    (tmp_path / "archive").mkdir()
    target, link = tmp_path / "archive" / "1.nii.gz", tmp_path / "a.nii.gz"
    target.write_text("old")
    link.symlink_to(target)
    with written_atomically(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["1.nii.gz"]


def test_a_relative_path_is_written_to_by_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with written_atomically(Path("report.json")) as temporary:
        assert temporary.is_absolute()
        temporary.write_text("new")
    assert (tmp_path / "report.json").read_text() == "new"


def test_what_the_operating_system_refuses_is_said(tmp_path: Path):
    missing = tmp_path / "gone" / "report.json"
    with pytest.raises(OutputRejected, match="could not be written"), written_atomically(missing):
        pass


def test_a_path_that_is_no_text_is_refused(tmp_path: Path):
    with pytest.raises(OutputRejected, match="UTF-8"):
        check_output(tmp_path / os.fsdecode(b"bad\xff.seg.nrrd"))
