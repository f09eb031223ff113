"""Nearest neighbour along one axis: ``scipy.ndimage.zoom(order=0)``."""

from __future__ import annotations

import numpy as np

from TransformerSegLib.inference.zoomed_axis import zoomed_positions

OUTSIDE = -1
"""Stands for a voxel that lies outside, where scipy fills in zeros."""


def nearest_zoom(old: int, new: int) -> np.ndarray:
    """(new,) int64: which of the ``old`` voxels each of the ``new`` ones is taken from, or ``OUTSIDE``.

    Half-way between two it is the later one.
    """
    positions = zoomed_positions(old, new)
    return np.where(np.isnan(positions), OUTSIDE, np.floor(np.nan_to_num(positions) + 0.5)).astype(np.int64)
