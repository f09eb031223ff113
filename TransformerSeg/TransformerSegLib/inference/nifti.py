"""NIfTI files.

By nibabel: SimpleITK reads a file that was cut short without a word, prefers the qform to the sform in some files,
refuses axes that are a hair off a right angle, and does not know NIfTI-2.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.errors import UnreadableInput
from TransformerSegLib.inference.c_order import c_order
from TransformerSegLib.inference.checks import three_axes, vector_voxels
from TransformerSegLib.inference.volume import Volume

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

_CHUNK_BYTES = 1 << 20
_MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


def read_nifti(path: Path, name: str) -> Volume:
    """Read ``.nii`` or ``.nii.gz``, NIfTI-1 or NIfTI-2.

    The affine is the sform if its code is positive, else the qform if its code is, else what nibabel makes of the
    spacing alone (https://nipy.org/nibabel/nifti_images.html#the-nifti-affines), in mm whatever unit the header
    names. Voxels keep the type in which they are stored; where the header scales them, they become 32-bit (from
    64-bit: 64-bit) floating-point numbers.

    Raises:
        UnreadableInput: damaged, cut short, or no NIfTI file.
        NotThreeDimensional, VectorVoxels: see ``checks``.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.imageglobals import LoggingOutputSuppressor
    from nibabel.spatialimages import HeaderDataError

    try:
        with LoggingOutputSuppressor():
            image = nibabel.load(path)
        _refuse_vectors(image, name)
        shape = three_axes(image.shape, name)
        voxels = c_order(_stored_voxels(path, image).reshape(shape, order="F"))
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise UnreadableInput(
            f"“{path.name}” cannot be read as NIfTI",
            why="it is damaged, cut short, or of another kind than its name says",
            remedy="Export or copy it again from where it came from",
        ) from error
    affine = np.array(image.affine, np.float64)
    affine[:3] *= _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    return Volume(_scaled(voxels, image), affine, name)


def _refuse_vectors(image: Nifti1Image, name: str) -> None:
    dtype = image.get_data_dtype()
    if dtype.fields is not None:
        raise vector_voxels(name, f"{len(dtype.fields)} values (colours)")
    if dtype.kind == "c":
        raise vector_voxels(name, "2 values (complex numbers)")
    if len(image.shape) > 4 and image.shape[3] == 1 and image.shape[4] > 1:
        raise vector_voxels(name, f"{image.shape[4]} values")


def _stored_voxels(path: Path, image: Nifti1Image) -> np.ndarray:
    if path.suffix.lower() != ".gz":
        return image.dataobj.get_unscaled()
    with gzip.open(path) as stream:
        voxels = type(image).from_stream(stream).dataobj.get_unscaled()
        while stream.read(_CHUNK_BYTES):  # gzip compares its checksum where the file ends, behind the voxels
            pass
    return voxels


def _scaled(voxels: np.ndarray, image: Nifti1Image) -> np.ndarray:
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if (slope, intercept) == (1.0, 0.0):
        return voxels
    scaled = voxels.astype(np.float64 if voxels.dtype.itemsize == 8 else np.float32)
    scaled *= slope
    scaled += intercept
    return scaled
