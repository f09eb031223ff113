"""Segments of a scene as a DICOM segmentation of the images that Slicer's DICOM database has."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import slicer
from pydicom import dcmread

from TransformerSegLib.errors import GridMismatch, OutputRejected
from TransformerSegLib.export.dicom_segment import HowMade
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.scene.dicom_export import dicom_export, how_made, write_dicom_seg_of
from TransformerSegLib.scene.sign_off import Status, set_status, sign_off
from TransformerSegLib.scene.volumes import add_volume_node, volume_affine, vtk_matrix

from dicom_files import REAL, changed
from dicom_segmentations import assert_same_places, concept, faults, places, places_of, read_back, rgb
from example_segmentation import PROVENANCE, geometry, segment_class
from host.dicom_database import DicomDatabase
from mrml_reading import mask_on_grid
from mrml_transforms import add_linear_transform
from scene_runs import put
from segment_edits import Pencil

MODEL, EDITED, MINE = "Segment_2", "Segment_3", "mine"


@pytest.fixture
def series(tmp_path) -> Path:
    return changed("hippocampus_mr", tmp_path / "series", lambda data_set, index: None)


@pytest.fixture
def volume_node(scene, series, monkeypatch):
    return load(scene, series, monkeypatch)


def load(scene, series: Path, monkeypatch):
    """As Slicer's DICOM module does."""
    database = DicomDatabase()
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    node = add_volume_node(scene, read_volume(series))
    node.SetAttribute("DICOM.instanceUIDs", " ".join(database.add(sorted(series.iterdir()))))
    return node


def segmented(scene, volume_node):
    """A run's two classes, which overlap, of which a person changed one, and a segment of that person's own."""
    shape = volume_node.GetImageData().GetDimensions()
    first, second = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    first[4:20, 5:30, 4:20] = 2
    second[10:30, 20:40, 10:30] = 3
    affine = volume_affine(volume_node)
    segments = (Segment(segment_class(2, "first"), 0, 1.0), Segment(segment_class(3, "second"), 1, 1.0))
    result = Segmentation((first, second), affine, segments, "HippoCrop – model", PROVENANCE)
    node = put(scene, result, volume_node).node
    pencil = Pencil(scene, node, volume_node)
    pencil.paint(EDITED, np.s_[0:3, 0:4, 0:2])
    node.GetSegmentation().AddEmptySegment(MINE, "Mine", (0.2, 0.4, 0.6))
    pencil.paint(MINE, np.s_[30:33, 40:44, 28:30])
    return node


@pytest.fixture
def node(scene, volume_node):
    return segmented(scene, volume_node)


def masks_of(node, volume_node) -> dict[str, np.ndarray]:
    shape, affine = volume_node.GetImageData().GetDimensions(), volume_affine(volume_node)
    return {
        node.GetSegmentation().GetSegment(name).GetName(): mask_on_grid(node, name, shape, affine)
        for name in node.GetSegmentation().GetSegmentIDs()
    }


def assert_same_segments(path: Path, node, volume_node) -> None:
    found, numbers = read_back(path)
    expected = masks_of(node, volume_node)
    assert list(numbers) == list(expected)
    for name, mask in expected.items():
        assert mask.any()
        assert_same_places(places(found, numbers[name]), places_of(mask, volume_affine(volume_node)))


