"""From a file or folder to a ``Volume``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.errors import NotThreeDimensional, TransformerSegError, UnreadableInput
from TransformerSegLib.inference.c_order import c_order
from TransformerSegLib.inference.checks import no_spacing, three_axes, vector_voxels
from TransformerSegLib.inference.dicom import read_dicom_file, read_dicom_folder
from TransformerSegLib.inference.dicom_header import is_dicom
from TransformerSegLib.inference.itk_geometry import affine_of
from TransformerSegLib.inference.metaimage import MetaImageHeader, damaged, read_metaimage_header
from TransformerSegLib.inference.names import clean_name, path_for_itk, shown
from TransformerSegLib.inference.nifti import read_nifti
from TransformerSegLib.inference.nrrd_header import check_nrrd_spacing
from TransformerSegLib.inference.quiet import run_quietly
from TransformerSegLib.inference.volume import Volume

if TYPE_CHECKING:
    import SimpleITK

NIFTI_SUFFIXES = (".nii", ".nii.gz")
NRRD_SUFFIXES = (".nrrd", ".nhdr")
METAIMAGE_SUFFIXES = (".mha", ".mhd")
DICOM_SUFFIXES = (".dcm",)

_READ = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), and DICOM"


def read_volume(path: str | Path, series: str | None = None) -> Volume:
    """Read one volume as it is stored: its voxels' type, its axes' order, its affine.

    Args:
        path: a NIfTI, NRRD or MetaImage file; a folder with a DICOM series, at any depth; or one enhanced
            (multi-frame) DICOM file.
        series: which series of a DICOM folder: its number, its UID or its description. Of no meaning for files.

    Returns:
        the volume. Its name is the file's without its suffix or the description of the series, see ``clean_name``.

    Raises:
        UnreadableInput: missing, damaged, or of a kind that is not read.
        NotThreeDimensional: a flat image, or several time points. One time point is read as a volume.
        VectorVoxels: several numbers a voxel.
        SingularAffine: the file's directions are coplanar, or its spacing is not there or not positive. (Other
            affines are for ``check_volume`` to judge.)
        SeveralSeries, SeriesNotFound, IncompleteSeries, ShearedAffine: see ``dicom``.
    """
    path = Path(path)
    try:
        return _read(path, series)
    except OSError as error:
        raise UnreadableInput(
            f"“{shown(path)}” cannot be read",
            why=error.strerror or str(error),
            remedy="Check that the file exists, and that you may read it",
        ) from error


def _read(path: Path, series: str | None) -> Volume:
    lower = path.name.lower()
    if not path.exists():
        raise UnreadableInput(
            f"“{clean_name(str(path))}” does not exist",
            why="there is nothing to read",
            remedy="Check how the path is spelt",
        )
    if path.is_dir():
        return read_dicom_folder(path, series)
    if lower.endswith(NIFTI_SUFFIXES):
        return read_nifti(path, name_of(path))
    if lower.endswith(METAIMAGE_SUFFIXES):
        return _read_by_itk(path, name_of(path), read_metaimage_header(path, name_of(path)))
    if lower.endswith(NRRD_SUFFIXES):
        check_nrrd_spacing(path, name_of(path))
        return _read_by_itk(path, name_of(path))
    if is_dicom(path):
        return read_dicom_file(path, name_of(path))
    raise UnreadableInput(
        f"“{shown(path)}” is of a kind that is not read",
        why=f"what is read is {_READ}",
        remedy="Convert it to one of these, for example with Slicer",
    )


def name_of(path: Path) -> str:
    """A file's name without the suffixes that tell its kind, see ``clean_name``."""
    name = path.name
    for suffix in (*NIFTI_SUFFIXES[::-1], *NRRD_SUFFIXES, *METAIMAGE_SUFFIXES, *DICOM_SUFFIXES):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return clean_name(name) or "unnamed"


def _read_by_itk(path: Path, name: str, metaimage: MetaImageHeader | None = None) -> Volume:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(path_for_itk(path))
    try:
        run_quietly(reader.ReadImageInformation)
        _refuse_vectors(reader, name)
        three_axes(reader.GetSize(), name)
        reader.SetExtractSize([*reader.GetSize()[:3], *[0] * (len(reader.GetSize()) - 3)])
        if metaimage is not None:
            metaimage.check_length(_bytes_of_voxels(reader))
        image, _ = run_quietly(reader.Execute)
    except RuntimeError as error:
        raise _from_itk(path, str(error)) from error
    return Volume(c_order(SimpleITK.GetArrayViewFromImage(image).transpose(2, 1, 0)), affine_of(image), name)


def _refuse_vectors(reader: SimpleITK.ImageFileReader, name: str) -> None:
    import SimpleITK

    values = reader.GetNumberOfComponents()
    if values > 1 and reader.HasMetaDataKey("NRRD_kinds[pixel]") and reader.GetMetaData("NRRD_kinds[pixel]") == "list":
        raise NotThreeDimensional(
            f"“{name}” is a sequence of {values} volumes",
            why="the model segments one volume",
            remedy="Extract one of them, for example with Slicer's module Sequences, and give that",
        )
    if values > 1:
        raise vector_voxels(name, f"{values} values")
    if reader.GetPixelID() in (SimpleITK.sitkComplexFloat32, SimpleITK.sitkComplexFloat64):
        raise vector_voxels(name, "2 values (complex numbers)")


def _bytes_of_voxels(reader: SimpleITK.ImageFileReader) -> int:
    import SimpleITK

    one = SimpleITK.Image([1] * reader.GetDimension(), reader.GetPixelID())
    return math.prod(reader.GetSize()) * one.GetSizeOfPixelComponent()


def _from_itk(path: Path, message: str) -> TransformerSegError:
    if "determinant is 0" in message or "Zero-valued spacing" in message:
        return no_spacing(name_of(path))
    return damaged(path)
