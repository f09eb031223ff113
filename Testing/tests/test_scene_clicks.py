"""Clicks on real MRML segmentations: obeyed where they are set, confined, undone, moved, deleted, saved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.errors import ClickRefused
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.interaction.neighbourhood import REACH_MM
from TransformerSegLib.scene.changed_voxels import changed_voxels
from TransformerSegLib.scene.click_points import ensured_points_node, points_node
from TransformerSegLib.scene.clicks import Clicks
from TransformerSegLib.scene.labelmaps import labelmap_of, segments_of
from TransformerSegLib.scene.made import Maker, edited_voxels, makers
from TransformerSegLib.scene.scene_nodes import nodes_of
from TransformerSegLib.scene.volumes import add_volume_node

from clicked_scene import CLASSES, SHAPE, ball_result, place, random_voxel
from example_segmentation import AFFINES, example_volume, geometry, rotation
from mrml_transforms import add_linear_transform
from scene_runs import masks, put, reopened
from segment_edits import Pencil, set_completed

AFFINE = AFFINES["oblique"]


@pytest.fixture
def volume_node(scene):
    return add_volume_node(scene, example_volume(AFFINE, shape=SHAPE))


@pytest.fixture
def node(scene, volume_node):
    return put(scene, ball_result(AFFINE), volume_node).node


@pytest.fixture
def clicks(node):
    return Clicks(node)


def now(node, affine=AFFINE) -> dict[str, np.ndarray]:
    return masks(node, affine, SHAPE)


@pytest.mark.parametrize("overlapping", [False, True], ids=["exclusive", "overlapping"])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_each_click_is_obeyed_where_it_was_set_and_nothing_changes_beyond_twelve_millimetres(
    scene, affine, overlapping
):
    node = put(
        scene, ball_result(affine, overlapping), add_volume_node(scene, example_volume(affine, shape=SHAPE))
    ).node
    clicks, random, obeyed = Clicks(node), np.random.default_rng(1), []
    changed = 0
    for _ in range(12):
        voxel, segment_id = random_voxel(random), str(random.choice(list(CLASSES)))
        belongs = bool(random.random() < 0.6)
        before = now(node, affine)
        clicks.click(segment_id, place(affine, voxel), belongs)
        after = now(node, affine)
        assert after[segment_id][voxel] == belongs
        if overlapping:
            np.testing.assert_array_equal(*(state[_other(segment_id)] for state in (before, after)))
        for name in CLASSES:
            for other in np.argwhere(before[name] != after[name]):
                changed += 1
                assert np.linalg.norm(place(affine, other) - place(affine, voxel)) <= REACH_MM + 1e-6
        obeyed = [(s, v, b) for s, v, b in obeyed if v != voxel] + [(segment_id, voxel, belongs)]
        assert all(after[s][v] == b for s, v, b in obeyed)
    assert changed > 100


def _other(segment_id: str) -> str:
    return next(name for name in CLASSES if name != segment_id)


def test_an_undone_click_leaves_no_trace_and_a_redone_one_is_as_before(node, clicks):
    before = now(node)
    clicks.click("Segment_1", place(AFFINE, (15, 18, 20)), True)
    clicks.click("Segment_2", place(AFFINE, (15, 18, 14)), True)
    after = now(node)
    assert clicks.undo()
    assert clicks.undo()
    assert not clicks.undo()
    _assert_same(now(node), before)
    assert points_node(node).GetNumberOfControlPoints() == 0
    assert makers(node) == dict.fromkeys(CLASSES, Maker.MODEL)
    assert clicks.redo()
    assert clicks.redo()
    _assert_same(now(node), after)
    assert points_node(node).GetNumberOfControlPoints() == 2


def test_a_moved_point_moves_its_click_and_a_removed_one_takes_it_away(node, clicks):
    before = now(node)
    clicks.click("Segment_1", place(AFFINE, (15, 18, 22)), True)
    clicked = now(node)
    points = points_node(node)
    points.SetNthControlPointPosition(0, *place(AFFINE, (15, 9, 14)))
    assert clicks.follow()
    moved = now(node)
    assert moved["Segment_1"][15, 9, 14]
    assert not moved["Segment_1"][15, 18, 22]
    points.RemoveNthControlPoint(0)
    assert clicks.follow()
    _assert_same(now(node), before)
    clicks.undo()
    clicks.undo()
    _assert_same(now(node), clicked)
    assert points.GetNumberOfControlPoints() == 1
    np.testing.assert_allclose(points.GetNthControlPointPosition(0), place(AFFINE, (15, 18, 22)))


def test_a_point_placed_by_the_mouse_says_what_was_chosen_when_it_was_placed(node, clicks):
    from TransformerSegLib.scene.click_points import Said

    points = ensured_points_node(node)
    points.AddControlPoint(*place(AFFINE, (15, 18, 22)))
    assert not clicks.follow()  # nobody said anything of it
    assert clicks.follow(Said("Segment_1", True))
    assert now(node)["Segment_1"][15, 18, 22]
    assert points.GetNthControlPointLabel(0) == "+"
    assert points.GetNthControlPointDescription(0) == "belongs to Segment_1"


def test_a_click_against_what_a_person_painted_is_refused_and_its_point_goes(node, clicks, volume_node, scene):
    Pencil(scene, node, volume_node).paint("Segment_1", np.s_[2:5, 2:5, 2:5])
    before = now(node)
    with pytest.raises(ClickRefused):
        clicks.click("Segment_1", place(AFFINE, (3, 3, 3)), False)
    _assert_same(now(node), before)
    assert points_node(node).GetNumberOfControlPoints() == 0


def test_what_a_person_paints_between_two_clicks_outlives_both_and_their_undoing(node, clicks, volume_node, scene):
    pencil = Pencil(scene, node, volume_node)
    clicks.click("Segment_1", place(AFFINE, (15, 18, 22)), True)
    pencil.erase("Segment_1", np.s_[14:17, 17:20, 19:21])
    pencil.paint("Segment_2", np.s_[10:13, 17:20, 19:21])
    clicks.click("Segment_1", place(AFFINE, (15, 20, 22)), True)
    for _ in range(2):
        state = now(node)
        assert not state["Segment_1"][14:17, 17:20, 19:21].any()
        assert state["Segment_2"][10:13, 17:20, 19:21].all()
        clicks.undo()


def test_a_completed_segment_neither_takes_nor_gives_a_voxel(node, clicks):
    set_completed(node, "Segment_2")
    before = now(node)["Segment_2"]
    with pytest.raises(ClickRefused):
        clicks.click("Segment_2", place(AFFINE, (15, 18, 14)), True)
    with pytest.raises(ClickRefused):
        clicks.click("Segment_1", place(AFFINE, (24, 18, 14)), True)
    clicks.click("Segment_1", place(AFFINE, (16, 24, 14)), True)
    np.testing.assert_array_equal(now(node)["Segment_2"], before)


def test_what_does_not_belong_goes_to_no_completed_segment_and_yet_is_obeyed(node, clicks):
    set_completed(node, "Segment_2")
    before = now(node)
    beside = next(
        tuple(voxel)
        for voxel in np.argwhere(before["Segment_1"])
        if before["Segment_2"][min(voxel[0] + 1, SHAPE[0] - 1), voxel[1], voxel[2]]
    )
    clicks.click("Segment_1", place(AFFINE, beside), False)
    after = now(node)
    assert not after["Segment_1"][beside]
    np.testing.assert_array_equal(after["Segment_2"], before["Segment_2"])


def test_what_a_hand_changed_is_told_from_what_clicks_changed(node, clicks, volume_node, scene):
    before = now(node)["Segment_1"]
    clicks.click("Segment_1", place(AFFINE, (15, 18, 22)), True)
    clicked = now(node)["Segment_1"]
    Pencil(scene, node, volume_node).paint("Segment_1", np.s_[30:33, 2:5, 2:5])
    assert edited_voxels(node, "Segment_1")[0].sum() == 27
    found = changed_voxels(node, "Segment_1")
    assert found.by_hand == 27
    assert found.by_clicks == (before != clicked).sum() > 0


def test_a_segment_that_a_person_drew_is_not_corrected_by_clicks(node, clicks):
    segment_id = node.GetSegmentation().AddEmptySegment("", "mine")
    with pytest.raises(ClickRefused, match="mine"):
        clicks.click(segment_id, place(AFFINE, (3, 3, 3)), True)


def test_clicks_go_where_their_segmentation_goes(scene, volume_node, node, clicks):
    transform = add_linear_transform(scene, geometry(rotation(5), (1, 1, 1)))
    clicks.click("Segment_1", place(AFFINE, (15, 18, 22)), True)
    for each in (volume_node, node):
        each.SetAndObserveTransformNodeID(transform.GetID())
    after = now(node)
    clicks.follow()
    _assert_same(now(node), after)
    world, middle = np.zeros(3), (place(AFFINE, (15, 18, 22)))
    points_node(node).GetNthControlPointPositionWorld(0, world)
    np.testing.assert_allclose(world, (geometry(rotation(5), (1, 1, 1)) @ (*middle, 1))[:3], atol=1e-9)
    points_node(node).AddControlPointWorld(*(geometry(rotation(5), (1, 1, 1)) @ (*place(AFFINE, (15, 9, 14)), 1))[:3])
    from TransformerSegLib.scene.click_points import Said

    clicks.follow(Said("Segment_1", True))
    assert now(node)["Segment_1"][15, 9, 14]


def test_a_reopened_scene_knows_clicks_and_what_a_person_painted(scene, node, volume_node, clicks, tmp_path):
    pencil = Pencil(scene, node, volume_node)
    clicks.click("Segment_1", place(AFFINE, (15, 18, 22)), True)
    # a person takes back, voxel for voxel, a part of what the click had brought: to be known as theirs all the same
    part = np.s_[14:17, 17:20, 21:24]
    taken_back = now(node)["Segment_1"][part]
    assert taken_back.any()
    pencil.erase("Segment_1", part)
    clicks.click("Segment_2", place(AFFINE, (26, 18, 20)), True)
    before = now(node)
    with reopened(scene, tmp_path / "saved") as opened:
        [again] = nodes_of(opened, "vtkMRMLSegmentationNode")
        new = Clicks(again)
        assert new.number == 2
        assert not new.can_undo
        _assert_same(now(again), before)
        assert not new.follow()
        new.click("Segment_1", place(AFFINE, (12, 18, 22)), True)
        assert not now(again)["Segment_1"][part][taken_back].any()
        assert now(again)["Segment_2"][26, 18, 20]
        points_node(again).RemoveNthControlPoint(1)
        new.follow()
        assert not now(again)["Segment_2"][26, 18, 20]


def test_segments_in_one_labelmap_that_may_overlap_are_taken_apart_where_they_do(scene, volume_node):
    node = put(scene, _packed(ball_result(AFFINE, overlapping=True)), volume_node).node
    first, second = segments_of(node.GetSegmentation()).values()
    assert labelmap_of(first) is labelmap_of(second)
    before = now(node)
    Clicks(node).click("Segment_2", place(AFFINE, (15, 18, 14)), True)
    after = now(node)
    assert after["Segment_2"][15, 18, 14]
    np.testing.assert_array_equal(after["Segment_1"], before["Segment_1"])


def _packed(result: Segmentation) -> Segmentation:
    """Both classes in one layer, where they do not meet."""
    layer = result.layers[0] + result.layers[1] * (result.layers[0] == 0)
    segments = tuple(replace(segment, layer=0) for segment in result.segments)
    return replace(result, layers=(layer,), segments=segments)


def test_a_run_keeps_segments_that_were_clicked_and_clicks_go_on_in_the_new_ones(scene, node, volume_node, clicks):
    clicks.click("Segment_1", place(AFFINE, (15, 18, 22)), True)
    before = now(node)["Segment_1"]
    shifted = replace(ball_result(AFFINE), layers=tuple(np.roll(ball_result(AFFINE).layers[0], 1, 1)[None]))
    outcome = put(scene, shifted, volume_node, node)
    assert "Segment_1" in outcome.kept
    clicks.follow()
    np.testing.assert_array_equal(now(node)["Segment_1"], before)
    [added] = outcome.added
    clicks.click(added, place(AFFINE, (15, 18, 20)), True)
    assert now(node)[added][15, 18, 20]
    np.testing.assert_array_equal(now(node)["Segment_1"], before)


def _assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask, name)
