"""Grids whose voxels meet: the same voxels, counted from another corner, or along other axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

Index = tuple[int, int, int]

MEETING_VOXELS = 0.01
"""Voxels meet if their centres are nearer than this share of a voxel: headers are rounded."""


@dataclass(frozen=True)
class Lattice:
    """How the indices of one grid become those of another.

    Slicer's files and tools keep the voxels, but count them from another corner, and turn left-handed grids round.

    Attributes:
        axes: axis n of the target runs along axis ``axes[n]`` of the source.
        signs: 1, or −1 where it runs the other way.
        offset: index on the target of the source's voxel (0, 0, 0).
    """

    axes: Index
    signs: Index
    offset: Index

    @classmethod
    def between(cls, source: np.ndarray, target: np.ndarray, reach: Index) -> Self | None:
        """From one grid to another; None where their voxels do not meet.

        Args:
            source: 4×4, index → mm.
            target: 4×4, index → mm, in the same frame.
            reach: the farthest index of the source that matters.
        """
        finite = np.isfinite(source).all() and np.isfinite(target).all()
        if not finite or not abs(np.linalg.det(target)) > 0:
            return None
        exact = np.linalg.solve(target, source)
        whole = exact.round()
        steps = np.abs(whole[:3, :3])
        if (steps.sum(axis=0) != 1).any() or (steps.sum(axis=1) != 1).any():
            return None
        farthest = np.abs(exact - whole)[:3] @ (*np.abs(reach), 1)
        if not (farthest < MEETING_VOXELS).all():
            return None
        axes = steps.argmax(axis=1)
        signs = whole[np.arange(3), axes]
        return cls(_index(axes), _index(signs), _index(whole[:3, 3]))

    def placed(self, array: np.ndarray, start: Index) -> tuple[np.ndarray, Index]:
        """A part of the source, as it lies on the target.

        Args:
            array: (I, J, K) of the source.
            start: index of its first voxel on the source.

        Returns:
            a view of the array with the target's axes, and the index of its first voxel on the target.
        """
        first = np.array(start)[list(self.axes)]
        turned = array.transpose(self.axes)
        last = first + turned.shape - 1
        signs = np.array(self.signs)
        turned = turned[tuple(slice(None, None, int(sign)) for sign in signs)]
        return turned, _index(np.where(signs > 0, first, -last) + self.offset)


def _index(values: np.ndarray) -> Index:
    i, j, k = (int(value) for value in values)
    return i, j, k
