"""Clicks on the frames of a sequence: each stays in its own, with Slicer's own sequences logic."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from TransformerSegLib.interaction.doubt import Doubt
from TransformerSegLib.interaction.doubtful_places import DoubtfulPlace
from TransformerSegLib.scene.changed_voxels import changed_voxels
from TransformerSegLib.scene.click_points import points_node
from TransformerSegLib.scene.clicks import Clicks, clicks_on
from TransformerSegLib.scene.doubt_record import doubt_record, store_doubt
from TransformerSegLib.scene.made import Maker, makers
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.sequences import add_frame, frames_of
from TransformerSegLib.scene.volumes import add_volume_node

from clicked_scene import CLASSES, SHAPE, ball_result, place
from example_segmentation import AFFINES, example_volume
from scene_runs import assert_same_masks, masks, put, reopened
from segment_edits import Pencil

AFFINE = AFFINES["oblique"]
COUNT = 3
ADDED, TAKEN = (15, 27, 14), (15, 13, 14)
"""Outside of the anterior ball in every frame; inside."""


@pytest.fixture
def scene():
    with offscreen_application() as application:
        logic = slicer.vtkSlicerSequencesLogic()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(application.GetMRMLScene())
        yield application.GetMRMLScene()
        logic.SetMRMLScene(None)


@pytest.fixture
def frames(scene):
    """The balls of frame n lie n voxels further."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "beating")
    node = add_volume_node(scene, example_volume(AFFINE, shape=SHAPE))
    for number in range(COUNT):
        sequence.SetDataNodeAtValue(node, f"{number / 10}")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(node, sequence, False)
    browser.SetSelectedItemNumber(0)
    frames = frames_of(node)
    for number in range(COUNT):
        result = put(scene, ball_result(AFFINE, by=(0, number, 0)), node).node
        doubt = Doubt(1.0, (DoubtfulPlace((5, 5, number), 0.1),), dict.fromkeys(CLASSES.values(), 0.9 - number / 10))
        store_doubt(result, tuple(CLASSES), doubt)
        add_frame(frames, number, result)
    return frames


@pytest.fixture
def node(frames):
    return frames.browser.GetProxyNode(frames.results)


def now(node) -> dict[str, np.ndarray]:
    return masks(node, AFFINE, SHAPE)


def proposed(number: int) -> dict[str, np.ndarray]:
    result = ball_result(AFFINE, by=(0, number, 0))
    return {f"Segment_{segment.definition.label}": result.mask(segment) for segment in result.segments}


def visible(node) -> list[bool]:
    points = points_node(node)
    return [bool(points.GetNthControlPointVisibility(n)) for n in range(points.GetNumberOfControlPoints())]


def test_clicks_change_the_frame_in_which_they_were_set_and_no_other(frames, node):
    clicks, states = Clicks(node), {}
    for number in (0, 2):
        frames.browser.SetSelectedItemNumber(number)
        clicks.follow()
        clicks.click("Segment_1", place(AFFINE, ADDED), True)
        clicks.click("Segment_1", place(AFFINE, TAKEN), False)
        states[number] = now(node)
        assert states[number]["Segment_1"][ADDED]
        assert not states[number]["Segment_1"][TAKEN]
        assert clicks.number == 2
    for number in (1, 0, 2, 0):
        frames.browser.SetSelectedItemNumber(number)
        assert not clicks.follow()
        assert_same_masks(now(node), states.get(number, proposed(number)))
        assert clicks.number == (0 if number == 1 else 2)
    frames.browser.SetSelectedItemNumber(0)
    clicks.follow()
    assert visible(node) == [True, True, False, False]


