"""Whether a file is still the result that a run wrote, so that replacing it destroys nobody's work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from TransformerSegLib.inference.quiet import run_quietly

DIGEST_FIELD = "TransformerSeg_VoxelsSHA256"
"""Header field of NRRD and MetaImage files. Slicer drops it when it saves a segmentation that it loaded."""

NIFTI_PREFIX = "TransformerSeg "
"""Begins the 80 characters that a NIfTI header has for a description; the digest follows."""


def voxels_digest(layers: Iterable[np.ndarray]) -> str:
    """SHA-256 of label layers, each (K, J, I), whatever their unsigned type; hexadecimal."""
    digest = hashlib.sha256()
    for layer in layers:
        digest.update(np.ascontiguousarray(layer, "<u2"))
    return digest.hexdigest()


def is_untouched(path: Path) -> bool:
    """True where the file holds a digest, and its voxels are still those that the digest was made of.

    A file that a person saved from Slicer, or whose voxels another program changed, is not.
    """
    import SimpleITK

    try:
        image, _ = run_quietly(lambda: SimpleITK.ReadImage(str(path)))
    except RuntimeError:
        return False
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    claimed = fields.get(DIGEST_FIELD) or fields.get("ITK_FileNotes", "").removeprefix(NIFTI_PREFIX)
    array = SimpleITK.GetArrayViewFromImage(image)
    if not np.issubdtype(array.dtype, np.unsignedinteger):
        return False
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    return claimed == voxels_digest(array if array.ndim == 4 else [array])
