"""How far voxels lie from those of a class, within a small box."""

from __future__ import annotations

import numpy as np

from TransformerSegLib.interaction.neighbourhood import Spacing


def distance_to(mask: np.ndarray, spacing: Spacing, furthest_mm: float) -> np.ndarray:
    """Distance from every voxel's centre to the nearest centre in the mask, exact up to a limit.

    Squared distances are the least of sums over the axes, so that one axis can be worked off after the other
    (Felzenszwalb, Huttenlocher, Distance Transforms of Sampled Functions, Theory of Computing 8, 2012). With a limit
    of a few voxels, all shifts along an axis are soon tried.

    Args:
        mask: boolean (i, j, k).
        spacing: of voxel centres along i, j and k, in mm.
        furthest_mm: what lies further is given this distance; so is all, where the mask is empty.

    Returns:
        float32, of the mask's shape, in mm; 0 within the mask.
    """
    squared = np.where(mask, np.float32(0.0), np.float32(furthest_mm**2))
    for axis, step in enumerate(spacing):
        before, nearest = squared.swapaxes(axis, 0), squared.copy()
        after = nearest.swapaxes(axis, 0)
        for shift in range(1, min(int(furthest_mm / step), len(before) - 1) + 1):
            further = before + np.float32((shift * step) ** 2)
            np.minimum(after[shift:], further[:-shift], out=after[shift:])
            np.minimum(after[:-shift], further[shift:], out=after[:-shift])
        squared = nearest
    return np.sqrt(squared)


def distances_from(place: tuple[int, int, int], near: np.ndarray, spacing: Spacing, furthest_mm: float) -> np.ndarray:
    """Distance from one voxel to the nearest voxel of every number.

    Args:
        place: index (i, j, k) of the voxel in ``near``.
        near: (i, j, k), unsigned: a box that holds all within the limit.

    Returns:
        (highest number + 1,), float32, in mm: as ``distance_to`` gives them.
    """
    along = [((np.arange(size) - at) * step) ** 2 for size, at, step in zip(near.shape, place, spacing, strict=True)]
    squared = along[0][:, None, None] + along[1][None, :, None] + along[2]
    nearest = np.full(int(near.max()) + 1, furthest_mm**2)
    np.minimum.at(nearest, near.ravel(), squared.ravel())
    return np.sqrt(nearest).astype(np.float32)
