"""Classes that exclude each other, as the segments of a scene hold them, taken up box by box."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import slicer

from TransformerSegLib.interaction.class_field import ClassField, Patch
from TransformerSegLib.interaction.run_scores import renumbered
from TransformerSegLib.scene.segment_voxels import Box, Grid, read_numbers
from TransformerSegLib.scene.unpacked_layers import kept_unpacked

if TYPE_CHECKING:
    from TransformerSegLib.inference.proposal import Proposal
    from TransformerSegLib.interaction.local_scores import LocalScores
    from TransformerSegLib.interaction.run_scores import RunScores
    from TransformerSegLib.scene.sparse_numbers import SparseNumbers

BLOCK = 16
"""Voxels along each axis of what is taken up together."""


@dataclass(frozen=True)
class Member:
    """A class of the field, as its run proposed it.

    Attributes:
        name: of the class.
        layer, label: in the proposal.
    """

    name: str
    layer: int
    label: int


@dataclass(frozen=True, eq=False)
class Present:
    """What of a field is in the scene at the moment.

    Attributes:
        segmentation: that holds it.
        segment_ids: by number.
        completed: numbers of the segments that a person declared completed.
    """

    segmentation: slicer.vtkSegmentation
    segment_ids: Mapping[int, str]
    completed: Collection[int] = ()

    @property
    def segments(self) -> dict[int, slicer.vtkSegment]:
        return {number: self.segmentation.GetSegment(name) for number, name in self.segment_ids.items()}


@dataclass(frozen=True, eq=False)
class SceneField(ClassField):
    """A field of which only those boxes are read that a click has to do with; its arrays take memory only there.

    What differs from the last model-made state is a person's; that is found out, and taken over, each time that a
    box is about to be read.

    Attributes:
        members: by number; of all classes of the run that are, or were, in the scene.
        proposal: of the run.
        grid: of the proposal.
        changes: since then, by clicks and by segmenting a box again: labels as in the proposal.
        base_changes: what segmenting a box again made of the base.
        blocks: which are taken up.
    """

    members: dict[int, Member]
    proposal: Proposal
    grid: Grid
    changes: SparseNumbers
    base_changes: SparseNumbers
    blocks: np.ndarray
    _state: dict[str, object] = field(default_factory=dict)

    @classmethod
    def empty(
        cls,
        classes: int,
        proposal: Proposal,
        changes: SparseNumbers,
        base_changes: SparseNumbers,
    ) -> Self:
        """Of which nothing is taken up yet.

        Args:
            classes: how many there are, at present; ``number_of`` and ``members`` are to be filled.
        """
        dtype = np.min_scalar_type(max(classes, _LEAST_NUMBERS))
        shape = proposal.shape
        arrays = np.zeros(shape, dtype), np.zeros(shape, dtype), np.zeros(shape, bool)
        blocks = np.zeros([-(-size // BLOCK) for size in shape], bool)
        grid = Grid(shape, proposal.affine)
        return cls({}, *arrays, {}, proposal, grid, changes, base_changes, blocks)

    @property
    def present(self) -> Present:
        return self._state["present"]

    def show(self, present: Present, scores: RunScores | None) -> None:
        """What is in the scene now, and what the model said."""
        before = self._state.get("present")
        if before is not None and before.segment_ids != present.segment_ids:
            self.blocks[:] = False
        self._state.update(present=present, scores=scores)

    def ready(self, box: Box) -> None:
        self._take_up(box)
        now, several = read_numbers(self.present.segments, self.grid, box, self.now.dtype)
        painted = (now != self.now[box]) | several
        if painted.any():
            self.take_over(box, painted, now)

    @property
    def closed(self) -> Collection[int]:
        return self.present.completed

    def spared(self, box: Box, numbers: np.ndarray | None = None) -> np.ndarray:
        spared = self.protected[box]
        closed = list(self.closed)
        if closed:
            spared = spared | np.isin(self.now[box], closed)
            if numbers is not None:
                spared |= np.isin(numbers, closed)
        return spared

    def local(self, box: Box) -> LocalScores | None:
        """What the model said in a box; None where nothing of it was kept."""
        scores: RunScores | None = self._state["scores"]
        if scores is None or not scores.holds(box):
            return None
        number_by_name = {self.members[number].name: number for number in self.present.segment_ids}
        number_of = {scores.number_of(name): number for name, number in number_by_name.items() if name in scores.names}
        if not number_of:
            return None
        kept = scores.field_of(next(name for name in number_by_name if name in scores.names))
        return renumbered(kept.local(box), number_of)

    def note(self, patch: Patch) -> None:
        """Keep what a model's act changed."""
        differing = np.argwhere(patch.before != patch.after)
        labels = self._labels()[patch.after[tuple(differing.T)]]
        changes = self.base_changes if patch.of_base else self.changes
        changes.note(differing + patch.start, labels)

    def _take_up(self, box: Box) -> None:
        blocks = tuple(slice(extent.start // BLOCK, -(-extent.stop // BLOCK)) for extent in box)
        if self.blocks[blocks].all():
            return
        whole = tuple(
            slice(along.start * BLOCK, min(along.stop * BLOCK, size))
            for along, size in zip(blocks, self.grid.shape, strict=True)
        )
        fresh = ~self.blocks[blocks]
        for axis in range(3):
            fresh = fresh.repeat(BLOCK, axis)
        fresh = fresh[tuple(slice(0, extent.stop - extent.start) for extent in whole)]
        proposed = self._proposed(whole)
        for array, changes in ((self.base, self.base_changes), (self.now, self.changes)):
            labels = changes.within(whole, otherwise=_UNCHANGED)
            numbers = proposed if labels is None else np.where(labels == _UNCHANGED, proposed, self._numbers(labels))
            np.copyto(array[whole], numbers, where=fresh)
        self.blocks[blocks] = True

    def _proposed(self, box: Box) -> np.ndarray:
        """Numbers of what the run proposed in a box."""
        numbers = np.zeros([extent.stop - extent.start for extent in box], self.now.dtype)
        for number in self.present.segment_ids:
            member = self.members[number]
            labels, start = kept_unpacked(self.proposal, member.layer)
            meeting = [
                (max(extent.start, first), min(extent.stop, first + size))
                for extent, first, size in zip(box, start, labels.shape, strict=True)
            ]
            if any(low >= high for low, high in meeting):
                continue
            there = tuple(slice(low - first, high - first) for (low, high), first in zip(meeting, start, strict=True))
            here = tuple(slice(low - e.start, high - e.start) for (low, high), e in zip(meeting, box, strict=True))
            numbers[here][labels[there] == member.label] = number
        return numbers

    def _labels(self) -> np.ndarray:
        """Number → label in the proposal."""
        labels = np.zeros(max(self.members) + 1, np.uint32)
        for number, member in self.members.items():
            labels[number] = member.label
        return labels

    def _numbers(self, labels: np.ndarray) -> np.ndarray:
        """Labels as the proposal has them → numbers."""
        result = np.zeros(labels.shape, self.now.dtype)
        for number in self.present.segment_ids:
            result[labels == self.members[number].label] = number
        return result


_LEAST_NUMBERS = 255
"""Segments may come later."""

_UNCHANGED = np.iinfo(np.uint32).max
