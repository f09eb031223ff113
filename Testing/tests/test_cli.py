"""The command, as it is run: on files, with its exit codes and what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from TransformerSegLib import cli
from TransformerSegLib.resources import resources_folder

from bundle_factory import write_bundle

SAMPLE = resources_folder() / "SampleData" / "hippocampus_297.nii.gz"
COMMAND = [sys.executable, "-m", "TransformerSegLib.cli"]


def run(arguments: list[object], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["transformerseg", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def save(path: Path, array: np.ndarray, spacing: tuple[float, ...] = (1.0, 1.0, 1.0), vector: bool = False) -> Path:
    image = SimpleITK.GetImageFromArray(array, isVector=vector)
    image.SetSpacing(spacing)
    SimpleITK.WriteImage(image, str(path))
    return path


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


def test_segment_writes_segments_and_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    output, report = tmp_path / "result.seg.nrrd", tmp_path / "report.json"
    assert run(["segment", SAMPLE, "--output", output, "--report", report, "--device", "cpu"], monkeypatch) == 0
    said = capsys.readouterr().out
    assert "Anterior hippocampus" in said
    assert "not for diagnosis" in said
    told = json.loads(report.read_text(encoding="utf-8"))
    volumes = {segment["name"]: segment["volume_ml"] for segment in told["segments"]}
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(output)))
    assert volumes["Anterior hippocampus"] == pytest.approx(np.count_nonzero(image == 1) / 1000)
    assert volumes["Posterior hippocampus"] == pytest.approx(np.count_nonzero(image == 2) / 1000)
    assert re.fullmatch("[0-9a-f]{64}", told["provenance"]["weights_sha256"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "result.seg.nrrd"]


def test_models_lists_and_shows_cards(monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(["models"], monkeypatch) == 0
    name = capsys.readouterr().out.split()[0]
    assert run(["models", name], monkeypatch) == 0
    card = capsys.readouterr().out
    for expected in ("Anterior hippocampus", "SCT", "Dice", "CC-BY-SA", "Limit: ", "not for diagnosis"):
        assert expected in card


def rgb(folder: Path) -> list[object]:
    return [save(folder / "rgb.nrrd", noise(8, 8, 8, 3).astype(np.uint8), vector=True)]


def not_finite(folder: Path) -> list[object]:
    array = noise(30, 40, 30)
    array[3, 4, 5] = np.nan
    return [save(folder / "nan.nii.gz", array)]


def constant(folder: Path) -> list[object]:
    return [save(folder / "constant.nii.gz", np.zeros((30, 40, 30), np.int16))]


def flat(folder: Path) -> list[object]:
    return [save(folder / "flat.nii.gz", noise(40, 30), (1.0, 1.0))]


def ct(folder: Path) -> list[object]:
    array = np.full((40, 50, 40), -1000, np.int16)
    array[10:30, 10:40, 10:30] = noise(20, 30, 20).astype(np.int16)
    return [save(folder / "ct.nii.gz", array)]


def coarse(folder: Path) -> list[object]:
    return [save(folder / "coarse.nii.gz", noise(12, 10, 10), (5.0, 5.0, 5.0))]


def whole_head(folder: Path) -> list[object]:
    return [save(folder / "head.nii.gz", noise(120, 160, 160))]


def two_inputs(folder: Path) -> list[object]:
    return [SAMPLE, SAMPLE]


def missing(folder: Path) -> list[object]:
    return [folder / "nothing.nii.gz"]


def damaged(folder: Path) -> list[object]:
    path = folder / "damaged.nii.gz"
    path.write_bytes(SAMPLE.read_bytes()[:2000])
    return [path]


def unknown_model(folder: Path) -> list[object]:
    return [SAMPLE, "--model", "hipocampus"]


def unknown_device(folder: Path) -> list[object]:
    return [SAMPLE, "--device", "cuda:7"]


def roi_elsewhere(folder: Path) -> list[object]:
    return [SAMPLE, "--roi", "500,520,500,520,500,520"]


def roi_of_five_numbers(folder: Path) -> list[object]:
    return [SAMPLE, "--roi", "1,2,3,4,5"]


BAD_INPUTS = {
    rgb: "3 ",
    not_finite: "NaN",
    constant: "same value",
    flat: "three",
    ct: "--accept-mismatch",
    coarse: "--accept-mismatch",
    whole_head: "--accept-mismatch",
    two_inputs: "1",
    missing: "nothing.nii.gz",
    damaged: "damaged.nii.gz",
    unknown_model: "hippocampus_swin_unetr",
    unknown_device: "cpu",
    roi_elsewhere: "region",
    roi_of_five_numbers: "RAS",
}


@pytest.mark.parametrize(("make", "said"), BAD_INPUTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_bad_input_ends_with_2_one_sentence_and_no_file(make, said, tmp_path: Path, monkeypatch, capfd):
    results = tmp_path / "results"
    results.mkdir()
    assert run(["segment", *make(tmp_path), "--output", results / "result.seg.nrrd"], monkeypatch) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("transformerseg: ")
    assert said in lines[0]
    assert "Traceback" not in lines[0]
    assert not list(results.iterdir())


def test_a_soft_mismatch_can_be_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arguments = ["segment", *ct(tmp_path), "--output", tmp_path / "result.nii.gz", "--accept-mismatch"]
    assert run(arguments, monkeypatch) == 0
    assert (tmp_path / "result.nii.gz").is_file()


def test_only_the_region_of_a_whole_head_is_segmented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The sample lies in a corner of an otherwise noisy head; its affine starts at (-10, 20, 30) mm in RAS.
    sample = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(SAMPLE))).astype(np.float32)
    head = noise(120, 160, 150)
    depth, height, width = sample.shape
    head[40 : 40 + depth, 50 : 50 + height, 60 : 60 + width] = sample
    image = SimpleITK.GetImageFromArray(head)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    image.SetOrigin((10, -20, 30))
    SimpleITK.WriteImage(image, str(tmp_path / "head.nii.gz"))
    low = np.array([-10 + 60, 20 + 50, 30 + 40])
    high = low + np.array([width - 1, height - 1, depth - 1])
    box = ",".join(f"{a - 0.5},{b + 0.5}" for a, b in zip(low, high, strict=True))
    arguments = ["segment", tmp_path / "head.nii.gz", "--roi", box, "--output", tmp_path / "inside.nii.gz"]
    assert run(arguments, monkeypatch) == 0
    assert run(["segment", SAMPLE, "--output", tmp_path / "alone.nii.gz"], monkeypatch) == 0
    inside, alone = (
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / f"{name}.nii.gz")))
        for name in ("inside", "alone")
    )
    assert inside.shape == head.shape
    cut = inside[40 : 40 + depth, 50 : 50 + height, 60 : 60 + width]
    assert np.count_nonzero(inside) == np.count_nonzero(cut)
    for label in (1, 2):
        both = np.count_nonzero((cut == label) & (alone == label))
        assert 2 * both / (np.count_nonzero(cut == label) + np.count_nonzero(alone == label)) > 0.99


def test_a_wrong_option_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(["segment", SAMPLE, "--output", tmp_path / "a.seg.nrrd", "--fast"], monkeypatch) == 2
    assert "--fast" in capsys.readouterr().err


def test_the_output_is_checked_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(["segment", tmp_path / "nothing.nii.gz", "--output", tmp_path / "result.jpg"], monkeypatch) == 2
    assert ".seg.nrrd" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_no_file(number: signal.Signals, code: int, tmp_path: Path):
    volume = save(tmp_path / "large.nii.gz", noise(96, 256, 256))
    bundle = write_bundle(tmp_path / "slow")
    results = tmp_path / "results"
    results.mkdir()
    arguments = ["segment", volume, "--model", bundle, "--output", results / "a.seg.nrrd", "--accept-mismatch"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "FORCE_COLOR": "1"}
    child = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    )
    heard = b""
    while not re.search(rb"[1-9]\d*/\d+", heard):  # a window is done
        piece = os.read(child.stderr.fileno(), 4096)
        assert piece, heard.decode()
        heard += piece
    child.send_signal(number)
    started = time.monotonic()
    rest = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(timeout=60) == code
    assert time.monotonic() - started < 30
    assert "Traceback" not in rest
    assert not list(results.iterdir())
