"""Real volumes for tests, small ones."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from TransformerSegLib.inference.volume import Volume

TOTALSEGMENTATOR = Path(__file__).parent / "data" / "totalsegmentator"
MR = TOTALSEGMENTATOR / "example_mr_sm.nii.gz"
CT = TOTALSEGMENTATOR / "example_ct_sm.nii.gz"


def real_volume(path: Path, affine: np.ndarray | None = None, part: tuple[slice, ...] = ()) -> Volume:
    """A part of a volume, read by nibabel; at another place in space where an affine is given."""
    image = nibabel.load(path)
    array = np.ascontiguousarray(np.asanyarray(image.dataobj)[part])
    return Volume(array, image.affine if affine is None else affine, path.name)


def affine_of(spacing: tuple[float, float, float], axes: str = "RAS", degrees: float = 0.0) -> np.ndarray:
    """An affine with these spacings in mm and axis codes, turned about two axes of the patient."""
    affine = np.zeros((4, 4))
    for axis, code in enumerate(axes):
        affine["RLAPSI".index(code) // 2, axis] = spacing[axis] * (1 if code in "RAS" else -1)
    angle = np.radians(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    about_z = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    affine[:3, :3] = about_x @ about_z @ affine[:3, :3] if degrees else affine[:3, :3]
    affine[:, 3] = -31.5, 12.25, 100.0, 1.0
    return affine
