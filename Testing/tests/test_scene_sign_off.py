"""A segmentation is reviewed once every segment is completed, and until one of them is changed."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
import slicer

from TransformerSegLib.errors import ReviewIncomplete
from TransformerSegLib.export.dicom_segment import HowMade
from TransformerSegLib.scene.changed_voxels import changed_voxels
from TransformerSegLib.scene.clicks import Clicks
from TransformerSegLib.scene.dicom_export import how_made
from TransformerSegLib.scene.fingerprint import Fingerprint, fingerprint
from TransformerSegLib.scene.labelmaps import segments_of
from TransformerSegLib.scene.segment_tags import tag
from TransformerSegLib.scene.sign_off import (
    CHANGED_BY_CLICKS_ATTRIBUTE,
    CHANGED_BY_HAND_ATTRIBUTE,
    REVIEW_TAG,
    REVIEWED_AT_ATTRIBUTE,
    REVIEWED_BY_ATTRIBUTE,
    Status,
    missing_for_review,
    refresh_review,
    review_of,
    set_status,
    sign_off,
    status_of,
    take_back,
)
from TransformerSegLib.scene.volume_rows import volume_rows
from TransformerSegLib.scene.volumes import add_volume_node

from clicked_scene import SHAPE as BALLS_SHAPE
from clicked_scene import ball_result, place
from example_segmentation import AFFINES, example_segmentation, example_volume, geometry
from mrml_reading import read_segmentation_node
from mrml_transforms import add_linear_transform
from scene_runs import masks, put, reopened
from segment_edits import Pencil

FIRST, EMPTY, LAST, OVERLAPPING = "Segment_2", "Segment_4", "Segment_9", "Segment_20"
ALL = [FIRST, EMPTY, LAST, OVERLAPPING]
every_geometry = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())


def complete(node, but: tuple[str, ...] = ()) -> None:
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        if segment_id not in but:
            set_status(node, segment_id, Status.COMPLETED)


@pytest.fixture
def reviewed(node):
    complete(node)
    sign_off(node, "Ada Lovelace")
    return node


@pytest.mark.parametrize("status", Status)
def test_a_status_is_slicers_own(node, status: Status):
    assert status_of(node, FIRST) is Status.NOT_STARTED
    set_status(node, FIRST, status)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.GetSegmentStatus(node.GetSegmentation().GetSegment(FIRST)) == status.value
    assert status_of(node, FIRST) is status
    if status is not Status.NOT_STARTED:
        written = tag(node.GetSegmentation().GetSegment(FIRST), "Segmentation.Status")
        assert written == status.name.lower().replace("_", "")


def test_a_status_of_another_program_counts_as_in_progress(node):
    node.GetSegmentation().GetSegment(FIRST).SetTag("Segmentation.Status", "seen by two")
    assert status_of(node, FIRST) is Status.IN_PROGRESS


def test_what_is_not_completed_is_named_and_nothing_is_signed_off(node):
    complete(node, but=(FIRST, LAST))
    assert missing_for_review(node) == [FIRST, LAST]
    with pytest.raises(ReviewIncomplete, match="“Anterior Größe”, “C” are not completed"):
        sign_off(node)
    assert review_of(node) is None
    assert not segments_of(node.GetSegmentation())[FIRST].HasTag(REVIEW_TAG)


def test_a_segmentation_without_segments_is_not_signed_off(scene):
    with pytest.raises(ReviewIncomplete, match="no segment"):
        sign_off(scene.AddNewNodeByClass("vtkMRMLSegmentationNode"))


def test_an_unknown_segment_is_an_error(node):
    for call in (lambda: status_of(node, "none"), lambda: sign_off(node, wanted=["none"])):
        with pytest.raises(KeyError):
            call()


def test_a_review_says_who_when_and_how_much_a_hand_changed(node, pencil):
    before = changed_voxels(node, FIRST)
    assert (before.by_clicks, before.by_hand) == (0, 0)
    pencil.paint(FIRST, np.s_[0:2, 0:3, 0:1])
    pencil.erase(FIRST, np.s_[5:7, 3:6, 7:9])
    mine = node.GetSegmentation().AddEmptySegment("mine", "Mine")
    pencil.paint(mine, np.s_[10:13, 0:2, 0:1])
    complete(node)

    review = sign_off(node, "  Ada \n Lovelace ")

    assert review == review_of(node)
    assert review.by == "Ada Lovelace"
    moment = datetime.fromisoformat(review.time)
    assert moment.tzinfo is not None
    assert abs((datetime.now(moment.tzinfo) - moment).total_seconds()) < 60
    assert list(review.segments) == [*ALL, mine]
    hands = {name: segment.by_hand for name, segment in review.segments.items()}
    assert hands == {FIRST: 6 + 12, EMPTY: 0, LAST: 0, OVERLAPPING: 0, mine: 6}
    assert (review.by_clicks, review.by_hand) == (0, 24)
    assert review.segments[FIRST].name == "Anterior Größe"
    assert review.segments[mine].voxels == 6
    assert node.GetAttribute(REVIEWED_BY_ATTRIBUTE) == "Ada Lovelace"
    assert node.GetAttribute(REVIEWED_AT_ATTRIBUTE) == review.time
    assert node.GetAttribute(CHANGED_BY_HAND_ATTRIBUTE) == "24"
    assert node.GetAttribute(CHANGED_BY_CLICKS_ATTRIBUTE) == "0"


def test_clicks_are_counted_apart_from_what_a_hand_changed(scene, tmp_path):
    affine = AFFINES["oblique"]
    volume_node = add_volume_node(scene, example_volume(affine, shape=BALLS_SHAPE))
    node = put(scene, ball_result(affine), volume_node).node
    proposed = masks(node, affine, BALLS_SHAPE)
    Clicks(node).click("Segment_1", place(affine, (6, 18, 14)), True)
    Clicks(node).click("Segment_2", place(affine, (24, 18, 14)), False)
    clicked = masks(node, affine, BALLS_SHAPE)
    by_clicks = {name: int((clicked[name] != proposed[name]).sum()) for name in clicked}
    assert all(by_clicks.values())
    Pencil(scene, node, volume_node).paint("Segment_1", np.s_[0:2, 0:2, 0:2])
    assert how_made(node, "Segment_2") is HowMade.SEMIAUTOMATIC
    assert [row.made_by for row in volume_rows(node)] == ["proposal + clicks + by hand", "proposal + clicks"]
    complete(node)

    review = sign_off(node)

    assert {name: segment.by_clicks for name, segment in review.segments.items()} == by_clicks
    assert {name: segment.by_hand for name, segment in review.segments.items()} == {"Segment_1": 8, "Segment_2": 0}
    with reopened(scene, tmp_path / "saved") as other_scene:
        found = other_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        assert refresh_review(found) == review
        assert changed_voxels(found, "Segment_1") == changed_voxels(node, "Segment_1")


def test_where_the_proposal_is_lost_nobody_knows_what_was_changed(scene, node):
    scene.RemoveNode(scene.GetFirstNodeByClass("vtkMRMLTextNode"))
    complete(node)
    review = sign_off(node)
    assert (review.by, review.by_clicks, review.by_hand) == ("", None, None)
    assert node.GetAttribute(CHANGED_BY_HAND_ATTRIBUTE) == "unknown"


@pytest.mark.parametrize("status", [Status.IN_PROGRESS, Status.FLAGGED, Status.NOT_STARTED])
def test_a_review_is_gone_once_a_status_is_taken_back(reviewed, status: Status):
    set_status(reviewed, LAST, status)
    assert_forgotten(reviewed)
    set_status(reviewed, LAST, Status.COMPLETED)
    assert review_of(reviewed) is None


@pytest.mark.parametrize("edit", ["paint", "erase"])
def test_a_review_is_gone_once_a_voxel_changes(reviewed, pencil, edit: str):
    getattr(pencil, edit)(FIRST, np.s_[2:3, 3:4, 1:2] if edit == "erase" else np.s_[0:1, 0:1, 0:1])
    assert review_of(reviewed) is None
    assert refresh_review(reviewed, [FIRST]) is None
    assert_forgotten(reviewed)


def test_a_review_is_gone_though_the_voxels_are_as_many_as_before(reviewed, pencil):
    pencil.erase(FIRST, np.s_[2:3, 3:4, 1:2])
    pencil.paint(FIRST, np.s_[2:3, 3:4, 0:1])
    assert review_of(reviewed) is None


def test_a_change_that_is_taken_back_leaves_the_review(reviewed, pencil):
    pencil.paint(FIRST, np.s_[0:1, 0:1, 0:1])
    pencil.erase(FIRST, np.s_[0:1, 0:1, 0:1])
    assert refresh_review(reviewed) is not None


def test_a_further_segment_ends_the_review_of_all(reviewed):
    reviewed.GetSegmentation().AddEmptySegment("mine")
    assert review_of(reviewed) is None


def test_a_removed_segment_ends_the_review_only_of_what_was_left(reviewed):
    reviewed.GetSegmentation().RemoveSegment(LAST)
    assert list(review_of(reviewed).segments) == [FIRST, EMPTY, OVERLAPPING]


def test_names_colours_surfaces_and_moves_do_not_matter(scene, reviewed):
    segment = reviewed.GetSegmentation().GetSegment(FIRST)
    segment.SetName("another")
    segment.SetColor(0.1, 0.2, 0.3)
    reviewed.CreateClosedSurfaceRepresentation()
    moved = add_linear_transform(scene, geometry(np.eye(3), (1, 1, 1)))
    reviewed.SetAndObserveTransformNodeID(moved.GetID())
    assert refresh_review(reviewed).segments[FIRST].name == "Anterior Größe"
    reviewed.HardenTransform()
    assert refresh_review(reviewed) is None


def test_only_wanted_segments_need_be_completed_and_others_may_change(node, pencil):
    complete(node, but=(LAST,))
    review = sign_off(node, wanted=[OVERLAPPING, FIRST, EMPTY])
    assert list(review.segments) == [FIRST, EMPTY, OVERLAPPING]
    assert not review.whole
    pencil.paint(LAST, np.s_[0:1, 0:1, 0:1])
    assert refresh_review(node) == review
    pencil.paint(OVERLAPPING, np.s_[0:1, 0:1, 0:1])
    assert refresh_review(node) is None


def test_signing_off_again_replaces_the_review(reviewed, pencil):
    pencil.paint(FIRST, np.s_[0:1, 0:1, 0:1])
    assert sign_off(reviewed, "Grace").by == "Grace"
    assert review_of(reviewed).by_hand == 1


def test_a_review_can_be_taken_back_and_the_statuses_stay(reviewed):
    take_back(reviewed)
    assert_forgotten(reviewed)
    assert missing_for_review(reviewed) == []


@every_geometry
def test_a_reopened_scene_knows_the_review(scene, affine: np.ndarray, tmp_path):
    node = put(scene, example_segmentation(affine, layers=3), add_volume_node(scene, example_volume(affine))).node
    complete(node)
    review = sign_off(node, "Ada | Lovelace: “~^”")
    with reopened(scene, tmp_path / "saved") as other_scene:
        found = other_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        volume_node = other_scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        assert refresh_review(found) == review
        assert found.GetAttribute(REVIEWED_BY_ATTRIBUTE) == "Ada | Lovelace: “~^”"
        Pencil(other_scene, found, volume_node).paint(LAST, np.s_[0:1, 0:1, 0:1])
        assert refresh_review(found) is None


@every_geometry
@pytest.mark.parametrize("cropped", [False, True])
def test_a_seg_nrrd_knows_the_review(scene, affine: np.ndarray, cropped: bool, tmp_path):
    node = put(scene, example_segmentation(affine, layers=3), add_volume_node(scene, example_volume(affine))).node
    complete(node)
    review = sign_off(node, "Ada | Lovelace")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetCropToMinimumExtent(cropped)
    storage.SetFileName(str(tmp_path / "a.seg.nrrd"))
    assert storage.WriteData(node) == 1
    found = read_segmentation_node(scene, tmp_path / "a.seg.nrrd")
    assert review_of(found) == review
    assert found.GetAttribute(REVIEWED_AT_ATTRIBUTE) is None
    assert refresh_review(found) == review
    assert found.GetAttribute(REVIEWED_AT_ATTRIBUTE) == review.time


@pytest.mark.parametrize(
    "damage", ["", "nonsense", "[]", "{}", '{"by": "x", "time": "", "whole": true, "voxels": [1]}']
)
def test_a_damaged_review_is_none(reviewed, damage: str):
    reviewed.GetSegmentation().GetSegment(FIRST).SetTag(REVIEW_TAG, damage)
    assert review_of(reviewed) is None
    assert refresh_review(reviewed) is None
    assert_forgotten(reviewed)


def test_reviews_of_different_times_are_none_together(reviewed):
    complete(reviewed, but=(LAST,))
    segment = reviewed.GetSegmentation().GetSegment(LAST)
    segment.SetTag(REVIEW_TAG, tag(segment, REVIEW_TAG).replace("Ada", "Eve"))
    assert review_of(reviewed) is None


def test_a_fingerprint_does_not_ask_how_the_grid_is_counted():
    assert not Fingerprint(1, "a", (0.0,) * 6).is_of(Fingerprint(1, "a", (0.02, *[0.0] * 5)))
    assert Fingerprint(1, "a", (0.0,) * 6).is_of(Fingerprint(1, "a", (0.001, *[0.0] * 5)))
    assert not Fingerprint(1, "a", ()).is_of(Fingerprint(1, "b", ()))


HALF = np.sqrt(0.5)


@pytest.mark.parametrize(
    "affine",
    [
        *AFFINES.values(),
        geometry(np.array([[HALF, -HALF, 0], [HALF, HALF, 0], [0, 0, 1]]), (1, 1, 2)),
        geometry(np.array([[1, 0, 0], [0, HALF, HALF], [0, -HALF, HALF]]), (2, 1, 1)),
    ],
    ids=[*AFFINES, "turned by 45°", "tipped by 45°"],
)
def test_a_fingerprint_is_the_same_from_every_corner_and_along_every_axis(affine: np.ndarray):
    from TransformerSegLib.scene.labelmaps import BINARY_LABELMAP, make_labelmap

    array = (np.random.default_rng(0).random((5, 4, 3)) > 0.5).astype(np.uint8)
    found = []
    for axes, flips in (((0, 1, 2), ()), ((2, 0, 1), (1,)), ((1, 0, 2), (0, 2))):
        turned, turning = np.flip(array.transpose(axes), flips), np.zeros((4, 4))
        for along, axis in enumerate(axes):
            turning[axis, along] = -1 if along in flips else 1
            turning[axis, 3] = turned.shape[along] - 1 if along in flips else 0
        turning[3, 3] = 1
        segment = slicer.vtkSegment()
        segment.SetLabelValue(1)
        labelmap = make_labelmap(np.ascontiguousarray(turned), affine @ turning, np.dtype(np.uint8))
        segment.AddRepresentation(BINARY_LABELMAP, labelmap)
        found.append(fingerprint(segment))
    assert found[0].is_of(found[1])
    assert found[0].is_of(found[2])


def assert_forgotten(node) -> None:
    assert review_of(node) is None
    assert node.GetAttribute(REVIEWED_AT_ATTRIBUTE) is None
    assert node.GetAttribute(REVIEWED_BY_ATTRIBUTE) is None
    assert not any(segment.HasTag(REVIEW_TAG) for segment in segments_of(node.GetSegmentation()).values())
