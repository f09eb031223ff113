"""Are a volume's intensities Hounsfield units? Judged where no DICOM tag tells the modality."""

from __future__ import annotations

import numpy as np

SAMPLED_VOXELS = 1_000_000

# Hounsfield units: air is −1000, lung about −700, fat −100, water 0, dense bone above 700.
AIR_AND_LUNG_HU = (-1100, -500)
DENSE_BONE_HU = (500, 1100)
FAT_HU = -100

CT_AIR_SHARE = 0.05
"""Of a CT's voxels, at least these are air or lung, unless it was cropped to the inside of the body."""

CT_AIR_PER_BONE = 5
"""A body in air has at least so many times more voxels of air than of dense bone; a phase image of MR, whose values
lie evenly on both sides of zero, has as many."""


def looks_like_ct(array: np.ndarray) -> bool:
    """True where the intensities can hardly be anything else than Hounsfield units; False where they may be.

    They are whole numbers, a share of them is air or lung, and far fewer are dense bone.

    Args:
        array: voxels of any shape; about a million of them are looked at.
    """
    sample = array.reshape(-1)[:: max(1, array.size // SAMPLED_VOXELS)]
    if sample.size == 0:
        return False
    if sample.dtype.kind == "f" and not np.array_equal(sample, np.rint(sample)):
        return False
    air = _share(sample, AIR_AND_LUNG_HU)
    return air >= CT_AIR_SHARE and air >= CT_AIR_PER_BONE * _share(sample, DENSE_BONE_HU)


def cannot_be_hounsfield(array: np.ndarray) -> bool:
    """True where no voxel is below fat: even the inside of a body holds some that are.

    It holds for z-scored volumes, for volumes from 0 up, and for a CT whose intensities were shifted to start at 0.
    """
    return array.size > 0 and bool(array.min() >= FAT_HU)


def _share(sample: np.ndarray, bounds: tuple[int, int]) -> float:
    low, high = bounds
    return np.count_nonzero((sample >= low) & (sample <= high)) / sample.size
