"""Undo takes one run back, and nothing that a person drew."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from TransformerSegLib.inference.region import Region
from TransformerSegLib.scene.history import MAXIMUM_STEPS
from TransformerSegLib.scene.labelmaps import labelmap_of, labels_of, segments_of
from TransformerSegLib.scene.made import Maker, makers, protected_segments
from TransformerSegLib.scene.run_records import run_records
from TransformerSegLib.scene.segment_tags import tag
from TransformerSegLib.scene.undoing import can_undo, undo_run
from TransformerSegLib.scene.volumes import voxels

from example_segmentation import AFFINES, PROVENANCE, SHAPE
from mrml_reading import assert_holds
from scene_runs import assert_same_masks, masks, names, other_result, put, reopened, shifted
from segment_edits import EDITOR, Pencil, set_completed

OBLIQUE = AFFINES["oblique"]
FIRST, EMPTY, LAST, OVERLAPPING = "Segment_2", "Segment_4", "Segment_9", "Segment_20"


def test_undo_of_the_first_run_leaves_an_empty_segmentation(node):
    assert can_undo(node)
    words = undo_run(node)
    assert "4 segments removed" in words
    assert node.GetSegmentation().GetNumberOfSegments() == 0
    assert run_records(node) == []
    assert not can_undo(node)
    with pytest.raises(ValueError, match="no run"):
        undo_run(node)


def test_undo_brings_back_what_a_run_replaced(scene, volume_node, node, result):
    put(scene, other_result(OBLIQUE), volume_node, node)
    assert "3 segments restored" in undo_run(node)
    assert_holds(node, result)
    assert set(makers(node).values()) == {Maker.MODEL}
    assert [record["run"] for record in run_records(node)] == [1]
    assert tag(node.GetSegmentation().GetSegment(FIRST), "TransformerSeg.model") == PROVENANCE["model"].replace(
        "|", "/"
    )


def test_after_an_undo_the_next_run_has_a_number_of_its_own(scene, volume_node, node, result):
    put(scene, shifted(result), volume_node, node)
    undo_run(node)
    outcome = put(scene, shifted(result), volume_node, node)
    assert outcome.run_number == 3
    assert set(outcome.replaced) == {FIRST, EMPTY, LAST, OVERLAPPING}


def test_edits_before_a_run_are_there_after_its_undo(scene, volume_node, node, result, pencil):
    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])
    pencil.erase(LAST, np.s_[7:9, :, :])
    set_completed(node, OVERLAPPING)
    before, called = masks(node, OBLIQUE), names(node)
    put(scene, other_result(OBLIQUE), volume_node, node)
    put(scene, shifted(result), volume_node, node)
    undo_run(node)
    undo_run(node)
    assert_same_masks(masks(node, OBLIQUE), before)
    assert names(node) == called


def test_edits_since_a_run_stay_beside_what_its_undo_brings_back(scene, volume_node, node, result, pencil):
    before = masks(node, OBLIQUE)
    put(scene, shifted(result), volume_node, node)
    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])
    edited = masks(node, OBLIQUE)[FIRST]
    words = undo_run(node)
    after = masks(node, OBLIQUE)
    for name, mask in before.items():
        np.testing.assert_array_equal(after.pop(name), mask, name)
    ((name, mask),) = after.items()
    np.testing.assert_array_equal(mask, edited)
    assert names(node)[name] == "Anterior Größe (changed after run 2)"
    assert names(node)[name] in words
    assert makers(node) == {**dict.fromkeys(before, Maker.MODEL), name: Maker.MODEL_THEN_PERSON}
    assert [record["run"] for record in run_records(node)] == [1, 2]


def test_edits_of_a_segment_that_a_run_added_stay(scene, volume_node, node, result, pencil):
    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])
    (beside,) = put(scene, shifted(result), volume_node, node).added
    pencil.paint(beside, np.s_[10:13, 7:9, 0:3])
    before = masks(node, OBLIQUE)
    undo_run(node)
    after = masks(node, OBLIQUE)
    for name in (FIRST, beside):
        np.testing.assert_array_equal(after[name], before[name])
    assert makers(node)[beside] is Maker.MODEL_THEN_PERSON


def test_a_result_that_was_declared_completed_stays(scene, volume_node, node, result):
    put(scene, shifted(result), volume_node, node)
    set_completed(node, LAST)
    approved = masks(node, OBLIQUE)[LAST]
    undo_run(node)
    kept = [name for name, called in names(node).items() if called == "C (changed after run 2)"]
    np.testing.assert_array_equal(masks(node, OBLIQUE)[kept[0]], approved)
    assert protected_segments(node) == {kept[0]}


def test_a_name_and_a_colour_since_a_run_outlive_its_undo(scene, volume_node, node, result):
    put(scene, shifted(result), volume_node, node)
    segment = node.GetSegmentation().GetSegment(FIRST)
    segment.SetName("mine")
    segment.SetColor(0.1, 0.2, 0.3)
    undo_run(node)
    assert (segment.GetName(), segment.GetColor()) == ("mine", (0.1, 0.2, 0.3))


def test_undo_works_where_a_person_deleted_segments_since(scene, volume_node, node, result, pencil):
    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])
    before = masks(node, OBLIQUE)
    outcome = put(scene, shifted(result), volume_node, node)
    for name in (LAST, OVERLAPPING, *outcome.added):
        node.GetSegmentation().RemoveSegment(name)
    undo_run(node)
    after = masks(node, OBLIQUE)
    assert set(after) == set(before)
    for name, mask in before.items():
        np.testing.assert_array_equal(after[name], mask, name)
    assert names(node)[LAST] == "C"
    assert makers(node)[LAST] is Maker.MODEL


def test_a_segmentation_that_was_deleted_cannot_be_undone(scene, node):
    scene.RemoveNode(node)
    assert not can_undo(node)
    with pytest.raises(ValueError, match="can be taken back"):
        undo_run(node)


@pytest.mark.parametrize("classes", [["Anterior Größe"], ["Anterior Größe", "Nothing", "C", "Overlapping 1"]])
def test_undo_leaves_no_label_without_a_segment(scene, volume_node, node, result, pencil, classes):
    put(scene, shifted(result).of_classes(classes), volume_node, node)
    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])
    undo_run(node)
    there = segments_of(node.GetSegmentation())
    for labelmap in {labelmap_of(segment) for segment in there.values()}:
        owned = {segment.GetLabelValue() for segment in there.values() if labelmap_of(segment) is labelmap}
        assert set(np.unique(labels_of(labelmap).array).tolist()) <= owned | {0}


def test_ten_runs_can_be_taken_back(scene, volume_node, node, result):
    states = []
    for number in range(MAXIMUM_STEPS + 2):
        states.append(masks(node, OBLIQUE))
        put(scene, shifted(result, number + 1), volume_node, node)
    for _ in range(MAXIMUM_STEPS):
        undo_run(node)
        assert_same_masks(masks(node, OBLIQUE), states.pop())
    assert not can_undo(node)


def test_proposals_that_no_segment_needs_are_not_kept_in_the_scene(scene, volume_node, node, result):
    for number in range(3):
        put(scene, shifted(result, number + 1), volume_node, node)
        assert scene.GetNumberOfNodesByClass("vtkMRMLTextNode") == 1
    undo_run(node)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTextNode") == 1
    assert set(makers(node).values()) == {Maker.MODEL}


def test_a_node_that_is_gone_is_remembered_by_nobody(scene, volume_node, result):
    from TransformerSegLib.scene import history

    node = put(scene, result, volume_node).node
    gc.collect()
    before = len(history._steps)
    scene.RemoveNode(node)
    del node
    gc.collect()
    assert len(history._steps) == before - 1


def test_in_a_scene_that_was_reopened_there_is_nothing_to_undo(scene, node, tmp_path):
    with reopened(scene, tmp_path / "saved") as other_scene:
        node = other_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        assert not can_undo(node)
    assert not can_undo(None)


class Ledger:
    """What a person drew or completed, kept apart from what the library knows.

    Args:
        node: the segmentation.
    """

    def __init__(self, node) -> None:
        self.node = node
        self._made: list[bytes] = []
        self._drawn: dict[str, bytes] = {}

    def proposed(self, result) -> None:
        """A model's voxels: an edit back to them is none."""
        self._made += [result.mask(segment).tobytes() for segment in result.segments]

    def edit(self, change) -> None:
        """Do it, and note what became of each segment that it changed."""
        before = self._masks()
        change()
        after = self._masks()
        for name in before.keys() | after.keys():
            if before.get(name) != after.get(name):
                self._drawn.pop(name, None)
                if name in after and after[name] not in self._made:
                    self._drawn[name] = after[name]

    def completed(self, name: str) -> None:
        self._drawn[name] = self._masks()[name]

    def joined(self) -> None:
        """A run in a region made segments of its own voxels and of those that were outside."""
        self._made += self._masks().values()

    def forget_completed(self) -> None:
        """The editor's undo takes back that a segment was declared completed."""
        self._drawn = {name: mask for name, mask in self._drawn.items() if mask not in self._made}

    def check(self) -> None:
        """All of it is there; an undo may have moved it to a segment beside."""
        there = self._masks()
        moved = {name: mask for name, mask in self._drawn.items() if there.get(name) != mask}
        for name, mask in moved.items():
            del self._drawn[name]
            beside = [other for other in there if there[other] == mask and other not in self._drawn]
            assert beside, f"{name} is lost"
            self._drawn[beside[0]] = mask

    def _masks(self) -> dict[str, bytes]:
        return {name: mask.tobytes() for name, mask in masks(self.node, OBLIQUE).items()}


