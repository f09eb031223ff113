"""A volume as the engine sees it: voxels, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TransformerSegLib.inference.origin import UNKNOWN, Origin


@dataclass(frozen=True, eq=False)
class Volume:
    """One scalar volume. It holds no torch, slicer or file object, and nothing in it is changed after it is made.

    Attributes:
        array: voxels, shape (I, J, K), C-contiguous, of the integer or floating type in which they were stored.
            ``array[i, j, k]`` is the voxel at index (i, j, k). (SimpleITK and Slicer order their arrays k, j, i.)
        affine: 4×4, float64; maps (i, j, k, 1), voxel centres, to millimetres in RAS (right, anterior, superior).
        name: what a person calls it: the file's name, or the node's.
        modality: "CT", "MR", …, as DICOM writes it; None where nothing tells it.
        origin: the series, the patient and the frame of reference, as far as DICOM tells them.

    Example:
        >>> volume = Volume(np.zeros((4, 5, 6), np.int16), np.diag([1.0, 1.0, 2.5, 1.0]), "head")
        >>> volume.spacing
        (1.0, 1.0, 2.5)
    """

    array: np.ndarray
    affine: np.ndarray
    name: str
    modality: str | None = None
    origin: Origin = UNKNOWN

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of voxel centres along i, j and k, in mm."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def extent(self) -> tuple[float, float, float]:
        """Size along i, j and k, in mm, from the outer face of the first voxel to that of the last."""
        return tuple(n * s for n, s in zip(self.array.shape, self.spacing, strict=True))
