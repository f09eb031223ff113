"""NIfTI files.

The header by nibabel, the voxels by NumPy: SimpleITK reads a file that was cut short without a word, prefers the qform
to the sform in some files, refuses axes that are a hair off a right angle, and does not know NIfTI-2; nibabel's own
reading repairs a header that is wrong, a spacing of zero to 1 mm for one, and goes on.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from TransformerSegLib.errors import UnreadableInput
from TransformerSegLib.inference.c_order import c_order
from TransformerSegLib.inference.checks import no_spacing, three_axes, vector_voxels
from TransformerSegLib.inference.names import shown
from TransformerSegLib.inference.volume import Volume

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_CHUNK_BYTES = 1 << 20
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""By the code of the unit (nifti1.h, NIFTI_UNITS_…): unknown, metre, millimetre, micrometre."""

_SPATIAL_UNIT = 0b111
"""Bits of ``xyzt_units``; the others are time's."""

DEFLATE_LIMIT = 1032
"""Bytes that one packed byte can become at most (https://zlib.net/zlib_tech.html, Maximum Compression Factor)."""


def read_nifti(path: Path, name: str) -> Volume:
    """Read ``.nii`` or ``.nii.gz``, NIfTI-1 or NIfTI-2.

    The affine is the sform if its code is positive, else the qform if its code is, else what nibabel makes of the
    spacing alone (https://nipy.org/nibabel/nifti_images.html#the-nifti-affines), in mm whatever unit the header
    names. Voxels keep the type in which they are stored; where the header scales them, they become 32-bit (from
    64-bit: 64-bit) floating-point numbers.

    Raises:
        UnreadableInput: damaged, cut short, or no NIfTI file.
        SingularAffine: the affine is made from the spacing, and that is zero, negative or not finite.
        NotThreeDimensional, VectorVoxels: see ``checks``.
    """
    from nibabel.spatialimages import HeaderDataError

    packed = path.suffix.lower() == ".gz"
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            header = _header(stream)
            _refuse_vectors(header, name)
            shape = three_axes(header.get_data_shape(), name)
            _check_size(header, shape, path, packed)
            voxels = _packed_voxels(stream, header, shape) if packed else _mapped_voxels(path, header, shape)
            slope, intercept = header.get_slope_inter()
            affine = _affine(header, name)
    except (HeaderDataError, gzip.BadGzipFile, EOFError, KeyError, OverflowError, ValueError, zlib.error) as error:
        raise UnreadableInput(
            f"“{shown(path)}” cannot be read as NIfTI",
            why="it is damaged, cut short, or of another kind than its name says",
            remedy="Export or copy it again from where it came from",
        ) from error
    return Volume(_scaled(c_order(voxels), slope, intercept), affine, name)


def _header(stream: BinaryIO) -> Nifti1Header:
    """As it is written, without nibabel's repairs."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    start = stream.read(Nifti2Header.sizeof_hdr)
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    kind = next((kind for kind in (Nifti1Header, Nifti2Header) if kind.sizeof_hdr in sizes), None)
    if kind is None or len(start) < kind.sizeof_hdr:
        raise ValueError("no NIfTI header")
    header = kind(start[: kind.sizeof_hdr], check=False)
    if header["magic"].item() != kind.single_magic.rstrip(b"\0"):
        raise ValueError("no NIfTI magic, or voxels in a file of their own")
    return header


def _refuse_vectors(header: Nifti1Header, name: str) -> None:
    dtype, shape = header.get_data_dtype(), header.get_data_shape()
    if dtype.fields is not None:
        raise vector_voxels(name, f"{len(dtype.fields)} values (colours)")
    if dtype.kind == "c":
        raise vector_voxels(name, "2 values (complex numbers)")
    if len(shape) > 4 and shape[3] == 1 and shape[4] > 1:
        raise vector_voxels(name, f"{shape[4]} values")


def _check_size(header: Nifti1Header, shape: tuple[int, int, int], path: Path, packed: bool) -> None:
    """Before memory is taken for them: can the file hold as many voxels as its header says?"""
    declared = header.get_data_offset() + math.prod(shape) * header.get_data_dtype().itemsize
    if header.get_data_offset() < header.single_vox_offset or min(shape) < 0:
        raise ValueError("voxels within the header, or fewer than none")
    if declared > path.stat().st_size * (DEFLATE_LIMIT if packed else 1):
        raise EOFError


def _mapped_voxels(path: Path, header: Nifti1Header, shape: tuple[int, int, int]) -> np.ndarray:
    if math.prod(shape) == 0:
        return np.empty(shape, header.get_data_dtype())
    return np.memmap(path, header.get_data_dtype(), "r", header.get_data_offset(), shape, order="F")


def _packed_voxels(stream: BinaryIO, header: Nifti1Header, shape: tuple[int, int, int]) -> np.ndarray:
    voxels = np.empty(math.prod(shape), header.get_data_dtype())
    stream.seek(header.get_data_offset())
    rest = memoryview(voxels).cast("B") if voxels.size else memoryview(b"")
    while rest:
        read = stream.readinto(rest[:_CHUNK_BYTES])
        if read == 0:
            raise EOFError
        rest = rest[read:]
    while stream.read(_CHUNK_BYTES):  # gzip compares its checksum where the file ends, behind the voxels
        pass
    return voxels.reshape(shape, order="F")


def _affine(header: Nifti1Header, name: str) -> np.ndarray:
    if header["sform_code"] > 0:
        affine = header.get_sform()
    else:
        spacing = header["pixdim"][1:4]
        if not (np.isfinite(spacing).all() and (spacing > 0).all()):
            raise no_spacing(name)
        header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1  # as NIfTI's own library takes other values
        affine = header.get_qform() if header["qform_code"] > 0 else header.get_base_affine()
    affine = np.array(affine, np.float64)
    affine[:3] *= _MILLIMETRES[int(header["xyzt_units"]) & _SPATIAL_UNIT]
    return affine


def _scaled(voxels: np.ndarray, slope: float | None, intercept: float | None) -> np.ndarray:
    if (slope, intercept) in ((None, None), (1.0, 0.0)):
        return voxels
    scaled = voxels.astype(np.float64 if voxels.dtype.itemsize == 8 else np.float32)
    scaled *= slope
    scaled += intercept
    return scaled
