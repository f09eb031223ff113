"""Runs into a real MRML segmentation: what a person drew stays, what nobody touched is replaced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer

from TransformerSegLib.errors import GridMismatch, OutputRejected
from TransformerSegLib.export.segment_metadata import terminology_entry
from TransformerSegLib.inference.region import Region
from TransformerSegLib.scene.labelmaps import labelmap_of, labels_of, segments_of
from TransformerSegLib.scene.made import Maker, makers
from TransformerSegLib.scene.merging import check_target
from TransformerSegLib.scene.run_records import run_records
from TransformerSegLib.scene.segmentations import add_segmentation_node
from TransformerSegLib.scene.volumes import add_volume_node

from example_segmentation import AFFINES, PROVENANCE, SHAPE, example_segmentation, example_volume, geometry, rotation
from mrml_reading import assert_holds
from mrml_transforms import add_linear_transform
from scene_runs import assert_same_masks, masks, names, other_result, proposed, put, shifted
from segment_edits import EDITOR, Pencil, set_completed

OBLIQUE = AFFINES["oblique"]
FIRST, EMPTY, LAST, OVERLAPPING = "Segment_2", "Segment_4", "Segment_9", "Segment_20"


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_a_run_into_a_new_segmentation_adds_every_class(scene, affine: np.ndarray):
    result = example_segmentation(affine, layers=3)
    outcome = put(scene, result, add_volume_node(scene, example_volume(affine)))
    assert_holds(outcome.node, result)
    assert outcome.run_number == 1
    assert outcome.added == (FIRST, EMPTY, LAST, OVERLAPPING, "Segment_21")
    assert (outcome.replaced, outcome.kept) == ((), ())
    assert set(makers(outcome.node).values()) == {Maker.MODEL}


def test_a_run_into_an_empty_segmentation_of_a_person_takes_its_node(scene, volume_node, result):
    volume_node.SetAndObserveTransformNodeID(add_linear_transform(scene, geometry(rotation(5), (1, 1, 1))).GetID())
    mine = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    mine.CreateDefaultDisplayNodes()
    assert put(scene, result, volume_node, mine).node is mine
    assert mine.GetName() == "mine"
    assert_holds(mine, result)
    assert mine.GetParentTransformNode() is volume_node.GetParentTransformNode()
    assert mine.GetNodeReference(mine.GetReferenceImageGeometryReferenceRole()) is volume_node


def test_segments_that_nobody_touched_are_replaced_in_place(scene, volume_node, node, result):
    again = shifted(result)
    outcome = put(scene, again, volume_node, node)
    assert outcome.replaced == (FIRST, EMPTY, LAST, OVERLAPPING)
    assert (outcome.added, outcome.kept, outcome.run_number) == ((), (), 2)
    assert_holds(node, again)


def test_a_persons_name_colour_and_visibility_outlive_a_run(scene, volume_node, node, result):
    segment = node.GetSegmentation().GetSegment(FIRST)
    segment.SetName("my hippocampus")
    segment.SetColor(0.1, 0.2, 0.3)
    node.GetDisplayNode().SetSegmentVisibility(FIRST, False)
    outcome = put(scene, shifted(result), volume_node, node)
    assert FIRST in outcome.replaced
    assert segment.GetName() == "my hippocampus"
    assert segment.GetColor() == (0.1, 0.2, 0.3)
    assert not node.GetDisplayNode().GetSegmentVisibility(FIRST)


def added_voxels(pencil: Pencil) -> None:
    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])


def removed_voxels(pencil: Pencil) -> None:
    pencil.erase(FIRST, np.s_[2:4, 3:5, 1:4])


def drew_into_the_empty_one(pencil: Pencil) -> None:
    pencil.paint(EMPTY, np.s_[0:2, 7:9, 0:11])


def painted_over_a_neighbour(pencil: Pencil) -> None:
    pencil.paint(FIRST, np.s_[6:9, 4:7, 4:9], EDITOR.OverwriteAllSegments)


def erased_all(pencil: Pencil) -> None:
    pencil.erase(FIRST, np.s_[:, :, :])


EDITS = (added_voxels, removed_voxels, drew_into_the_empty_one, painted_over_a_neighbour, erased_all)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("run", ["same model", "other model", "one class", "same voxels"])
def test_what_a_person_drew_stays_and_the_proposal_comes_beside(scene, volume_node, node, result, pencil, edit, run):
    edit(pencil)
    before = masks(node, OBLIQUE)
    touched = {name for name, made_by in makers(node).items() if made_by is Maker.MODEL_THEN_PERSON}
    assert touched == {painted_over_a_neighbour: {FIRST, LAST, OVERLAPPING}, drew_into_the_empty_one: {EMPTY}}.get(
        edit, {FIRST}
    )
    again = {
        "same model": shifted(result),
        "other model": other_result(OBLIQUE),
        "one class": shifted(result).of_classes(["Anterior Größe"]),
        "same voxels": result,
    }[run]
    known = names(node)

    outcome = put(scene, again, volume_node, node)

    classes = {segment.definition.name for segment in again.segments}
    after = masks(node, OBLIQUE)
    assert set(outcome.kept) == {name for name in touched if known[name] in classes}
    for name in before:
        is_replaced = name not in touched and known[name] in classes
        assert (name in outcome.replaced) == is_replaced
        np.testing.assert_array_equal(after[name], proposed(again, known[name]) if is_replaced else before[name])
    assert len(outcome.added) == len(outcome.kept)
    for name in outcome.added:
        class_name = names(node)[name].removesuffix(" (run 2)")
        assert names(node)[name] != class_name
        np.testing.assert_array_equal(after[name], proposed(again, class_name))
    order = list(after)
    for kept in outcome.kept:
        assert names(node)[order[order.index(kept) + 1]] == f"{known[kept]} (run 2)"


def test_a_completed_segment_is_never_touched(scene, volume_node, node, result):
    set_completed(node, LAST)
    before = masks(node, OBLIQUE)
    outcome = put(scene, shifted(result), volume_node, node)
    assert outcome.kept == (LAST,)
    np.testing.assert_array_equal(masks(node, OBLIQUE)[LAST], before[LAST])
    assert [names(node)[name] for name in outcome.added] == ["C (run 2)"]


def test_the_proposal_beside_is_itself_replaced_by_the_next_run(scene, volume_node, node, result, pencil):
    added_voxels(pencil)
    (beside,) = put(scene, shifted(result), volume_node, node).added
    third = put(scene, shifted(result, 2), volume_node, node)
    assert third.added == ()
    assert beside in third.replaced
    assert names(node)[beside] == "Anterior Größe (run 3)"
    np.testing.assert_array_equal(masks(node, OBLIQUE)[beside], proposed(shifted(result, 2), "Anterior Größe"))


def test_edits_of_the_proposal_beside_are_kept_too(scene, volume_node, node, result, pencil):
    added_voxels(pencil)
    (beside,) = put(scene, shifted(result), volume_node, node).added
    pencil.paint(beside, np.s_[10:13, 7:9, 0:3])
    before = masks(node, OBLIQUE)
    third = put(scene, shifted(result, 2), volume_node, node)
    assert third.kept == (FIRST, beside)
    after = masks(node, OBLIQUE)
    for name in (FIRST, beside):
        np.testing.assert_array_equal(after[name], before[name])


def test_an_edit_that_was_taken_back_is_none(scene, volume_node, node, result, pencil):
    added_voxels(pencil)
    pencil.logic.Undo()
    assert FIRST in put(scene, shifted(result), volume_node, node).replaced


def test_segments_that_a_person_added_copied_or_brought_are_left_alone(scene, volume_node, node, result, pencil):
    segmentation = node.GetSegmentation()
    tumour = segmentation.AddEmptySegment("", "C")
    pencil.paint(tumour, np.s_[0:2, 0:2, 0:2])
    copy = slicer.vtkSegment()
    copy.DeepCopy(segmentation.GetSegment(FIRST))
    segmentation.AddSegment(copy, "copy")
    before = masks(node, OBLIQUE)
    assert makers(node)[tumour] is makers(node)["copy"] is Maker.PERSON

    outcome = put(scene, shifted(result), volume_node, node)

    after = masks(node, OBLIQUE)
    for name in (tumour, "copy"):
        np.testing.assert_array_equal(after[name], before[name])
    assert set(outcome.replaced) == {FIRST, EMPTY, LAST, OVERLAPPING}


def test_a_segmentation_of_unknown_making_is_a_persons(scene, volume_node, result):
    """One that the command made, or another program: no model-made state is stored with it."""
    theirs = add_segmentation_node(scene, result, volume_node)
    before = masks(theirs, OBLIQUE)
    assert set(makers(theirs).values()) == {Maker.PERSON}
    outcome = put(scene, shifted(result), volume_node, theirs)
    assert outcome.replaced == ()
    after = masks(theirs, OBLIQUE)
    assert_same_masks({name: after[name] for name in before}, before)
    assert [names(theirs)[name] for name in outcome.added] == [
        f"{segment.definition.name} (run 1)" for segment in result.segments
    ]


def test_deleted_segments_come_back_as_proposals_of_the_next_run(scene, volume_node, node, result):
    node.GetSegmentation().RemoveSegment(FIRST)
    outcome = put(scene, shifted(result), volume_node, node)
    assert outcome.added == (FIRST,)
    assert_same_masks(dict(sorted(masks(node, OBLIQUE).items())), dict(sorted(all_of(shifted(result)).items())))


def all_of(result) -> dict[str, np.ndarray]:
    return {f"Segment_{segment.definition.label}": result.mask(segment) for segment in result.segments}


def test_no_label_in_a_labelmap_is_without_a_segment(scene, volume_node, node, result, pencil):
    """Else it would be saved, and pass for a segment that is added later."""
    added_voxels(pencil)
    put(scene, shifted(result).of_classes(["C", "Anterior Größe"]), volume_node, node)
    put(scene, other_result(OBLIQUE), volume_node, node)
    there = segments_of(node.GetSegmentation())
    for labelmap in {labelmap_of(segment) for segment in there.values()}:
        owned = {segment.GetLabelValue() for segment in there.values() if labelmap_of(segment) is labelmap}
        assert set(np.unique(labels_of(labelmap).array).tolist()) <= owned | {0}


def test_surfaces_that_are_shown_follow_a_run(scene, volume_node, node, result, pencil):
    node.CreateClosedSurfaceRepresentation()
    added_voxels(pencil)
    node.CreateClosedSurfaceRepresentation()
    outcome = put(scene, shifted(result, 2), volume_node, node)
    for name in (*outcome.added, FIRST, LAST):
        mask = masks(node, OBLIQUE)[name]
        centre = (OBLIQUE @ (*np.argwhere(mask).mean(axis=0), 1))[:3]
        bounds = node.GetSegmentation().GetSegment(name).GetRepresentation("Closed surface").GetBounds()
        np.testing.assert_allclose(np.mean(np.reshape(bounds, (3, 2)), axis=1), centre, atol=3.0)


def test_segments_of_a_model_say_which_run_made_them(scene, volume_node, node, result):
    put(scene, other_result(OBLIQUE), volume_node, node)
    first, second = run_records(node)
    assert (first["run"], second["run"]) == (1, 2)
    assert (first["model"], second["model"]) == (PROVENANCE["model"], "another model")
    for key in ("version", "weights_sha256", "options", "device", "seconds"):
        assert second[key] == PROVENANCE[key]
    assert second["classes"] == ["C", "Anterior Größe", "Nothing"]
    assert node.GetSegmentation().GetSegment(FIRST).GetTerminology() == terminology_entry(result.segments[0].definition)


REGION = Region(
    center=(OBLIQUE @ (6, 4, 2, 1))[:3],
    size=np.array([20, 20, 5]) * np.linalg.norm(OBLIQUE[:3, :3], axis=0),
    axes=OBLIQUE[:3, :3] / np.linalg.norm(OBLIQUE[:3, :3], axis=0),
)
"""The slices k = 0 … 4."""


def within(result, inside: np.ndarray):
    """As a run that was confined to a region gives it."""
    return replace(result, layers=tuple(np.where(inside, layer, 0).astype(layer.dtype) for layer in result.layers))


@pytest.mark.parametrize("again", [shifted, lambda result: other_result(OBLIQUE)], ids=["same model", "other model"])
def test_outside_of_a_region_segments_stay_as_they_were(scene, volume_node, node, result, again):
    inside = np.zeros(SHAPE, bool)
    inside[:, :, :5] = True
    before, known = masks(node, OBLIQUE), names(node)
    confined = within(again(result), inside)

    outcome = put(scene, confined, volume_node, node, REGION)

    after = masks(node, OBLIQUE)
    for name in outcome.replaced:
        np.testing.assert_array_equal(after[name], np.where(inside, proposed(confined, known[name]), before[name]))
    assert len(outcome.replaced) == len(confined.segments)
    assert set(makers(node).values()) == {Maker.MODEL}
    third = put(scene, result, volume_node, node)
    assert set(third.replaced) == set(known)


def test_segments_that_would_meet_outside_of_a_region_take_layers_of_their_own(scene, volume_node, node, result):
    """The overlapping class and the last one, which lie in two layers, come into one."""
    inside = np.zeros(SHAPE, bool)
    inside[:, :, :5] = True
    before = masks(node, OBLIQUE)
    assert (before[LAST] & before[OVERLAPPING] & ~inside).any()
    first_layer = np.maximum(result.layers[0], result.layers[1])
    one_layer = replace(
        result, layers=(first_layer,), segments=tuple(replace(segment, layer=0) for segment in result.segments)
    )
    confined = within(one_layer, inside)
    put(scene, confined, volume_node, node, REGION)
    after = masks(node, OBLIQUE)
    for segment in confined.segments:
        name = f"Segment_{segment.definition.label}"
        np.testing.assert_array_equal(after[name], np.where(inside, confined.mask(segment), before[name]))
    assert set(makers(node).values()) == {Maker.MODEL}


def test_a_person_s_edits_are_kept_by_a_run_in_a_region(scene, volume_node, node, result, pencil):
    added_voxels(pencil)
    before = masks(node, OBLIQUE)
    inside = np.zeros(SHAPE, bool)
    inside[:, :, :5] = True
    outcome = put(scene, within(shifted(result), inside), volume_node, node, REGION)
    assert outcome.kept == (FIRST,)
    np.testing.assert_array_equal(masks(node, OBLIQUE)[FIRST], before[FIRST])
    np.testing.assert_array_equal(
        masks(node, OBLIQUE)[outcome.added[0]], proposed(within(shifted(result), inside), "Anterior Größe")
    )


def test_a_target_on_another_grid_is_refused(scene, node):
    other = add_volume_node(scene, example_volume(AFFINES["sagittal"]))
    with pytest.raises(GridMismatch, match="another grid"):
        check_target(node, other)


def test_a_volume_that_reaches_beyond_the_target_is_refused_and_a_part_of_it_is_not(scene, node):
    with pytest.raises(GridMismatch, match="another grid"):
        check_target(node, add_volume_node(scene, example_volume(OBLIQUE, shape=(13, 9, 12))))
    part = OBLIQUE.copy()
    part[:3, 3] += OBLIQUE[:3, :3] @ (1, 2, 3)
    check_target(node, add_volume_node(scene, example_volume(part, shape=(12, 7, 8))))


def test_a_target_under_another_transform_is_refused(scene, volume_node, node, result):
    transform = add_linear_transform(scene, geometry(rotation(5), (1.0, 1.0, 1.0)))
    volume_node.SetAndObserveTransformNodeID(transform.GetID())
    before = masks(node, OBLIQUE)
    with pytest.raises(GridMismatch, match="different transforms"):
        put(scene, result, volume_node, node)
    assert_same_masks(masks(node, OBLIQUE), before)
    node.SetAndObserveTransformNodeID(add_linear_transform(scene, geometry(rotation(5), (1, 1, 1))).GetID())
    check_target(node, volume_node)


def test_a_target_whose_segments_are_surfaces_is_refused(scene, volume_node, node):
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(OutputRejected, match="surfaces"):
        check_target(node, volume_node)


def test_a_refused_run_leaves_no_node_behind(scene, volume_node, result):
    count = scene.GetNumberOfNodes()
    moved = replace(result, affine=AFFINES["sagittal"])
    with pytest.raises(GridMismatch):
        put(scene, moved, volume_node)
    assert scene.GetNumberOfNodes() == count
