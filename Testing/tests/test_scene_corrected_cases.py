"""Corrected segmentations, written as cases to be trained on by Slicer's own writers, and read again."""

from __future__ import annotations

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
from TransformerSegLib.scene.volumes import add_volume_node, volume_from_node

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


def test_of_two_completed_segmentations_of_one_volume_none_takes_the_place_of_the_other(scene, case, tmp_path):
    second = put(scene, example_segmentation(AFFINES["oblique"]), case.volume).node
    complete(second)

    with pytest.raises(TrainingDataRejected, match="nothing tells which of them is to be learned"):
        write_cases(completed_cases(scene), tmp_path)

    assert list(tmp_path.iterdir()) == []
