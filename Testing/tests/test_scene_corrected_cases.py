"""Corrected segmentations, written as cases to be trained on by Slicer's own writers, and read again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer

from TransformerSegLib.errors import GridMismatch, OutputRejected, TrainingDataRejected
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.scene.corrected_cases import (
    CorrectedCase,
    completed_cases,
    is_completed,
    write_case,
    write_cases,
)
from TransformerSegLib.scene.sign_off import review_of, sign_off
from TransformerSegLib.scene.volumes import add_volume_node, volume_from_node
from TransformerSegLib.training.data_list import read_data

from example_segmentation import AFFINES, SHAPE, example_segmentation, example_volume
from mrml_reading import read_segmentation_node
from mrml_transforms import add_linear_transform
from scene_runs import masks, names, put
from segment_edits import set_completed


def complete(node: slicer.vtkMRMLSegmentationNode) -> None:
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        set_completed(node, segment_id)


@pytest.fixture
def case(node, volume_node) -> CorrectedCase:
    complete(node)
    return CorrectedCase(node, volume_node)


def test_a_segmentation_is_a_case_once_every_segment_is_marked_completed(scene, node, volume_node):
    first, *others = node.GetSegmentation().GetSegmentIDs()
    for segment_id in others:
        set_completed(node, segment_id)
    assert completed_cases(scene) == []

    set_completed(node, first)

    assert completed_cases(scene) == [CorrectedCase(node, volume_node)]


def test_a_segmentation_whose_volume_was_deleted_is_no_case(scene, case):
    scene.RemoveNode(case.volume)

    assert completed_cases(scene) == []


def test_a_segmentation_without_segments_is_no_case(scene, case):
    case.segmentation.GetSegmentation().RemoveAllSegments()

    assert completed_cases(scene) == []


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_a_case_comes_out_of_its_files_as_it_was_drawn(scene, affine, tmp_path):
    volume_node = add_volume_node(scene, example_volume(affine, "Kopf größer / 1"))
    node = put(scene, example_segmentation(affine, layers=2), volume_node).node
    complete(node)

    path = write_case(CorrectedCase(node, volume_node), tmp_path)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["Kopf_größer_1.nrrd", "Kopf_größer_1.seg.nrrd"]
    found, written = read_volume(tmp_path / "Kopf_größer_1.nrrd"), volume_from_node(volume_node)
    np.testing.assert_array_equal(found.array, written.array)
    np.testing.assert_allclose(found.affine, affine, atol=1e-6)
    read = read_segmentation_node(scene, path)
    assert names(read) == names(node)
    assert is_completed(read)
    for name, mask in masks(node, affine, SHAPE).items():
        np.testing.assert_array_equal(masks(read, affine, SHAPE)[name], mask)


def test_a_case_that_is_corrected_further_takes_the_place_of_what_was_written(scene, case, pencil, tmp_path):
    segment_id = case.segmentation.GetSegmentation().GetSegmentIDs()[0]
    path = write_case(case, tmp_path)
    pencil.paint(segment_id, np.s_[0:2, 0:2, 0:2])

    assert write_case(case, tmp_path) == path
    assert len(list(tmp_path.iterdir())) == 2
    read = read_segmentation_node(scene, path)
    affine = AFFINES["oblique"]
    np.testing.assert_array_equal(masks(read, affine)[segment_id], masks(case.segmentation, affine)[segment_id])


def test_another_volume_of_the_same_name_is_not_replaced(scene, case, tmp_path):
    first = write_case(case, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    array = volume_from_node(case.volume).array
    case.volume.GetImageData().GetPointData().GetScalars().Fill(float(array.max()))

    second = write_case(case, tmp_path)

    assert second != first
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(after) == 4
    assert before.items() <= after.items()


def test_a_file_of_another_program_is_not_replaced(case, tmp_path):
    first = write_case(case, tmp_path)
    volume = first.with_name(first.name.replace(".seg", ""))
    volume.write_text("no volume")

    assert write_case(case, tmp_path) != first
    assert volume.read_text() == "no volume"


def test_nodes_under_different_transforms_are_refused(scene, case, tmp_path):
    case.volume.SetAndObserveTransformNodeID(add_linear_transform(scene, np.diag([1, 1, 2, 1])).GetID())

    with pytest.raises(GridMismatch, match="different transforms"):
        write_case(case, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_is_refused(case, tmp_path):
    with pytest.raises(OutputRejected, match="does not exist"):
        write_case(case, tmp_path / "gone")


def test_a_signed_off_case_says_so_in_the_list_that_a_training_takes(scene, case, pencil, tmp_path):
    segment_id = case.segmentation.GetSegmentation().GetSegmentIDs()[0]
    pencil.paint(segment_id, np.s_[0:2, 0:2, 0:2])
    review = sign_off(case.segmentation, "Ada Lovelace")

    write_cases(completed_cases(scene), tmp_path)

    (entry,) = json.loads((tmp_path / "cases.json").read_text(encoding="utf-8"))["training"]
    assert (entry["image"], entry["label"]) == ("Kopf.nrrd", "Kopf.seg.nrrd")
    assert entry["reviewed"]["by"] == "Ada Lovelace"
    assert entry["reviewed"]["time"] == review.time
    assert (entry["reviewed"]["voxels_changed_by_hand"], entry["reviewed"]["voxels_changed_by_clicks"]) == (8, 0)
    assert review_of(read_segmentation_node(scene, tmp_path / "Kopf.seg.nrrd")) == review
    for path in (tmp_path, tmp_path / "cases.json"):
        data = read_data(path, validation=0)
        assert [each.name for each in data.cases] == ["Kopf"]
        assert [each.name for each in data.classes] == ["Anterior Größe", "Nothing", "C", "Overlapping 1"]
    assert "1 of 1 case is signed off" in read_data(tmp_path, validation=0).notes


def test_cases_of_several_scenes_come_together_in_one_list(scene, case, tmp_path):
    write_cases(completed_cases(scene), tmp_path)
    case.volume.SetName("Knie")
    case.volume.GetImageData().GetPointData().GetScalars().SetComponent(0, 0, 7)
    sign_off(case.segmentation)
    write_cases(completed_cases(scene), tmp_path)
    (tmp_path / "Kopf.nrrd").with_suffix(".txt").write_text("notes")
    listed = json.loads((tmp_path / "cases.json").read_text(encoding="utf-8"))["training"]
    assert [entry["label"] for entry in listed] == ["Kopf.seg.nrrd", "Knie.seg.nrrd"]
    assert ["reviewed" in entry for entry in listed] == [False, True]
    (tmp_path / "Kopf.seg.nrrd").unlink()
    write_cases(completed_cases(scene), tmp_path)
    listed = json.loads((tmp_path / "cases.json").read_text(encoding="utf-8"))["training"]
    assert [entry["label"] for entry in listed] == ["Knie.seg.nrrd"]


@pytest.mark.parametrize("content", ["mine", "[]", '{"training": []}'])
def test_a_list_that_somebody_else_wrote_stays_as_it_is(scene, case, content: str, tmp_path):
    (tmp_path / "cases.json").write_text(content)
    write_cases(completed_cases(scene), tmp_path)
    assert (tmp_path / "cases.json").read_text() == content
    assert (tmp_path / "Kopf.seg.nrrd").is_file()


def test_of_a_segmentation_that_was_signed_off_in_part_only_that_part_is_learned(scene, node, volume_node, tmp_path):
    first, second, *_ = node.GetSegmentation().GetSegmentIDs()
    for segment_id in (first, second):
        set_completed(node, segment_id)
    assert completed_cases(scene) == []
    review = sign_off(node, wanted=[first, second])

    (found,) = completed_cases(scene)
    path = write_case(found, tmp_path)

    assert found == CorrectedCase(node, volume_node, review)
    read = read_segmentation_node(scene, path)
    assert list(read.GetSegmentation().GetSegmentIDs()) == [first, second]
    assert review_of(read) == review
    affine = AFFINES["oblique"]
    np.testing.assert_array_equal(masks(read, affine)[first], masks(node, affine)[first])
    assert node.GetSegmentation().GetNumberOfSegments() == 4
    assert len(read_data(tmp_path, validation=0).cases) == 1


def test_of_two_completed_segmentations_of_one_volume_none_takes_the_place_of_the_other(scene, case, tmp_path):
    second = put(scene, example_segmentation(AFFINES["oblique"]), case.volume).node
    complete(second)

    with pytest.raises(TrainingDataRejected, match="nothing tells which of them is to be learned"):
        write_cases(completed_cases(scene), tmp_path)

    assert list(tmp_path.iterdir()) == []
