"""Frames of a sequence of volumes, and their results beside them, with Slicer's own sequences logic."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from TransformerSegLib.scene.made import Maker, makers
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.segment_watcher import SegmentWatcher
from TransformerSegLib.scene.sequences import add_frame, frame_volume, frames_of
from TransformerSegLib.scene.undoing import can_undo, undo_run
from TransformerSegLib.scene.volumes import add_volume_node, volume_from_node

from example_segmentation import AFFINES, example_segmentation, example_volume
from scene_runs import assert_same_masks, masks, put, reopened, shifted
from segment_edits import Pencil

OBLIQUE = AFFINES["oblique"]
COUNT = 3


@pytest.fixture
def application():
    with offscreen_application() as application:
        logic = slicer.vtkSlicerSequencesLogic()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(application.GetMRMLScene())
        yield application
        logic.SetMRMLScene(None)


@pytest.fixture
def scene(application):
    return application.GetMRMLScene()


@pytest.fixture
def volume_node(scene):
    """A volume that shows the first of three frames, each 100 brighter than the one before."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "beating")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    node = add_volume_node(scene, example_volume(OBLIQUE))
    for number in range(COUNT):
        slicer.util.arrayFromVolume(node)[:] = example_volume(OBLIQUE).array.T + 100 * number
        sequence.SetDataNodeAtValue(node, f"{number / 10}")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(node, sequence, False)
    browser.SetSelectedItemNumber(0)
    return node


def test_a_volume_that_is_shown_from_a_sequence_has_frames(scene, volume_node):
    frames = frames_of(volume_node)
    assert (frames.count, frames.current) == (COUNT, 0)
    frames.browser.SetSelectedItemNumber(2)
    assert frames.current == 2
    assert frames_of(add_volume_node(scene, example_volume(OBLIQUE))) is None


def test_every_frame_can_be_read_while_another_is_shown(volume_node):
    frames = frames_of(volume_node)
    for number in range(COUNT):
        volume = frame_volume(frames, number)
        np.testing.assert_array_equal(volume.array, example_volume(OBLIQUE).array + 100 * number)
        np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-12)
    assert frames.current == 0
    for outside in (-1, COUNT):
        with pytest.raises(IndexError):
            frame_volume(frames, outside)


def all_frames(scene, volume_node):
    """Each frame's result is shifted by as many voxels."""
    frames = frames_of(volume_node)
    for number in range(COUNT):
        node = put(scene, shifted(example_segmentation(OBLIQUE, layers=2), number), volume_node).node
        shown = add_frame(frames, number, node)
    return frames, shown


def expected(number: int) -> dict[str, np.ndarray]:
    result = shifted(example_segmentation(OBLIQUE, layers=2), number)
    return {f"Segment_{segment.definition.label}": result.mask(segment) for segment in result.segments}


def test_results_play_along_with_the_volume(scene, volume_node):
    frames, node = all_frames(scene, volume_node)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    for number in (0, 2, 1, 0):
        frames.browser.SetSelectedItemNumber(number)
        np.testing.assert_array_equal(volume_from_node(volume_node).array, example_volume(OBLIQUE).array + 100 * number)
        assert_same_masks(masks(node, OBLIQUE), expected(number))
        assert set(makers(node).values()) == {Maker.MODEL}


def test_a_frame_without_a_result_yet_shows_none(scene, volume_node):
    frames = frames_of(volume_node)
    node = add_frame(frames, 0, put(scene, example_segmentation(OBLIQUE), volume_node).node)
    frames.browser.SetSelectedItemNumber(1)
    assert node.GetSegmentation().GetNumberOfSegments() == 0
    frames.browser.SetSelectedItemNumber(0)
    assert node.GetSegmentation().GetNumberOfSegments() == 3


def test_what_a_person_draws_in_a_frame_stays_there(scene, volume_node):
    frames, node = all_frames(scene, volume_node)
    frames.browser.SetSelectedItemNumber(1)
    Pencil(scene, node, volume_node).paint("Segment_2", np.s_[0:3, 0:3, 0:3])
    drawn = masks(node, OBLIQUE)
    for number in (2, 0):
        frames.browser.SetSelectedItemNumber(number)
        assert_same_masks(masks(node, OBLIQUE), expected(number))
    frames.browser.SetSelectedItemNumber(1)
    assert_same_masks(masks(node, OBLIQUE), drawn)
    assert makers(node)["Segment_2"] is Maker.MODEL_THEN_PERSON


def test_a_second_run_over_all_frames_makes_a_second_sequence(scene, volume_node):
    first, _ = all_frames(scene, volume_node)
    second, node = all_frames(scene, volume_node)
    assert first.results is not second.results
    first.browser.SetSelectedItemNumber(2)
    assert_same_masks(masks(node, OBLIQUE), expected(2))
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2


def test_a_saved_scene_has_the_results_of_all_frames(scene, volume_node, tmp_path):
    all_frames(scene, volume_node)
    with reopened(scene, tmp_path / "saved") as other_scene:
        browser = other_scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
        node = other_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        for number in (2, 1, 0):
            browser.SetSelectedItemNumber(number)
            assert_same_masks(masks(node, OBLIQUE), expected(number))
            assert set(makers(node).values()) == {Maker.MODEL}


def test_who_watches_the_result_is_told_when_another_frame_is_shown(scene, volume_node):
    frames, node = all_frames(scene, volume_node)
    told = []
    watcher = SegmentWatcher(node, told.append)
    frames.browser.SetSelectedItemNumber(1)
    assert set().union(*told) == set(expected(1))
    told.clear()
    Pencil(scene, node, volume_node).paint("Segment_2", np.s_[0:3, 0:3, 0:3])
    assert set().union(*told) == {"Segment_2"}
    watcher.close()
    frames.browser.SetSelectedItemNumber(2)
    assert set().union(*told) == {"Segment_2"}


def test_a_run_into_one_frame_is_taken_back_in_that_frame_alone(scene, volume_node):
    frames, node = all_frames(scene, volume_node)
    assert not can_undo(node)
    frames.browser.SetSelectedItemNumber(1)
    put(scene, shifted(example_segmentation(OBLIQUE, layers=2), 4), volume_node, node)
    assert can_undo(node)
    frames.browser.SetSelectedItemNumber(2)
    assert not can_undo(node)
    assert_same_masks(masks(node, OBLIQUE), expected(2))
    frames.browser.SetSelectedItemNumber(1)
    assert_same_masks(masks(node, OBLIQUE), expected(4))
    undo_run(node)
    assert_same_masks(masks(node, OBLIQUE), expected(1))
