"""The voxels around one voxel that a click there may change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TransformerSegLib.interaction.click import Index

Box = tuple[slice, slice, slice]
Spacing = tuple[float, float, float]

REACH_MM = 12.0
"""No click changes a voxel whose centre lies further than this from its own."""


@dataclass(frozen=True)
class Neighbourhood:
    """A box of a grid around a voxel, and within it the ball of those voxels that lie near enough.

    Attributes:
        centre: index (i, j, k).
        box: clipped to the grid.
        spacing: of voxel centres along i, j and k, in mm. The axes are at right angles, however they lie in space.
        reach_mm: the ball's radius.
    """

    centre: Index
    box: Box
    spacing: Spacing
    reach_mm: float

    @classmethod
    def of(cls, centre: Index, shape: Index, spacing: Spacing, reach_mm: float = REACH_MM) -> Neighbourhood:
        """Around a voxel of a grid of this shape."""
        box = []
        for middle, size, step in zip(centre, shape, spacing, strict=True):
            count = int(reach_mm / step)
            box.append(slice(max(middle - count, 0), min(middle + count + 1, size)))
        return cls(centre, tuple(box), spacing, reach_mm)

    @property
    def start(self) -> Index:
        """Index of the box's first voxel."""
        return tuple(extent.start for extent in self.box)

    @property
    def shape(self) -> Index:
        return tuple(extent.stop - extent.start for extent in self.box)

    def place(self, voxel: Index) -> Index | None:
        """Where a voxel of the grid lies in the box; None: outside of it."""
        place = tuple(index - extent.start for index, extent in zip(voxel, self.box, strict=True))
        return place if all(0 <= index < size for index, size in zip(place, self.shape, strict=True)) else None

    def ball(self) -> np.ndarray:
        """Boolean, of the box's shape: the voxels within reach."""
        along = [
            ((np.arange(extent.start, extent.stop) - middle) * step) ** 2
            for extent, middle, step in zip(self.box, self.centre, self.spacing, strict=True)
        ]
        squared = along[0][:, None, None] + along[1][None, :, None] + along[2]
        return squared <= self.reach_mm**2

    def grown(self, margin_mm: float, shape: Index) -> tuple[Box, Box]:
        """A box with a margin on every side, clipped to the grid; and where this one's box lies within it."""
        outer = Neighbourhood.of(self.centre, shape, self.spacing, self.reach_mm + margin_mm).box
        inner = tuple(
            slice(own.start - wide.start, own.stop - wide.start) for own, wide in zip(self.box, outer, strict=True)
        )
        return outer, inner


def millimetres_between(one: Index, other: Index, spacing: Spacing) -> float:
    """Distance of two voxel centres."""
    return float(np.linalg.norm((np.array(one, np.float64) - other) * spacing))
