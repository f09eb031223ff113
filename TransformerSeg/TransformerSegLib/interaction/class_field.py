"""Classes of which every voxel has one, or none: what was there before clicks, what is there now, what is a person's.

A model whose classes exclude each other has one such field; of one whose classes may overlap, each class has its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from TransformerSegLib.inference.slabs import slabs
from TransformerSegLib.interaction.click import Index
from TransformerSegLib.interaction.neighbourhood import Box


@dataclass(frozen=True, eq=False)
class ClassField:
    """Numbers on the whole grid: 0 is “none”, others stand for classes.

    Attributes:
        number_of: position of a class in the model's card → its number here.
        base: (I, J, K), unsigned: what clicks correct: a model's proposal, and what a person painted over it.
        now: of the same shape and type: the base, corrected.
        protected: boolean (I, J, K): the voxels that a person set.
    """

    number_of: Mapping[int, int]
    base: np.ndarray
    now: np.ndarray
    protected: np.ndarray

    @classmethod
    def of(cls, layer: np.ndarray, label_of: Mapping[int, int], protected: np.ndarray | None = None) -> ClassField:
        """Of a label layer, which is copied.

        Args:
            layer: (I, J, K), unsigned; labels of no class here become “none”.
            label_of: position of a class in the card → its label in the layer.
            protected: boolean (I, J, K), copied; None: no voxel is.
        """
        number_of = {position: number for number, position in enumerate(label_of, start=1)}
        lookup = np.zeros(max(int(layer.max(initial=0)), *label_of.values()) + 1, np.min_scalar_type(len(number_of)))
        for position, label in label_of.items():
            lookup[label] = number_of[position]
        base = np.empty(layer.shape, lookup.dtype)
        for rows in slabs(layer.shape):
            lookup.take(layer[rows], out=base[rows], mode="clip")  # other modes make a copy
        own = np.zeros(layer.shape, bool) if protected is None else protected.copy()
        return cls(number_of, base, base.copy(), own)

    def ready(self, box: Box) -> None:
        """Called before a box is read: where a field that follows a scene takes up what is there by now."""

    def spared(self, box: Box, numbers: np.ndarray | None = None) -> np.ndarray:
        """Boolean, of the box's shape: the voxels that may not change.

        Args:
            numbers: what they would become.
        """
        return self.protected[box]

    @property
    def closed(self) -> Collection[int]:
        """Numbers of the classes that neither give nor take a voxel."""
        return ()

    def change(self, box: Box, numbers: np.ndarray) -> Patch | None:
        """Give a box new numbers, but for what is spared; None where that changes nothing."""
        before = self.now[box].copy()
        self.now[box] = np.where(self.spared(box, numbers), before, numbers)
        return _patch(box, before, self.now[box].copy())

    def rebase(self, box: Box, numbers: np.ndarray) -> Patch | None:
        """Give a box another base, but for what is protected; None where that changes nothing."""
        before = self.base[box].copy()
        self.base[box] = np.where(self.protected[box], before, numbers)
        patch = _patch(box, before, self.base[box].copy())
        return patch and replace(patch, of_base=True)

    def take_over(self, box: Box, painted: np.ndarray, numbers: np.ndarray) -> None:
        """What a person painted: no click changes it from here on.

        Args:
            painted: boolean, of the box's shape.
            numbers: likewise; read where it was painted.
        """
        for array in (self.base, self.now):
            np.copyto(array[box], numbers, where=painted, casting="unsafe")
        self.protected[box] |= painted


@dataclass(frozen=True, eq=False)
class Patch:
    """What changed in a box of a field.

    Attributes:
        start: index (i, j, k) of the box's first voxel.
        before, after: its numbers.
        of_base: what changed is the base that clicks correct, not yet what is there now.
        field: which of the corrector's.
    """

    start: Index
    before: np.ndarray
    after: np.ndarray
    of_base: bool = False
    field: int = 0

    @property
    def box(self) -> Box:
        return tuple(slice(first, first + size) for first, size in zip(self.start, self.before.shape, strict=True))

    @property
    def reversed(self) -> Patch:
        """What takes it back."""
        return replace(self, before=self.after, after=self.before)


def _patch(box: Box, before: np.ndarray, after: np.ndarray) -> Patch | None:
    return None if (before == after).all() else Patch(tuple(extent.start for extent in box), before, after)