def test_a_click_of_another_frame_has_no_say_in_this_one(scene, frames, node):
    clicks = Clicks(node)
    clicks.click("Segment_1", place(AFFINE, ADDED), True)
    frames.browser.SetSelectedItemNumber(1)
    clicks.click("Segment_1", place(AFFINE, TAKEN), False)
    with_one = now(node)
    clicks.undo()
    assert_same_masks(now(node), proposed(1))
    assert not clicks.undo()
    fresh = put(scene, ball_result(AFFINE, by=(0, 1, 0)), frames.volume_node).node
    Clicks(fresh).click("Segment_1", place(AFFINE, TAKEN), False)
    assert_same_masks(masks(fresh, AFFINE, SHAPE), with_one)


def test_what_was_clicked_in_a_frame_can_be_undone_there_until_another_is_shown(frames, node):
    clicks = Clicks(node)
    clicks.click("Segment_1", place(AFFINE, ADDED), True)
    clicks.undo()
    assert_same_masks(now(node), proposed(0))
    clicks.redo()
    clicked = now(node)
    frames.browser.SetSelectedItemNumber(1)
    assert not clicks.undo()
    assert_same_masks(now(node), proposed(1))
    frames.browser.SetSelectedItemNumber(0)
    assert not clicks.undo()
    assert_same_masks(now(node), clicked)
    points_node(node).RemoveNthControlPoint(0)
    assert clicks.follow()
    assert_same_masks(now(node), proposed(0))


def test_a_frame_without_a_result_shows_no_clicks_and_takes_none_away(frames, node):
    clicks = Clicks(node)
    clicks.click("Segment_1", place(AFFINE, ADDED), True)
    clicked = now(node)
    frames.results.RemoveDataNodeAtValue("0.1")
    for number in (1, 0):
        frames.browser.SetSelectedItemNumber(number)
        assert not clicks.follow()
    assert_same_masks(now(node), clicked)
    assert clicks.number == 1


def test_a_persons_voxels_stay_in_their_frame_and_are_not_clicked_away(scene, frames, node):
    clicks = Clicks(node)
    Pencil(scene, node, frames.volume_node).paint("Segment_1", np.s_[14:17, 26:29, 13:16])
    painted = now(node)["Segment_1"] & ~proposed(0)["Segment_1"]
    frames.browser.SetSelectedItemNumber(1)
    clicks.follow()
    clicks.click("Segment_1", place(AFFINE, ADDED), True)
    frames.browser.SetSelectedItemNumber(0)
    clicks.follow()
    clicks.click("Segment_1", place(AFFINE, (15, 25, 12)), False)
    assert now(node)["Segment_1"][painted].all()


def test_each_frame_has_its_own_doubt_and_its_own_count_of_changes(frames, node):
    clicks = Clicks(node)
    clicks.click("Segment_1", place(AFFINE, ADDED), True)
    for number in (2, 1, 0):
        frames.browser.SetSelectedItemNumber(number)
        record = doubt_record(node)
        assert record.dice["Segment_1"] == pytest.approx(0.9 - number / 10)
        np.testing.assert_allclose(record.places[0].middle, place(AFFINE, (5, 5, number)), atol=1e-3)
        assert (changed_voxels(node, "Segment_1").by_clicks > 0) == (number == 0)
        assert changed_voxels(node, "Segment_1").by_hand == 0
    assert makers(node)["Segment_1"] is Maker.MODEL_THEN_PERSON


def test_a_saved_scene_has_the_clicks_of_all_frames(scene, frames, node, tmp_path):
    clicks, states = Clicks(node), {}
    for number in range(2):
        frames.browser.SetSelectedItemNumber(number)
        clicks.click("Segment_1", place(AFFINE, ADDED), True)
        states[number] = now(node)
    with reopened(scene, tmp_path / "saved") as other_scene:
        browser = other_scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
        other = other_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        for number in (1, 0, 2):
            browser.SetSelectedItemNumber(number)
            assert not clicks_on(other).follow()
            assert clicks_on(other).number == (number < 2)
            assert_same_masks(now(other), states.get(number, proposed(number)))
            assert changed_voxels(other, "Segment_1").by_hand == 0