@pytest.mark.parametrize("seed", range(16))
def test_nothing_that_a_person_drew_is_lost_whatever_happens(scene, volume_node, result, seed: int, tmp_path):
    """Runs of several models, in regions or without, undos (the editor's, too), edits of every kind, and saving, in
    any order."""
    random = np.random.default_rng(seed)
    node = put(scene, result, volume_node).node
    pencil = Pencil(scene, node, volume_node)
    ledger = Ledger(node)
    ledger.proposed(result)

    def run(again, scene, volume_node, region=None) -> None:
        ledger.proposed(again)
        put(scene, again, volume_node, ledger.node, region)
        if region is not None:
            ledger.joined()
        ledger.check()

    for _ in range(25):
        ids = node.GetSegmentation().GetSegmentIDs()
        chosen = str(random.choice(ids)) if ids else ""
        match random.integers(10):
            case 0 | 1:
                again = [shifted(result, int(random.integers(1, 4))), other_result(OBLIQUE)][random.integers(2)]
                if random.integers(2):
                    again = again.of_classes([str(random.choice([s.definition.name for s in again.segments]))])
                run(again, scene, volume_node, some_region(random) if random.integers(3) == 0 else None)
            case 2 if can_undo(node):
                undo_run(node)
                ledger.check()
            case 3 | 4 if ids:
                mode = (EDITOR.OverwriteNone, EDITOR.OverwriteAllSegments)[random.integers(2)]
                ledger.edit(lambda: pencil.paint(chosen, some_box(random), mode))  # noqa: B023
            case 5 if ids:
                ledger.edit(lambda: pencil.erase(chosen, some_box(random)))  # noqa: B023
            case 6 if ids:
                set_completed(node, chosen)
                ledger.completed(chosen)
            case 7 if ids and random.integers(2):
                ledger.edit(lambda: node.GetSegmentation().RemoveSegment(chosen))  # noqa: B023
            case 7:
                node.GetSegmentation().AddEmptySegment()
            case 8 if ids:
                ledger.edit(lambda: write_directly(node.GetSegmentation().GetSegment(chosen), random))  # noqa: B023
            case 9 if pencil.logic.CanUndo():
                ledger.edit(pencil.logic.Undo)
                ledger.forget_completed()
    found = makers(node)
    with reopened(scene, tmp_path / "saved") as other_scene:
        ledger.node = other_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        assert makers(ledger.node) == found
        ledger.check()
        run(shifted(result, 3), other_scene, other_scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"))
        undo_run(ledger.node)
        ledger.check()


def some_region(random: np.random.Generator) -> Region:
    spacing = np.linalg.norm(OBLIQUE[:3, :3], axis=0)
    center = (OBLIQUE @ (*random.integers(2, 8, 3), 1.0))[:3]
    return Region(center, spacing * random.integers(3, 8, 3), OBLIQUE[:3, :3] / spacing)


def write_directly(segment, random: np.random.Generator) -> None:
    """Into the labelmap that it shares with others, as scripts do, with and without telling VTK."""
    labelmap = labelmap_of(segment)
    if labelmap is None or labelmap.IsEmpty():
        return
    corner = tuple(slice(0, int(count)) for count in random.integers(1, 4, 3))
    voxels(labelmap)[corner] = segment.GetLabelValue() if random.integers(2) else 0
    if random.integers(2):
        labelmap.Modified()


def some_box(random: np.random.Generator) -> tuple[slice, ...]:
    return tuple(slice(int(first), int(first) + 3) for first in random.integers(0, np.array(SHAPE) - 2))
