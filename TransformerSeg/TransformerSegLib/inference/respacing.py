"""Where the voxels of MONAI's ``Spacing`` lie: the grid of a volume at another distance of voxel centres."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

SAME_SPACING_MM = 1e-3
"""Spacings that differ by less count as equal, and affines that do as the same (MONAI's ``AFFINE_TOL``)."""

ROUNDING_VOXELS = 1e-3
"""What moves the far end of a volume by less is rounding of its affine."""


@dataclass(frozen=True, eq=False)
class Respacing:
    """Two grids over the same space, one of which is the other at new spacings: their axes run the same way.

    Attributes:
        shape, new_shape: voxels along the three axes.
        affine, new_affine: 4×4, index → RAS in mm.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    new_shape: tuple[int, int, int]
    new_affine: np.ndarray

    @property
    def old_from_new(self) -> np.ndarray:
        """4×4: index on the new grid → index (not whole) on the old one."""
        return _without_shear(np.linalg.solve(self.affine, self.new_affine), self.new_shape)

    def new_from_old(self, *detour: np.ndarray) -> np.ndarray:
        """4×4: index on the old grid → index (not whole) on the new one.

        MONAI inverts from the affine that torch tracked through the resampling, and through whatever came behind it
        and was undone; going the same way rounds as it does.

        Args:
            detour: 4×4 matrices, index → index, whose product is the identity.
        """
        import torch

        tracked = torch.from_numpy(self.affine)
        for step in (np.linalg.solve(self.affine, self.new_affine), *detour):
            tracked = tracked @ torch.from_numpy(step)
        return _without_shear(np.linalg.solve(tracked.numpy(), self.affine), self.shape)

    @property
    def oblique(self) -> bool:
        """Whether an index on one grid depends on more than one index on the other, if only by rounding."""
        matrix = self.old_from_new[:3, :3]
        return np.count_nonzero(matrix) > np.count_nonzero(np.diag(matrix))


def _without_shear(matrix: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The matrix, its axes kept apart, unless what mixes them is too small to be seen: then rounding made it.

    Axes a little off a right angle are thereby taken for right ones both on the way to the model and back.
    """
    mixing = matrix[:3, :3] - np.diag(np.diag(matrix)[:3])
    if np.abs(mixing @ np.array(shape)).max() <= ROUNDING_VOXELS:
        return matrix
    apart = matrix.copy()
    apart[:3, :3] -= mixing
    return apart


def respacing(affine: np.ndarray, shape: tuple[int, int, int], pixdim: tuple[float, float, float]) -> Respacing | None:
    """The grid that MONAI's ``Spacing(pixdim)`` resamples a volume onto, or None where it resamples nothing.

    The first voxel stays where it is and the axes keep their directions; the last voxel is the one nearest to where
    the last voxel was. The arithmetic is that of MONAI 1.6 (``zoom_affine``, ``compute_shape_offset``) to the last
    bit, since a size that falls half-way between two whole numbers is rounded by it.

    Args:
        affine: 4×4, index → RAS in mm, its axes at right angles.
        shape: voxels along the three axes.
        pixdim: wanted distance of voxel centres along the three axes, in mm; an axis that is within
            ``SAME_SPACING_MM`` of it, or for which it is not positive, keeps its own.
    """
    spacing = np.sqrt(np.sum(affine[:3, :3] * affine[:3, :3], axis=0))
    wanted = np.where(np.asarray(pixdim) > 0, pixdim, spacing)
    wanted = np.where(np.abs(spacing - wanted) <= SAME_SPACING_MM, spacing, wanted)

    columns = affine[:3, :3]
    triangle = np.linalg.cholesky(columns.T @ columns).T
    new_affine = np.eye(4)
    new_affine[:3, :3] = columns @ np.linalg.inv(triangle) @ np.diag(wanted)

    ends = [(0.0, size - 1.0) for size in shape]
    corners = np.array([*itertools.product(*ends)]).T
    spread = np.linalg.solve(new_affine, affine) @ np.concatenate((corners, np.ones((1, 8))))
    new_shape = tuple(int(size) for size in np.round(np.ptp(spread[:3], axis=1) + 1.0))
    new_affine[:3, 3] = affine[:3, 3]

    if new_shape == tuple(shape) and _same(affine, new_affine):
        return None
    return Respacing(tuple(shape), affine, new_shape, new_affine)


def _same(affine: np.ndarray, new_affine: np.ndarray) -> bool:
    between = np.linalg.solve(affine, new_affine)
    return np.allclose(affine, new_affine, atol=SAME_SPACING_MM) or np.allclose(
        between, np.eye(4), atol=SAME_SPACING_MM
    )
