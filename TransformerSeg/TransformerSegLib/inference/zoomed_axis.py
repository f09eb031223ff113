"""Where the voxels of a zoomed image lie on the image that it is made from, along one axis.

The rule is that of ``scipy.ndimage.zoom``, with which the official code of TransUNet and Swin-Unet makes slices as
large as the network wants them, and labels as large as the slices: first voxel on first, last on last.
"""

from __future__ import annotations

import numpy as np


def zoomed_positions(old: int, new: int) -> np.ndarray:
    """Where each of the ``new`` voxels lies, in indices of the ``old`` ones; (new,) float64, rising from 0.

    NaN where it lies outside, and there scipy fills in zeros: the last voxel does, wherever its position, which
    should be that of the last old one, comes out 10⁻¹⁴ too far. So it does from 512 voxels to 224. (The networks
    were trained on images with that seam of zeros.)
    """
    step = (old - 1) / (new - 1) if new > 1 else 1.0
    positions = np.arange(new) * step
    return np.where(positions > old - 1, np.nan, positions)
