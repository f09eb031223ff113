"""DICOM segmentations of real series: read back by highdicom, and without a fault in the eyes of dciodvfy."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from TransformerSegLib.bundles.card import Code
from TransformerSegLib.errors import GridMismatch, OutputRejected, PackagesMissing
from TransformerSegLib.export.dicom_seg import write_dicom_seg
from TransformerSegLib.export.dicom_segment import Algorithm, DicomSegment, HowMade, segments_of_run
from TransformerSegLib.export.dicom_source import SourceImages, source_images
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmentation import Segment, Segmentation

from dicom_files import REAL, changed
from dicom_segmentations import assert_same_places, concept, faults, places, places_of, read_back, rgb
from example_segmentation import PROVENANCE, segment_class

SHARED_CT = Path(__file__).parents[3] / "shared" / "data" / "totalsegmentator" / "example_ct_dicom"
SERIES = [REAL / "hippocampus_mr", REAL / "ct_jpeg2000", REAL / "enhanced_mr"]
if SHARED_CT.is_dir():
    SERIES.append(SHARED_CT)
every_series = pytest.mark.parametrize("series", SERIES, ids=lambda path: path.name)

ANATOMY = Code(scheme="SCT", value="123037004", meaning="Anatomical Structure")
HIPPOCAMPUS = Code(scheme="SCT", value="5366008", meaning="Hippocampus")
ANTERIOR = Code(scheme="SCT", value="255549009", meaning="Anterior")
BRAIN = Code(scheme="SCT", value="12738006", meaning="Brain")
MODEL = Algorithm("hippocampus_swin_unetr", "1.0.0", (("weights_sha256", "0" * 64),))


def blob(source: SourceImages, part: slice, seed: int) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Half of the voxels of a box that spans a part of the slices."""
    columns, rows, slices = source.shape
    first, stop, _ = part.indices(slices)
    shape = (columns // 3, rows // 2, stop - first)
    return np.random.default_rng(seed).random(shape) > 0.5, (columns // 4, rows // 5, first)


def two_segments(source: SourceImages) -> list[DicomSegment]:
    """That overlap: one that a model made, and a person's."""
    slices = source.shape[2]
    first, second = blob(source, slice(1, -1), 1), blob(source, slice(slices // 2, slices), 2)
    return [
        DicomSegment(
            "Hippocampus, größer", (0.9, 0.5, 0.1), ANATOMY, HIPPOCAMPUS, ANTERIOR, BRAIN, HowMade.SEMIAUTOMATIC, MODEL,
            *first,
        ),
        DicomSegment("mine", (0.1, 0.2, 0.8), None, None, None, None, HowMade.MANUAL, None, *second),
    ]  # fmt: skip


def whole(segment: DicomSegment, source: SourceImages) -> np.ndarray:
    mask = np.zeros(source.shape, bool)
    mask[segment.box] = segment.mask
    return mask


@every_series
def test_overlapping_segments_come_back_voxel_by_voxel_with_all_that_is_known_of_them(series: Path, tmp_path: Path):
    source = source_images(series)
    segments = two_segments(source)
    path = tmp_path / "a.dcm"

    write_dicom_seg(path, segments, source, "CT – hippocampus", reviewer="Ada Müller")

    assert faults(path) == []
    found, numbers = read_back(path)
    assert list(numbers) == ["Hippocampus, größer", "mine"]
    assert found.SegmentsOverlap == "YES"
    for segment in segments:
        number = numbers[segment.name]
        assert_same_places(places(found, number), places_of(whole(segment, source), source.affine))
        np.testing.assert_allclose(rgb(found, number), segment.color, atol=0.02)
    first, second = (found.get_segment_description(number) for number in (1, 2))
    assert concept(first.segmented_property_category) == ("SCT", "123037004", "Anatomical Structure")
    assert concept(first.segmented_property_type) == ("SCT", "5366008", "Hippocampus")
    modifier = first.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert (modifier.CodingSchemeDesignator, modifier.CodeValue) == ("SCT", "255549009")
    assert [concept(region) for region in first.anatomic_regions] == [("SCT", "12738006", "Brain")]
    assert concept(second.segmented_property_type) == ("SCT", "85756007", "Tissue")
    assert (first.SegmentAlgorithmType, second.SegmentAlgorithmType) == ("SEMIAUTOMATIC", "MANUAL")
    assert first.SegmentAlgorithmName == "hippocampus_swin_unetr"
    algorithm = first.algorithm_identification
    assert (algorithm.name, algorithm.version, algorithm.source) == (
        "hippocampus_swin_unetr",
        "1.0.0",
        "TransformerSeg",
    )
    assert algorithm.parameters == {"weights_sha256": "0" * 64}
    assert "SegmentAlgorithmName" not in second
    assert found.ContentCreatorName == "Müller^Ada"


@every_series
def test_each_frame_refers_to_the_image_that_lies_where_it_does(series: Path, tmp_path: Path):
    source = source_images(series)
    write_dicom_seg(tmp_path / "a.dcm", two_segments(source), source, "a")
    found, _ = read_back(tmp_path / "a.dcm")

    several = len(source.headers) == 1
    position_of = {
        (str(source.headers[0].SOPInstanceUID), frame) if several else (str(source.headers[frame].SOPInstanceUID), 1):
        position
        for frame, position in enumerate(source.positions, start=1 if several else 0)
    }  # fmt: skip
    seen = 0
    for frame in found.PerFrameFunctionalGroupsSequence:
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        key = str(image.ReferencedSOPInstanceUID), int(image.get("ReferencedFrameNumber", 1))
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose([float(part) for part in place], position_of[key], atol=1e-3)
        seen += 1
    assert seen == int(found.NumberOfFrames) > 0
    (referenced,) = found.ReferencedSeriesSequence
    assert {str(item.ReferencedSOPInstanceUID) for item in referenced.ReferencedInstanceSequence} == {
        str(header.SOPInstanceUID) for header in source.headers
    }


def test_what_archives_sort_by_is_the_images(tmp_path: Path):
    source = source_images(REAL / "hippocampus_mr")
    write_dicom_seg(tmp_path / "a.dcm", two_segments(source), source, "HippoCrop – model")
    found, image = dcmread(tmp_path / "a.dcm"), dcmread(REAL / "hippocampus_mr" / "1.dcm")
    of_patient, of_study = ("PatientID", "PatientName"), ("StudyInstanceUID", "StudyID", "StudyDate", "AccessionNumber")
    for keyword in (*of_patient, *of_study, "FrameOfReferenceUID"):
        assert found[keyword].value == image[keyword].value, keyword
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == image.SeriesInstanceUID
    assert found.SeriesInstanceUID != image.SeriesInstanceUID
    assert (found.Modality, found.SeriesDescription) == ("SEG", "HippoCrop – model")
    assert (found.Manufacturer, found.SegmentationType) == ("TransformerSeg", "BINARY")


def run_result(source: SourceImages, layers: int) -> Segmentation:
    arrays = []
    for layer in range(layers):
        array = np.zeros(source.shape, np.uint8)
        array[3 + layer : 20, 5:30, 4:20] = layer + 1
        arrays.append(array)
    arrays[0][22:30, 5:30, 4:20] = 9
    classes = [(segment_class(number + 1, f"class {number}"), number) for number in range(layers)]
    classes += [(segment_class(9, "another"), 0), (segment_class(11, "not found"), 0)]
    segments = tuple(
        Segment(definition, layer, float((arrays[layer] == definition.label).sum() / 1000))
        for definition, layer in classes
    )
    return Segmentation(tuple(arrays), source.affine, segments, "a", PROVENANCE)


@pytest.mark.parametrize("layers", [1, 3])
def test_a_runs_result_is_automatic_and_its_empty_segments_are_left_out(layers: int, tmp_path: Path):
    source = source_images(REAL / "hippocampus_mr")
    result = run_result(source, layers)
    write_dicom_seg(tmp_path / "a.dcm", list(segments_of_run(result)), source, result.name)
    assert faults(tmp_path / "a.dcm") == []
    found, numbers = read_back(tmp_path / "a.dcm")
    filled = [segment for segment in result.segments if not segment.empty]
    assert list(numbers) == [segment.definition.name for segment in filled]
    assert found.SegmentsOverlap == ("NO" if layers == 1 else "YES")
    for segment in filled:
        description = found.get_segment_description(numbers[segment.definition.name])
        assert description.SegmentAlgorithmType == "AUTOMATIC"
        assert description.algorithm_identification.version == "1.0"
        mask = places_of(result.mask(segment), source.affine)
        assert_same_places(places(found, numbers[segment.definition.name]), mask)


def test_layers_whose_segments_do_not_meet_do_not_overlap(tmp_path: Path):
    source = source_images(REAL / "hippocampus_mr")
    result = run_result(source, 2)
    result.layers[1][3:20] = 0
    result.layers[1][31:34, 2:4, 2:30] = 2
    write_dicom_seg(tmp_path / "a.dcm", list(segments_of_run(result)), source, result.name)
    found, numbers = read_back(tmp_path / "a.dcm")
    assert found.SegmentsOverlap == "NO"
    assert_same_places(places(found, numbers["class 1"]), places_of(result.layers[1] == 2, source.affine))


def test_where_nothing_was_found_every_segment_is_there_and_empty(tmp_path: Path):
    source = source_images(REAL / "hippocampus_mr")
    result = run_result(source, 1)
    result.layers[0][:] = 0
    write_dicom_seg(tmp_path / "a.dcm", list(segments_of_run(result)), source, result.name)
    assert faults(tmp_path / "a.dcm") == []
    found, numbers = read_back(tmp_path / "a.dcm")
    assert list(numbers) == ["class 0", "another", "not found"]
    assert not found.pixel_array.any()


def oblique(data_set: Dataset, index: int) -> None:
    along_row, along_column = np.array([0.8, 0.6, 0.0]), np.array([-0.48, 0.64, -0.6])
    data_set.ImageOrientationPatient = [*along_row, *along_column]
    data_set.ImagePositionPatient = [
        f"{x:.6f}" for x in np.array([10.0, 20.0, 30.0]) - 2.5 * index * np.cross(along_row, along_column)
    ]
    data_set.PixelSpacing = [0.5, 0.75]


def sagittal(data_set: Dataset, index: int) -> None:
    data_set.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    data_set.ImagePositionPatient = [-31.5 + 1.2 * index, 7, 90]
    data_set.InstanceNumber = 100 - index


def rounded(data_set: Dataset, index: int) -> None:
    """As scanners round: orientation and positions differ in their last digits from slice to slice."""
    data_set.ImageOrientationPatient = [1, 0.00001 * (index % 2), 0, 0, 1, 0]
    data_set.ImagePositionPatient = [0, 0, round(1.5 * index + 0.04 * (index % 3 - 1), 2)]


@pytest.mark.parametrize("change", [oblique, sagittal, rounded])
def test_series_of_every_direction_keep_their_place(change: Callable[[Dataset, int], None], tmp_path: Path):
    series = changed("hippocampus_mr", tmp_path / "series", change)
    source = source_images(series)
    volume = read_volume(series)
    np.testing.assert_array_equal(source.affine, volume.affine)
    assert source.shape == volume.array.shape
    segments = two_segments(source)
    write_dicom_seg(tmp_path / "a.dcm", segments, source, "a")
    assert faults(tmp_path / "a.dcm") == []
    found, numbers = read_back(tmp_path / "a.dcm")
    for segment in segments:
        assert_same_places(places(found, numbers[segment.name]), places_of(whole(segment, source), source.affine))


def anonymised(data_set: Dataset, index: int) -> None:
    for keyword in ("PatientName", "PatientID", "StudyDate", "StudyID", "AccessionNumber", "FrameOfReferenceUID"):
        delattr(data_set, keyword)
    data_set.StudyInstanceUID = data_set.SeriesInstanceUID = ""


def odd_values(data_set: Dataset, index: int) -> None:
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.PatientName = "Müller^Jürgen"
    data_set.PatientSex = "X"
    with pytest.warns(UserWarning, match="Invalid value"):
        data_set.PatientAge = "about 70"
    with pytest.warns(UserWarning, match="Invalid value"):
        data_set.PatientBirthDate = "1950.01"
    data_set.PatientWeight = ""
    data_set.SeriesNumber = 7


def test_what_anonymised_images_lack_is_made_up_the_same_way_each_time_and_said(tmp_path: Path):
    series = changed("hippocampus_mr", tmp_path / "series", anonymised)
    source = source_images(series)
    assert source.missing == ("Study Instance UID", "Series Instance UID", "Frame of Reference UID")
    assert source_images(series).headers[0].StudyInstanceUID == source.headers[0].StudyInstanceUID
    write_dicom_seg(tmp_path / "a.dcm", two_segments(source), source, "a")
    assert faults(tmp_path / "a.dcm") == []
    assert dcmread(tmp_path / "a.dcm").PatientID in ("", None)


def test_odd_values_of_the_images_do_not_make_an_odd_segmentation(tmp_path: Path):
    source = source_images(changed("hippocampus_mr", tmp_path / "series", odd_values))
    write_dicom_seg(tmp_path / "a.dcm", two_segments(source), source, "a")
    assert faults(tmp_path / "a.dcm") == []
    found = dcmread(tmp_path / "a.dcm")
    assert str(found.PatientName) == "Müller^Jürgen"
    assert not found.PatientSex
    assert not found.PatientBirthDate
    assert "PatientAge" not in found
    assert found.SeriesNumber == 1007


def test_odd_names_fit(tmp_path: Path):
    source = source_images(REAL / "hippocampus_mr")
    segments = [
        replace(segment, name=name, type=Code(scheme="SCT", value="9" * 20, meaning="x" * 100))
        for segment, name in zip(two_segments(source), ["a\\b\n" + "ö" * 100, ""], strict=True)
    ]
    write_dicom_seg(tmp_path / "a.dcm", segments, source, "t\\" * 60, reviewer=" ")
    assert faults(tmp_path / "a.dcm") == []
    _, numbers = read_back(tmp_path / "a.dcm")
    first, second = numbers
    assert first == "a/b " + "ö" * 28 + "…"
    assert second == "Segment 2"


def test_images_without_any_identifier_are_refused(tmp_path: Path):
    def change(data_set: Dataset, index: int) -> None:
        data_set.SOPInstanceUID = ""
        data_set.file_meta.MediaStorageSOPInstanceUID = ""

    for path in (REAL / "hippocampus_mr").iterdir():
        data_set = dcmread(path)
        change(data_set, 0)
        (tmp_path / "series").mkdir(exist_ok=True)
        data_set.save_as(tmp_path / "series" / path.name, enforce_file_format=False)
    with pytest.raises(OutputRejected, match="no unique identifier"):
        source_images(tmp_path / "series")


def test_a_file_that_is_no_dicom_has_no_images_to_refer_to():
    with pytest.raises(OutputRejected, match="is no DICOM image"):
        source_images(Path(__file__))


def test_a_segment_beyond_the_images_is_refused(tmp_path: Path):
    source = source_images(REAL / "hippocampus_mr")
    beyond = replace(two_segments(source)[0], start=(0, 0, 10))
    with pytest.raises(GridMismatch, match="reaches beyond the images"):
        write_dicom_seg(tmp_path / "a.dcm", [beyond], source, "a")
    assert list(tmp_path.iterdir()) == []


def test_without_a_segment_nothing_is_written(tmp_path: Path):
    source = source_images(REAL / "hippocampus_mr")
    with pytest.raises(OutputRejected, match="no segment"):
        write_dicom_seg(tmp_path / "a.dcm", [], source, "a")


def test_an_image_is_never_replaced_and_a_segmentation_only_when_told_to(tmp_path: Path):
    source = source_images(REAL / "hippocampus_mr")
    image = tmp_path / "image.dcm"
    image.write_bytes((REAL / "hippocampus_mr" / "1.dcm").read_bytes())
    before = image.read_bytes()
    with pytest.raises(OutputRejected, match="no DICOM segmentation"):
        write_dicom_seg(image, two_segments(source), source, "a", overwrite=True)
    assert image.read_bytes() == before
    path = tmp_path / "a.dcm"
    write_dicom_seg(path, two_segments(source), source, "a")
    with pytest.raises(OutputRejected, match="there already"):
        write_dicom_seg(path, two_segments(source), source, "b")
    write_dicom_seg(path, two_segments(source), source, "b", overwrite=True)
    assert dcmread(path).SeriesDescription == "b"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_said_and_no_truncated_file_is_left(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", WRITE_ON_A_FULL_DISK, REAL / "hippocampus_mr", tmp_path / "a.dcm"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "could not be written" in done.stdout
    assert list(tmp_path.iterdir()) == []


WRITE_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.dicom_seg import write_dicom_seg
from TransformerSegLib.export.dicom_segment import DicomSegment, HowMade
from TransformerSegLib.export.dicom_source import source_images
source = source_images(Path(sys.argv[1]))
mask = np.ones(source.shape, bool)
segment = DicomSegment("a", (1.0, 1.0, 1.0), None, None, None, None, HowMade.MANUAL, None, mask, (0, 0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
try:
    write_dicom_seg(Path(sys.argv[2]), [segment], source, "a")
except OutputRejected as error:
    print(error)
"""


def test_what_highdicom_refuses_is_said_and_nothing_is_left(tmp_path: Path):
    source = source_images(REAL / "hippocampus_mr")
    for header in source.headers:
        header.SOPClassUID = "1.2.3"
    with pytest.raises(OutputRejected, match="highdicom refuses"):
        write_dicom_seg(tmp_path / "a.dcm", two_segments(source), source, "a")
    assert list(tmp_path.iterdir()) == []


def test_without_highdicom_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = source_images(REAL / "hippocampus_mr")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "highdicom" else find(name, *rest)
    )
    with pytest.raises(PackagesMissing, match="highdicom"):
        write_dicom_seg(tmp_path / "a.dcm", two_segments(source), source, "a")


def test_the_segmentation_in_the_folder_of_its_images_is_no_second_series(tmp_path: Path):
    series = changed("hippocampus_mr", tmp_path / "series", lambda data_set, index: None)
    before = read_volume(series)
    source = source_images(series)
    write_dicom_seg(series / "a.dcm", two_segments(source), source, "a")
    np.testing.assert_array_equal(read_volume(series).array, before.array)
    assert len(os.listdir(series)) == 33
