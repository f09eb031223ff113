"""Labelmaps that are compared slab by slab, and word of the box in which one was changed."""

from __future__ import annotations

import numpy as np
import pytest

from TransformerSegLib.inference.proposal import Proposal
from TransformerSegLib.scene import slab_comparison
from TransformerSegLib.scene.announced import box_changed_since, changing
from TransformerSegLib.scene.labelmaps import Labels, labelmap_of, labels_of
from TransformerSegLib.scene.segment_watcher import SegmentWatcher
from TransformerSegLib.scene.slab_comparison import SlabComparison
from TransformerSegLib.scene.volumes import voxels

from example_segmentation import AFFINES, SHAPE, example_segmentation

OBLIQUE = AFFINES["oblique"]
FIRST, LAST = "Segment_2", "Segment_9"
MEMBERS = {"a": (1, 1), "b": (2, 3), "c": (3, 2)}
"""Their labels in the labelmap, and in the layer."""

TURNED = {
    "as they are": np.eye(4),
    "reversed": np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, -1, SHAPE[2] - 1], [0, 0, 0, 1]]),
    "other axes": np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, -1, 0, SHAPE[1] - 1], [0, 0, 0, 1]]),
}
"""Index of the labelmap → index of the layer."""


def placed(layer: np.ndarray, labels: Labels) -> np.ndarray:
    """A labelmap's labels on the layer's grid, as the layer would number them."""
    result = np.zeros(layer.shape, int)
    to_layer = np.rint(np.linalg.inv(OBLIQUE) @ labels.affine).astype(int)
    for at in np.argwhere(labels.array):
        index = (to_layer @ (*(at + labels.start), 1))[:3]
        result[tuple(index)] = labels.array[tuple(at)]
    return result


@pytest.mark.parametrize("turned", TURNED.values(), ids=TURNED.keys())
@pytest.mark.parametrize("planes", [1, 3, 16])
def test_slabs_find_what_a_comparison_of_all_voxels_finds(monkeypatch, turned: np.ndarray, planes: int):
    monkeypatch.setattr(slab_comparison, "SLAB_PLANES", planes)
    random = np.random.default_rng(planes)
    result = example_segmentation(OBLIQUE)
    grid_of_labelmap = np.abs(np.linalg.inv(turned)[:3, :3] @ SHAPE).astype(int)
    compared = SlabComparison()
    for _ in range(12):
        layer = np.zeros(SHAPE, np.uint8)
        corners = random.integers(0, np.array(SHAPE) - 2, (4, 3))
        for label, corner in enumerate(corners, start=1):  # 4 is of no member
            layer[tuple(slice(first, first + 3) for first in corner)] = label
        proposal = Proposal.of(type(result)((layer,), OBLIQUE, result.segments, "one", result.provenance))
        compared = SlabComparison()
        start = random.integers(0, 3, 3)
        array = np.zeros(np.maximum(grid_of_labelmap - start - random.integers(0, 3, 3), 1), np.uint8, order="F")
        labels = Labels(array, tuple(int(first) for first in start), OBLIQUE @ turned)
        for _ in range(4):
            corner = random.integers(0, np.maximum(np.array(array.shape) - 2, 1))
            array[tuple(slice(first, first + 2) for first in corner)] = random.integers(0, 4)
            there = placed(layer, labels)
            expected = {name for name, (own, then) in MEMBERS.items() if ((there == own) != (layer == then)).any()}
            assert compared.differing(labels, MEMBERS, proposal, 0) == expected
            assert compared.differing(labels, MEMBERS, proposal, 0) == expected


def test_a_box_is_told_to_those_who_know_all_that_was_before(node):
    labelmap = labelmap_of(node.GetSegmentation().GetSegment(FIRST))
    box, told = (slice(0, 2), slice(1, 2), slice(0, 1)), []
    before = labelmap.GetMTime()
    observer = labelmap.AddObserver(
        "ModifiedEvent", lambda *_: told.append([box_changed_since(labelmap, time) for time in (before, before - 1)])
    )
    with changing(labelmap, box):
        pass
    assert told == [[box, None]]
    labelmap.Modified()
    assert told[1:] == [[None, None]]
    labelmap.RemoveObserver(observer)


def test_what_somebody_changes_elsewhere_when_he_is_told_of_a_box_is_told_too(node):
    """By whoever hears of it first."""
    labelmap = labelmap_of(node.GetSegmentation().GetSegment(FIRST))
    array, heard, answered = voxels(labelmap), [], []
    elsewhere = tuple(np.argwhere(array == 9)[-1])

    def answer(*_: object) -> None:
        if not answered:
            answered.append(True)
            array[elsewhere] = 0
            labelmap.Modified()

    observer = labelmap.AddObserver("ModifiedEvent", answer, 100.0)
    watcher = SegmentWatcher(node, heard.append)
    own = labels_of(labelmap).array
    at = tuple(int(index) for index in np.argwhere(own == 2)[0])
    with changing(labelmap, tuple(slice(index, index + 1) for index in at)):
        own[at] = 0
    watcher.close()
    labelmap.RemoveObserver(observer)
    assert answered
    assert set().union(*heard) == {FIRST, LAST}
