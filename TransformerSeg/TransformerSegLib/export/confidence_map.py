"""How sure the model was, voxel by voxel, as an image file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import behind_links, check_folder, written_atomically

SUFFIXES = (".nii.gz", ".nii")

STEP = 1 / 200
"""What it is rounded to: finer differences mean nothing, and take room."""


def check_confidence(path: Path, overwrite: bool = False) -> None:
    """Make sure, before a run, that its confidence map can be written.

    Raises:
        OutputRejected: the folder is missing or not writable, ``path`` is not named as NIfTI, or something is there
            already and ``overwrite`` is False.
    """
    if not path.name.lower().endswith(SUFFIXES) or path.is_dir():
        raise OutputRejected(
            f"“{path.name}” cannot be a confidence map", why="it is a NIfTI file", remedy="Let its name end in .nii.gz"
        )
    check_folder(behind_links(path).parent)
    if path.exists() and not overwrite:
        raise OutputRejected(
            f"“{path}” is there already",
            why="what it holds would be lost",
            remedy="Name another file for the confidence map, or add --overwrite",
        )


def write_confidence(path: Path, confidence: np.ndarray, affine: np.ndarray) -> None:
    """Write the probability of the label, in percent steps of a half: bytes, which the header scales to 0…1.

    Args:
        confidence: (I, J, K), 0…1.
        affine: 4×4, index → RAS in mm.

    Raises:
        OutputRejected: the file could not be written.
    """
    import nibabel

    steps = np.rint(confidence / np.float16(STEP)).astype(np.uint8)
    image = nibabel.Nifti1Image(steps, affine)
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(STEP, 0.0)
    with written_atomically(path) as temporary:
        nibabel.save(image, temporary)