def test_segments_come_back_as_they_are_in_the_scene_and_say_who_made_them(node, volume_node, tmp_path):
    path = tmp_path / "a.dcm"
    node.GetSegmentation().GetSegment(MODEL).SetColor(0.9, 0.3, 0.1)

    write_dicom_seg_of(node, volume_node, path)

    assert faults(path) == []
    assert_same_segments(path, node, volume_node)
    found, numbers = read_back(path)
    made = {name: found.get_segment_description(number) for name, number in numbers.items()}
    assert {name: one.SegmentAlgorithmType for name, one in made.items()} == {
        "first": "AUTOMATIC",
        "second": "SEMIAUTOMATIC",
        "Mine": "MANUAL",
    }
    for name in ("first", "second"):
        algorithm = made[name].algorithm_identification
        assert algorithm.name == "hippocampus — größer / 2:1"  # tags of segments cannot hold “|”
        assert algorithm.version == "1.0"
        assert concept(made[name].segmented_property_type) == ("SCT", "5366008", "Hippocampus")
    assert "SegmentAlgorithmName" not in made["Mine"]
    np.testing.assert_allclose(rgb(found, numbers["first"]), (0.9, 0.3, 0.1), atol=0.02)
    assert len(found.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 32
    assert str(found.StudyInstanceUID) == str(dcmread(REAL / "hippocampus_mr" / "1.dcm").StudyInstanceUID)


def test_what_was_taken_out_of_the_scene_is_written_though_the_scene_changes(node, volume_node, tmp_path):
    export = dicom_export(node, volume_node, [MINE])
    expected = masks_of(node, volume_node)["Mine"]
    Pencil(node.GetScene(), node, volume_node).paint(MINE, np.s_[0:9, 0:9, 0:9])
    export.write(tmp_path / "a.dcm")
    found, _ = read_back(tmp_path / "a.dcm")
    assert_same_places(places(found, 1), places_of(expected, volume_affine(volume_node)))


def test_a_terminology_that_a_person_chose_is_kept_with_its_region(node, volume_node, tmp_path):
    node.GetSegmentation().GetSegment(MINE).SetTerminology(
        "Some list~SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass~SCT^7771000^Left"
        "~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"
    )
    write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm", [MINE])
    assert faults(tmp_path / "a.dcm") == []
    found, _ = read_back(tmp_path / "a.dcm")
    mine = found.get_segment_description(1)
    assert concept(mine.segmented_property_category) == ("SCT", "49755003", "Morphologically Altered Structure")
    assert concept(mine.segmented_property_type) == ("SCT", "4147007", "Mass")
    assert mine.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert [concept(region) for region in mine.anatomic_regions] == [("SCT", "12738006", "Brain")]


def test_who_signed_it_off_is_the_creator(node, volume_node, tmp_path):
    for segment_id in (MODEL, EDITED, MINE):
        set_status(node, segment_id, Status.COMPLETED)
    sign_off(node, "Ada Lovelace")
    write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm")
    assert dcmread(tmp_path / "a.dcm").ContentCreatorName == "Lovelace^Ada"
    set_status(node, MODEL, Status.FLAGGED)
    write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm", overwrite=True)
    assert not dcmread(tmp_path / "a.dcm").get("ContentCreatorName")


def oblique(data_set, index: int) -> None:
    along_row, along_column = np.array([0.8, 0.6, 0.0]), np.array([-0.48, 0.64, -0.6])
    data_set.ImageOrientationPatient = [*along_row, *along_column]
    data_set.ImagePositionPatient = [f"{x:.6f}" for x in 2.5 * index * np.cross(along_row, along_column)]
    data_set.PixelSpacing = [0.5, 0.75]


@pytest.mark.parametrize("flipped", [False, True])
def test_slices_may_be_counted_from_the_other_end_in_slicer(scene, tmp_path, monkeypatch, flipped: bool):
    volume_node = load(scene, changed("hippocampus_mr", tmp_path / "series", oblique), monkeypatch)
    if flipped:
        turning = np.diag([1.0, 1.0, -1.0, 1.0])
        turning[2, 3] = volume_node.GetImageData().GetDimensions()[2] - 1
        volume_node.SetIJKToRASMatrix(vtk_matrix(volume_affine(volume_node) @ turning))
    node = segmented(scene, volume_node)
    write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm")
    assert faults(tmp_path / "a.dcm") == []
    assert_same_segments(tmp_path / "a.dcm", node, volume_node)


def with_identifiers(target: Path) -> Path:
    """The compressed CT, which was anonymised, with the identifiers without which Slicer's database takes no file."""
    target.mkdir()
    for path in (REAL / "ct_jpeg2000").iterdir():
        data_set = dcmread(path)
        data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID
        data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID
        data_set.StudyInstanceUID, data_set.SeriesInstanceUID = "1.2.3", "1.2.3.4"
        data_set.save_as(target / path.name)
    return target


def enhanced(target: Path) -> Path:
    return Path(shutil.copytree(REAL / "enhanced_mr", target))


@pytest.mark.parametrize("make", [with_identifiers, enhanced])
def test_compressed_and_enhanced_images_are_sources_too(scene, tmp_path, monkeypatch, make):
    volume_node = load(scene, make(tmp_path / "series"), monkeypatch)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    node.GetSegmentation().AddEmptySegment(MINE, "Mine")
    Pencil(scene, node, volume_node).paint(MINE, np.s_[10:20, 5:9, 1:3])
    write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm")
    assert faults(tmp_path / "a.dcm") == []
    assert_same_segments(tmp_path / "a.dcm", node, volume_node)


def test_both_may_lie_under_one_transform_but_not_under_two(scene, node, volume_node, tmp_path):
    moved = add_linear_transform(scene, geometry(np.eye(3), (1, 1, 1)))
    node.SetAndObserveTransformNodeID(moved.GetID())
    with pytest.raises(GridMismatch, match="different transforms"):
        write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm")
    volume_node.SetAndObserveTransformNodeID(moved.GetID())
    write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm")
    assert_same_segments(tmp_path / "a.dcm", node, volume_node)


def test_segments_that_do_not_lie_on_the_images_voxels_are_refused(node, volume_node, tmp_path):
    volume_affine(volume_node)
    labelmap = node.GetSegmentation().GetSegment(MINE).GetRepresentation("Binary labelmap")
    moved = volume_affine(volume_node)
    moved[:3, 3] += 0.4
    labelmap.SetImageToWorldMatrix(vtk_matrix(moved))
    with pytest.raises(GridMismatch, match="“Mine” does not lie on the voxels"):
        write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm", [MINE])
    assert not (tmp_path / "a.dcm").exists()


def test_a_surface_alone_is_refused(node, volume_node, tmp_path):
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    node.GetSegmentation().GetSegment(MINE).RemoveRepresentation("Binary labelmap")
    with pytest.raises(OutputRejected, match="a surface only"):
        write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm", [MINE])


def test_a_volume_that_is_not_from_dicom_is_refused(node, volume_node, tmp_path):
    volume_node.RemoveAttribute("DICOM.instanceUIDs")
    with pytest.raises(OutputRejected, match="was not loaded from DICOM"):
        write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm")


def test_images_that_are_gone_are_counted(node, volume_node, series, tmp_path, monkeypatch):
    (series / "003.dcm").unlink()
    with pytest.raises(OutputRejected, match="1 of the 32 images of “HippoCrop”"):
        write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm")
    monkeypatch.setattr(slicer, "dicomDatabase", None)
    with pytest.raises(OutputRejected, match="32 of the 32 images"):
        write_dicom_seg_of(node, volume_node, tmp_path / "a.dcm")


def test_what_was_the_models_once_is_never_called_manual(scene, node):
    assert how_made(node, MODEL) is HowMade.AUTOMATIC
    scene.RemoveNode(scene.GetFirstNodeByClass("vtkMRMLTextNode"))
    assert how_made(node, MODEL) is HowMade.SEMIAUTOMATIC
    assert how_made(node, MINE) is HowMade.MANUAL
