"""The command, as it is run: on files, with its exit codes and what it says."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
import typer

from TransformerSegLib import cli
from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL, find_bundle
from TransformerSegLib.bundles.plan import Activation, OutputPlan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.commands import console
from TransformerSegLib.inference import offering
from TransformerSegLib.resources import resources_folder

from bundle_factory import write_bundle
from dicom_files import REAL, changed
from dicom_segmentations import assert_same_places, concept, faults, places, places_of, read_back

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


def save_nifti(path: Path, affine: list[list[float]]) -> Path:
    """By nibabel, which writes what SimpleITK refuses."""
    image = nibabel.Nifti1Image(noise(36, 50, 35), None)
    image.set_sform(np.array(affine, np.float64), code="scanner")
    nibabel.save(image, path)
    return path


def study(folder: Path) -> Path:
    """A DICOM folder with two MR series of one patient: 5 “T1”, and 7 “FLAIR”, which is the same upside down."""
    for number, description in ((5, "T1"), (7, "FLAIR")):

        def change(data_set, index: int, number: int = number, description: str = description) -> None:
            data_set.SeriesNumber, data_set.SeriesDescription = number, description
            data_set.SeriesInstanceUID = f"1.2.3.{number}"
            if description == "FLAIR":
                data_set.PixelData = data_set.pixel_array[::-1].tobytes()

        changed("hippocampus_mr", folder / "study" / description, change)
    return folder / "study"


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
    name, modality, *_ = capsys.readouterr().out.split()
    assert (name, modality) == (DEFAULT_MODEL, "MR")
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
    """Of which not even the headers are read: the number is wrong already."""
    return [folder / "nothing.nii.gz", folder / "nothing.nii.gz"]


def one_input_of_two(folder: Path) -> list[object]:
    return [SAMPLE, "--model", write_bundle(folder / "two", inputs=("T1", "FLAIR"))]


def one_file_for_two_inputs(folder: Path) -> list[object]:
    return [SAMPLE, SAMPLE, "--model", write_bundle(folder / "two", inputs=("T1", "FLAIR"))]


def one_series_for_two_inputs(folder: Path) -> list[object]:
    return [
        study(folder),
        folder / "study",
        "--series",
        "5",
        "--model",
        write_bundle(folder / "two", inputs=("a", "b")),
    ]


def one_input_of_two_told(folder: Path) -> list[object]:
    return [*four_volumes(folder, "t2f", "other"), "--model", write_bundle(folder / "two", inputs=("T1", "FLAIR"))]


def two_volumes_told_as_one_input(folder: Path) -> list[object]:
    return [*four_volumes(folder, "t1c", "t1ce"), "--model", write_bundle(folder / "two", inputs=("T1ce", "FLAIR"))]


def input_of_an_unknown_name(folder: Path) -> list[object]:
    return [SAMPLE, "--input", "PET=a.nii", "--model", write_bundle(folder / "two", inputs=("T1", "FLAIR"))]


def input_without_a_name(folder: Path) -> list[object]:
    return [SAMPLE, "--input", "a.nii"]


def input_named_twice(folder: Path) -> list[object]:
    named = ["--input", "T1=a.nii", "--input", "t1n=b.nii"]
    return [*named, "--model", write_bundle(folder / "two", inputs=("T1", "FLAIR"))]


def two_patients(folder: Path) -> list[object]:
    def change(data_set, index: int) -> None:
        data_set.PatientID = "another"

    model = write_bundle(folder / "two", inputs=("first", "second"))
    return [REAL / "hippocampus_mr", changed("hippocampus_mr", folder / "other", change), "--model", model]


def inputs_of_two_places(folder: Path) -> list[object]:
    elsewhere = save_nifti(folder / "elsewhere.nii.gz", [[1, 0, 0, 900], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return [SAMPLE, elsewhere, "--model", write_bundle(folder / "two", inputs=("T1", "FLAIR"))]


def sheared(folder: Path) -> list[object]:
    return [save_nifti(folder / "sheared.nii.gz", [[1, 0, 0.2, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])]


def singular(folder: Path) -> list[object]:
    return [save_nifti(folder / "singular.nii.gz", [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]])]


def gantry_tilt(folder: Path) -> list[object]:
    return [REAL / "gantry_tilt"]


def gap(folder: Path) -> list[object]:
    return [REAL / "gap"]


def several_series(folder: Path) -> list[object]:
    return [study(folder)]


def unknown_series(folder: Path) -> list[object]:
    return [study(folder), "--series", "6"]


def series_of_a_file(folder: Path) -> list[object]:
    return [SAMPLE, "--series", "5"]


def two_series_of_one_folder(folder: Path) -> list[object]:
    return [study(folder), "--series", "5", "--series", "7"]


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
    constant: "have the value 0",
    flat: "2-dimensional",
    ct: "--accept-mismatch",
    coarse: "--accept-mismatch",
    whole_head: "--accept-mismatch",
    two_inputs: "needs 1",
    one_input_of_two: "T1, FLAIR",
    inputs_of_two_places: "covers only",
    one_file_for_two_inputs: "is given for more than one input",
    one_series_for_two_inputs: "“T1” is given for more than one input",
    one_input_of_two_told: "--input T1=FILE --input FLAIR=FILE",
    two_volumes_told_as_one_input: "“t1c” and “t1ce” are both T1ce",
    input_of_an_unknown_name: "its inputs are T1, FLAIR",
    input_without_a_name: "NAME=FILE",
    input_named_twice: "T1 is named twice",
    two_patients: "are of different patients",
    sheared: "right angle",
    singular: "singular",
    gantry_tilt: "tilt",
    gap: "mm",
    several_series: "5 “T1” (MR, 32 images); 7 “FLAIR” (MR, 32 images)",
    unknown_series: "7 “FLAIR”",
    series_of_a_file: "not a DICOM folder",
    two_series_of_one_folder: "2 times, for 1 DICOM folder",
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


@pytest.mark.parametrize(("series", "read"), [(["5", "flair"], ["T1", "FLAIR"]), (["7", "1.2.3.5"], ["FLAIR", "T1"])])
def test_every_input_has_the_series_that_is_named_for_it(series, read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, report = study(tmp_path), tmp_path / "report.json"
    model = write_bundle(tmp_path / "two", inputs=("first", "second"))
    named = [argument for one in series for argument in ("--series", one)]
    arguments = [folder, folder, *named, "--model", model, "--output", tmp_path / "a.seg.nrrd", "--report", report]
    assert run(["segment", *arguments], monkeypatch) == 0
    assert json.loads(report.read_text(encoding="utf-8"))["provenance"]["inputs"] == read


def test_one_series_goes_for_the_folder_among_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    folder = study(tmp_path)
    assert run(["segment", folder, "--series", "5", "--output", tmp_path / "5.nii.gz"], monkeypatch) == 0
    arguments = [tmp_path / "5.nii.gz", folder, "--series", "7", "--output", tmp_path / "a.nii.gz"]
    model = write_bundle(tmp_path / "two", inputs=("first", "second"))
    capsys.readouterr()
    assert run(["segment", *arguments, "--model", model], monkeypatch) == 0
    told, *lines = capsys.readouterr().out.splitlines()[:3]
    assert "in the order given" in told
    assert [line.split(":")[0] for line in lines] == ["  first ← 5.nii.gz", "  second ← study (FLAIR)"]


def four_volumes(folder: Path, *names: str) -> list[Path]:
    """Volumes of different noise, under these names."""
    return [
        save(folder / f"{name}.nii.gz", np.random.default_rng(seed).normal(100, 20, (36, 40, 35)).astype(np.float32))
        for seed, name in enumerate(names)
    ]


BRATS = ("FLAIR", "T1ce", "T1", "T2")


@pytest.mark.parametrize("names", [("t2f", "t1c", "t1n", "t2w"), ("flair", "t1ce", "t1", "t2")])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_inputs_told_by_their_names_are_taken_in_the_cards_order_whatever_the_order_given(
    names, order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    paths = four_volumes(tmp_path, *(f"BraTS-GLI-00001-000-{name}" for name in names))
    model, report = write_bundle(tmp_path / "tumour", inputs=BRATS), tmp_path / "report.json"
    given = [paths[number] for number in order]
    arguments = [*given, "--model", model, "--output", tmp_path / "a.nii.gz", "--report", report]
    assert run(["segment", *arguments], monkeypatch) == 0
    told, *lines = capsys.readouterr().out.splitlines()[:5]
    assert "told by their names" in told
    assert [line.split(":")[0] for line in lines] == [
        f"  {channel} ← {path.name}" for channel, path in zip(BRATS, paths, strict=True)
    ]
    inputs = json.loads(report.read_text(encoding="utf-8"))["provenance"]["inputs"]
    assert inputs == [path.name.removesuffix(".nii.gz") for path in paths]


def test_what_is_named_goes_before_what_names_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    flair, contrast, native, t2 = four_volumes(tmp_path, "t2w", "a=b", "t1n", "t2f")
    model = write_bundle(tmp_path / "tumour", inputs=BRATS)
    named = ["--input", f"flair={flair}", "--input", f"T1CE={contrast}", "--input", f"t2w={t2}"]
    arguments = ["segment", native, *named, "--model", model, "--output", tmp_path / "a.nii.gz"]
    assert run(arguments, monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()[1:5]
    assert [line.split(":")[0] for line in lines] == [
        "  FLAIR ← t2w.nii.gz",
        "  T1ce ← a=b.nii.gz",
        "  T1 ← t1n.nii.gz",
        "  T2 ← t2f.nii.gz",
    ]


def test_all_inputs_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    paths = four_volumes(tmp_path, "a", "b", "c", "d")
    model = write_bundle(tmp_path / "tumour", inputs=BRATS)
    named = [part for name, path in zip(BRATS, paths, strict=True) for part in ("--input", f"{name}={path}")]
    assert run(["segment", *named, "--model", model, "--output", tmp_path / "result.nii.gz"], monkeypatch) == 0
    assert capsys.readouterr().out.startswith("The inputs, as you named them:\n  FLAIR ← a.nii.gz")


def test_dicom_series_are_told_by_their_descriptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    folder, model = study(tmp_path), write_bundle(tmp_path / "two", inputs=("T1", "FLAIR"))
    arguments = [folder, folder, "--series", "7", "--series", "5", "--model", model, "--output", tmp_path / "a.nii.gz"]
    assert run(["segment", *arguments], monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()[1:3]
    assert [line.split(":")[0] for line in lines] == ["  T1 ← study (T1)", "  FLAIR ← study (FLAIR)"]


def test_who_the_patient_is_and_the_frame_of_reference_stay_out_of_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
):
    folders = []
    for number, description in enumerate(("T1", "FLAIR")):

        def change(data_set, index: int, number: int = number, description: str = description) -> None:
            data_set.PatientID, data_set.SeriesDescription = "4711-0815", description
            data_set.SeriesInstanceUID, data_set.FrameOfReferenceUID = f"1.2.3.{number}", f"1.2.99.{number}"
            data_set.PixelData = (data_set.pixel_array + number).tobytes()

        folders.append(changed("hippocampus_mr", tmp_path / description, change))
    model, results = write_bundle(tmp_path / "two", inputs=("T1", "FLAIR")), tmp_path / "results"
    results.mkdir()
    arguments = ["segment", *folders, "--model", model, "--output", results / "a.seg.nrrd"]
    assert run(arguments, monkeypatch) == 2
    refused = "".join(capfd.readouterr())
    assert "have different frames of reference" in refused
    assert run([*arguments, "--accept-mismatch", "--report", results / "a.json"], monkeypatch) == 0
    said = refused + "".join(capfd.readouterr())
    written = [path.read_bytes().decode("latin-1") for path in results.iterdir()]
    assert len(written) == 2
    for text in (said, *written):
        assert "4711" not in text
        assert "1.2.99" not in text


def test_overlapping_classes_are_said_to_lie_along_a_fourth_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    output = OutputPlan(Activation.SIGMOID, threshold=0.5)
    model = write_bundle(tmp_path / "regions", output=output, classes=("core", "whole", "enhancing"))
    assert run(["segment", SAMPLE, "--model", model, "--output", tmp_path / "a.nii.gz"], monkeypatch) == 0
    said = capsys.readouterr().out
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.shape[:3] == nibabel.load(SAMPLE).shape
    assert f"{image.shape[3]} label maps along a fourth axis" in said
    for label in (1, 2, 3):
        layers = np.unique(np.argwhere(np.asarray(image.dataobj) == label)[:, 3])
        assert len(layers) <= 1, "a class lies in one layer"


def test_the_patients_image_and_the_region_are_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    image, roi = tmp_path / "T1.nii.gz", tmp_path / "roi.mrk.json"
    image.write_bytes(SAMPLE.read_bytes())
    roi.write_text("{}")
    monkeypatch.chdir(tmp_path)
    asked = ["segment", "T1.nii.gz", "--overwrite", "--output"]
    assert run([*asked, image], monkeypatch) == 2
    assert run([*asked, "a.seg.nrrd", "--roi", roi, "--report", "roi.mrk.json"], monkeypatch) == 2
    assert capsys.readouterr().err.count("would be replaced") == 2
    assert image.read_bytes() == SAMPLE.read_bytes()
    assert roi.read_text() == "{}"


def test_a_dicom_series_becomes_a_dicom_segmentation_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    output, labels, volumes = tmp_path / "a.dcm", tmp_path / "a.nii.gz", tmp_path / "a.csv"
    series = study(tmp_path)
    for path in (output, labels):
        asked = ["segment", series, "--series", "flair", "--output", path, "--volumes", volumes, "--device", "cpu"]
        assert run(asked, monkeypatch) == 0
    assert "along a fourth axis" not in capsys.readouterr().out
    assert faults(output) == []
    found, numbers = read_back(output)
    image = nibabel.load(labels)
    rows = {row["segment"]: row for row in csv.DictReader(volumes.read_text(encoding="utf-8-sig").splitlines())}
    assert list(numbers) == list(rows) == ["Anterior hippocampus", "Posterior hippocampus"]
    for label, (name, number) in enumerate(numbers.items(), start=1):
        mask = np.asarray(image.dataobj) == label
        assert_same_places(places(found, number), places_of(mask, image.affine))
        assert int(rows[name]["voxels"]) == np.count_nonzero(mask) > 0
        description = found.get_segment_description(number)
        assert description.SegmentAlgorithmType == "AUTOMATIC"
        assert description.algorithm_identification.name == DEFAULT_MODEL
        assert concept(description.segmented_property_type) == ("SCT", "5366008", "Hippocampus")
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.7"


def test_what_is_no_dicom_is_refused_for_a_dicom_segmentation_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr("TransformerSegLib.inference.segmenter.Segmenter.segment", None)
    assert run(["segment", SAMPLE, "--output", tmp_path / "a.dcm"], monkeypatch) == 2
    assert "is no DICOM image" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_identifiers_that_the_images_lack_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    model = write_bundle(tmp_path / "small")
    asked = ["segment", REAL / "ct_jpeg2000", "--accept-mismatch", "--model", model, "--output", tmp_path / "a.dcm"]
    assert run(asked, monkeypatch) == 0
    assert "the images have no Study Instance UID and no Series Instance UID" in capsys.readouterr().out
    assert faults(tmp_path / "a.dcm") == []


def test_a_slice_of_the_series_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    series = changed("hippocampus_mr", tmp_path / "series", lambda data_set, index: None)
    before = (series / "003.dcm").read_bytes()
    assert run(["segment", series, "--output", series / "003.dcm", "--overwrite"], monkeypatch) == 2
    assert "is no DICOM segmentation" in capsys.readouterr().err
    assert (series / "003.dcm").read_bytes() == before


def test_a_relative_output_is_written_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    model = write_bundle(tmp_path / "small")
    for name in ("a.seg.nrrd", "a.nii.gz", "a.mrb"):
        assert run(["segment", SAMPLE, "--model", model, "--output", name, "--report", "a.json"], monkeypatch) == 0
        assert (tmp_path / name).is_file()


def test_a_result_that_was_saved_is_said_even_if_its_report_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    output, reports = tmp_path / "a.seg.nrrd", tmp_path / "reports"
    reports.mkdir()
    original = cli._write

    def write_and_lose_the_folder(*arguments) -> None:
        original(*arguments)
        reports.rmdir()

    monkeypatch.setattr(cli, "_write", write_and_lose_the_folder)
    arguments = [SAMPLE, "--model", write_bundle(tmp_path / "small"), "--output", output]
    assert run(["segment", *arguments, "--report", reports / "a.json"], monkeypatch) == 2
    said = capsys.readouterr()
    assert f"Saved {output}" in said.out
    assert "a.json" in said.err
    assert output.is_file()


def test_names_that_a_code_page_lacks_are_still_shown(monkeypatch: pytest.MonkeyPatch):
    redirected = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr(sys, "stdout", redirected)
    with pytest.raises(SystemExit) as stop:
        console.run(lambda: typer.echo("頭部 −3 größer"))
    assert not stop.value.code
    redirected.flush()
    assert redirected.buffer.getvalue().decode("cp1252").rstrip() == r"\u982d\u90e8 \u22123 größer"


def test_a_soft_mismatch_can_be_accepted_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    arguments = ["segment", *ct(tmp_path), "--output", tmp_path / "result.nii.gz", "--accept-mismatch"]
    assert run(arguments, monkeypatch) == 0
    assert (tmp_path / "result.nii.gz").is_file()
    assert "was not trained for this: “ct” looks like CT" in capsys.readouterr().out


def test_only_the_region_of_a_whole_head_is_segmented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
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
    assert "not trained" not in capsys.readouterr().out  # the region fits, whatever the size of the head
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


def test_a_preset_is_what_the_windows_overlap_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    report = tmp_path / "report.json"
    arguments = ["segment", SAMPLE, "--output", tmp_path / "a.seg.nrrd", "--report", report]
    (own,) = set(find_bundle().plan.window.overlap)
    for preset, overlap in (("fast", min(own, 0.25)), ("best", max(own, 0.625)), (None, own)):
        chosen = ["--preset", preset, "--overwrite"] if preset else ["--overwrite"]
        assert run([*arguments, *chosen], monkeypatch) == 0
        options = json.loads(report.read_text(encoding="utf-8"))["provenance"]["options"]
        assert [options["preset"], options["overlap"]] == [preset or "standard", [overlap] * 3]


def test_the_time_of_each_stage_is_told_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    arguments = ["segment", SAMPLE, "--output", tmp_path / "a.seg.nrrd", "--overwrite"]
    assert run(arguments, monkeypatch) == 0
    assert "Time:" not in capsys.readouterr().out
    assert run([*arguments, "--timing"], monkeypatch) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Time:")]
    told = re.findall(r"(\w+) [\d.]+ s \((\d+) %\)", line)
    assert [stage for stage, _ in told] == ["start", "read", "load", "prepare", "segment", "restore", "save"]
    assert sum(int(share) for _, share in told) == pytest.approx(100, abs=4)


def test_precision_is_checked_by_a_command_which_writes_the_card(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: True)
    model, data = tmp_path / "model", tmp_path / "data" / "imagesTr"
    shutil.copytree(find_bundle().folder, model)
    data.mkdir(parents=True)
    shutil.copy(SAMPLE, data)
    assert run(["check-precision", model, "--data", data.parent, "--write-card"], monkeypatch) == 0
    assert "passed: each class reaches 0.998 on average, over 1 case." in capsys.readouterr().out
    assert read_bundle(model).card.bfloat16.cases == 1
    output = tmp_path / "a.seg.nrrd"
    assert run(["segment", SAMPLE, "--model", model, "--output", output, "--preset", "faster-cpu"], monkeypatch) == 0
    assert output.exists()


def test_a_preset_that_there_is_not_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(["segment", SAMPLE, "--output", tmp_path / "a.seg.nrrd", "--preset", "fastest"], monkeypatch) == 2
    assert "standard" in capsys.readouterr().err


def test_a_wrong_option_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(["segment", SAMPLE, "--output", tmp_path / "a.seg.nrrd", "--fast"], monkeypatch) == 2
    assert "--fast" in capsys.readouterr().err


def test_a_model_of_slices_says_so_and_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    model = write_bundle(tmp_path / "slices", architecture="TransUNet")
    assert run(["models", model], monkeypatch) == 0
    assert "slice by slice: axial" in capsys.readouterr().out
    assert run(["segment", SAMPLE, "--model", model, "--output", tmp_path / "a.seg.nrrd"], monkeypatch) == 0
    assert re.search(r"^\d+ slices, about ", capsys.readouterr().err, re.MULTILINE)


def test_the_output_is_checked_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert run(["segment", tmp_path / "nothing.nii.gz", "--output", tmp_path / "result.jpg"], monkeypatch) == 2
    assert ".seg.nrrd" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="is stopped by other means there")
@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "stopped; nothing was written."), (signal.SIGTERM, 143, "")]
)
def test_a_stopped_run_ends_at_once_and_leaves_no_file(number: signal.Signals, code: int, said: str, tmp_path: Path):
    volume = save(tmp_path / "large.nii", noise(96, 160, 160))
    results = tmp_path / "results"
    results.mkdir()
    arguments = ["segment", volume, "--output", results / "a.seg.nrrd", "--device", "cpu", "--accept-mismatch"]
    child = start_as_in_a_terminal(arguments)
    with child.stderr as screen:
        read_until(screen, rb"[1-9]\d*/\d+ windows")
        child.send_signal(number)
        assert child.wait(timeout=10) == code  # a window takes a fifth of a second, or two where much else runs
        rest = read_until(screen, None)
    assert said in rest
    assert "Traceback" not in rest
    assert not list(results.iterdir())


def test_a_stopped_training_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def stopped(*arguments) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("TransformerSegLib.training.session.train_bundle", stopped)
    assert run(["train", tmp_path, "--data", tmp_path, "--output", tmp_path / "model"], monkeypatch) == 130
    said = capsys.readouterr().err
    assert f"kept in “{tmp_path / 'model.run'}”" in said
    assert "nothing" not in said


def test_a_stop_before_the_work_is_said_too(monkeypatch: pytest.MonkeyPatch, capsys):
    def stopped(*arguments) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("TransformerSegLib.bundles.library.ModelLibrary.summaries", stopped)
    assert run(["models"], monkeypatch) == 130
    assert capsys.readouterr().err.strip() == "transformerseg: stopped."


def start_as_in_a_terminal(arguments: list[object]) -> subprocess.Popen:
    """The command, drawing its bar as in a terminal, into a pipe: not every machine has terminals to give."""
    command = [*COMMAND, *map(str, arguments)]
    environment = os.environ | {"TERM": "xterm", "FORCE_COLOR": "1", "TTY_INTERACTIVE": "1", "COLUMNS": "120"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0, env=environment)


def read_until(screen: io.RawIOBase, pattern: bytes | None) -> str:
    """What comes onto the screen, up to a pattern, or to the end."""
    heard = b""
    while pattern is None or not re.search(pattern, heard):
        piece = screen.read(4096)
        if not piece:
            assert pattern is None, heard.decode()
            break
        heard += piece
    return heard.decode(errors="replace")
