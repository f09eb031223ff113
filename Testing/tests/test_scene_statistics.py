"""Volume and mean intensity of segments, and who is told when they change."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from TransformerSegLib.inference.statistics import segment_statistics
from TransformerSegLib.scene.labelmaps import BINARY_LABELMAP, labelmap_of, make_labelmap, mask_of
from TransformerSegLib.scene.segment_watcher import SegmentWatcher
from TransformerSegLib.scene.statistics import segment_statistics_of
from TransformerSegLib.scene.undoing import undo_run
from TransformerSegLib.scene.volumes import add_volume_node, volume_from_node, voxels

from example_segmentation import AFFINES, example_segmentation, example_volume, geometry, rotation
from mrml_transforms import add_linear_transform
from scene_runs import masks, put, reopened, shifted
from segment_edits import EDITOR

OBLIQUE = AFFINES["oblique"]
FIRST, EMPTY, LAST, OVERLAPPING = "Segment_2", "Segment_4", "Segment_9", "Segment_20"


@pytest.fixture
def told(node):
    heard: list[set[str]] = []
    watcher = SegmentWatcher(node, heard.append)
    yield heard
    watcher.close()


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_segments_measure_what_the_run_measured(scene, affine: np.ndarray, tmp_path):
    result, volume = example_segmentation(affine, layers=3), example_volume(affine)
    volume_node = add_volume_node(scene, volume)
    node = put(scene, result, volume_node).node
    expected = segment_statistics(result, volume)

    def check(node, volume_node) -> None:
        for label, statistics in expected.items():
            found = segment_statistics_of(node, f"Segment_{label}", volume_node)
            assert found.voxels == statistics.voxels
            assert found.volume_ml == pytest.approx(statistics.volume_ml)
            assert found.mean_intensity == (None if not statistics.voxels else pytest.approx(statistics.mean_intensity))

    check(node, volume_node)
    with reopened(scene, tmp_path / "saved") as other_scene:
        check(
            other_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode"),
            other_scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"),
        )


def test_statistics_follow_a_correction(node, volume_node, pencil):
    pencil.paint(FIRST, np.s_[0:4, 0:4, 0:4])
    mask = masks(node, OBLIQUE)[FIRST]
    found = segment_statistics_of(node, FIRST, volume_node)
    assert found.voxels == mask.sum()
    assert found.mean_intensity == pytest.approx(volume_from_node(volume_node).array[mask].mean())


def test_without_a_volume_that_lies_there_intensity_is_unknown(scene, node, volume_node):
    assert segment_statistics_of(node, FIRST, None).mean_intensity is None
    assert segment_statistics_of(node, FIRST, None).voxels == 5 * 3 * 8
    other_grid = add_volume_node(scene, example_volume(AFFINES["sagittal"]))
    assert segment_statistics_of(node, FIRST, other_grid).mean_intensity is None
    too_small = add_volume_node(scene, example_volume(OBLIQUE, shape=(13, 9, 5)))
    assert segment_statistics_of(node, FIRST, too_small).mean_intensity is None
    moved = add_volume_node(scene, example_volume(OBLIQUE))
    moved.SetAndObserveTransformNodeID(add_linear_transform(scene, geometry(rotation(5), (1, 1, 1))).GetID())
    assert segment_statistics_of(node, FIRST, moved).mean_intensity is None


def test_a_mask_is_cropped_to_its_segment_though_the_labelmap_is_larger(node):
    mask = mask_of(node.GetSegmentation().GetSegment(FIRST))
    assert (mask.array.shape, mask.start) == ((5, 3, 8), (2, 3, 1))
    assert mask_of(node.GetSegmentation().GetSegment(EMPTY)).array.size == 0


def test_only_the_segment_that_was_drawn_in_is_told(node, pencil, told):
    assert labelmap_of(node.GetSegmentation().GetSegment(FIRST)) is labelmap_of(node.GetSegmentation().GetSegment(LAST))
    pencil.erase(FIRST, np.s_[2:4, 3:5, 1:4])
    assert set().union(*told) == {FIRST}


def test_neighbours_that_were_painted_over_are_told_too(pencil, told):
    pencil.paint(FIRST, np.s_[6:9, 4:7, 4:9], EDITOR.OverwriteAllSegments)
    assert set().union(*told) == {FIRST, LAST, OVERLAPPING}


def test_drawing_where_the_segment_is_already_tells_nothing_of_others(pencil, told):
    pencil.paint(FIRST, np.s_[3:4, 4:5, 3:4])
    assert set().union(*told) <= {FIRST}


def test_an_edit_beyond_the_labelmap_is_told(pencil, told):
    pencil.paint(EMPTY, np.s_[0:1, 0:1, 0:1])
    assert EMPTY in set().union(*told)
    assert LAST not in set().union(*told)


def test_voxels_that_a_script_changes_in_place_are_told(node, told):
    labelmap = labelmap_of(node.GetSegmentation().GetSegment(LAST))
    array = voxels(labelmap)
    array[tuple(np.argwhere(array == 9)[0])] = 0
    labelmap.Modified()
    assert set().union(*told) == {LAST}


def test_names_colours_new_and_removed_segments_are_told(node, told):
    segmentation = node.GetSegmentation()
    segmentation.GetSegment(FIRST).SetName("mine")
    assert told.pop() == {FIRST}
    segmentation.GetSegment(LAST).SetColor(0.1, 0.2, 0.3)
    assert told.pop() == {LAST}
    new = segmentation.AddEmptySegment("", "new")
    assert new in set().union(*told)
    told.clear()
    segmentation.RemoveSegment(new)
    assert new in set().union(*told)


def test_a_run_and_its_undo_are_told(scene, node, volume_node, told):
    result = shifted(example_segmentation(OBLIQUE, layers=2)).of_classes(["C"])
    put(scene, result, volume_node, node)
    assert LAST in set().union(*told)
    told.clear()
    undo_run(node)
    assert LAST in set().union(*told)


def test_a_segment_that_an_undo_brings_back_after_a_person_deleted_it_is_told(scene, node, volume_node, told):
    put(scene, shifted(example_segmentation(OBLIQUE, layers=2)), volume_node, node)
    node.GetSegmentation().RemoveSegment(LAST)
    told.clear()
    undo_run(node)
    assert LAST in set().union(*told)


def test_segments_that_only_share_a_labelmap_with_a_replaced_one_are_not_told(scene, node, volume_node, told):
    result = shifted(example_segmentation(OBLIQUE, layers=2)).of_classes(["C"])
    shared = labelmap_of(node.GetSegmentation().GetSegment(FIRST))
    put(scene, result, volume_node, node)
    assert labelmap_of(node.GetSegmentation().GetSegment(FIRST)) is not shared
    assert set().union(*told) == {LAST}
    told.clear()
    undo_run(node)
    assert set().union(*told) == {LAST}


def test_edits_of_a_new_segment_are_told(node, pencil, told):
    new = node.GetSegmentation().AddEmptySegment("", "new")
    for box in (np.s_[0:2, 0:2, 0:2], np.s_[5:7, 0:2, 0:2]):
        told.clear()
        pencil.paint(new, box)
        assert set().union(*told) == {new}


def test_an_edit_that_is_taken_back_is_told_again(pencil, told):
    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])
    told.clear()
    pencil.logic.Undo()
    assert FIRST in set().union(*told)
    told.clear()
    pencil.logic.Redo()
    assert FIRST in set().union(*told)


def test_a_whole_labelmap_that_slicer_sets_is_told(node, told):
    labelmap = make_labelmap(np.ones((2, 3, 4), np.uint8), OBLIQUE, np.dtype(np.uint8))
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(labelmap, node, EMPTY)
    assert EMPTY in set().union(*told)


def test_after_close_nothing_is_told(node, pencil):
    heard = []
    watcher = SegmentWatcher(node, heard.append)
    watcher.close()
    watcher.close()
    pencil.erase(FIRST, np.s_[2:4, 3:5, 1:4])
    node.GetSegmentation().GetSegment(FIRST).SetName("mine")
    assert heard == []


def test_a_segment_that_loses_its_labelmap_is_empty(node, volume_node):
    node.GetSegmentation().GetSegment(FIRST).RemoveRepresentation(BINARY_LABELMAP)
    assert segment_statistics_of(node, FIRST, volume_node).voxels == 0
