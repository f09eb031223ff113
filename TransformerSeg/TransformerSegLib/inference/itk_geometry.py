"""Where an image lies: the project's affines (RAS), and ITK's spacing, directions and origin (LPS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def affine_of(image: SimpleITK.Image) -> np.ndarray:
    """The affine of a three-dimensional image: 4×4, (i, j, k, 1) → RAS in mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return _FLIP @ affine


def itk_geometry(affine: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Spacing in mm, direction cosines row by row, and origin in mm, of an affine (index → RAS in mm)."""
    lps = _FLIP @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return spacing.tolist(), (lps[:3, :3] / spacing).ravel().tolist(), lps[:3, 3].tolist()
