"""The voxels and the place of a DICOM series, or of an enhanced (multi-frame) DICOM file.

Headers by pydicom, since ITK shows no nested sequence and so not where the frames of an enhanced file lie; voxels by
SimpleITK, which decompresses every transfer syntax that matters, and rescales.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.errors import NotThreeDimensional, UnreadableInput
from TransformerSegLib.inference.c_order import c_order
from TransformerSegLib.inference.checks import vector_voxels
from TransformerSegLib.inference.dicom_header import (
    damaged,
    number_of_frames,
    origin_of,
    read_header,
    text_of,
)
from TransformerSegLib.inference.dicom_series import Series, read_series
from TransformerSegLib.inference.names import path_for_itk, shown
from TransformerSegLib.inference.quiet import run_quietly
from TransformerSegLib.inference.slice_stack import Slice, Stack, stack_slices
from TransformerSegLib.inference.volume import Volume

if TYPE_CHECKING:
    import SimpleITK
    from pydicom.dataset import Dataset

_RESCALE = ("RescaleSlope", "RescaleIntercept")
_PIXEL_TYPE = ("BitsAllocated", "BitsStored", "PixelRepresentation")


def read_dicom_folder(folder: Path, wanted: str | None) -> Volume:
    """Read the one series of images in a folder, or the one that is wanted.

    Args:
        wanted: number, UID or description of the series; None where there is but one.

    Raises:
        UnreadableInput, SeveralSeries, SeriesNotFound: see ``read_series``.
        IncompleteSeries, ShearedAffine: see ``stack_slices``.
        NotThreeDimensional: the series has several multi-frame files.
        VectorVoxels: images in colour.
    """
    series = read_series(folder, wanted)
    name = series.description or (f"series {series.number}" if series.number else shown(folder))
    if len(series.files) == 1 and number_of_frames(series.headers[0]) > 1:
        return _read_frames(series.files[0], series.headers[0], name)
    return _read_slices(series, name)


def read_dicom_file(path: Path, name: str) -> Volume:
    """Read one enhanced (multi-frame) file.

    Args:
        name: of the volume, where the file has no series description.

    Raises:
        NotThreeDimensional: the file holds a single slice.
        UnreadableInput: damaged, without pixels, or its frames have no place.
        IncompleteSeries, ShearedAffine: see ``stack_slices``.
        VectorVoxels: frames in colour.
    """
    header = read_header(path)
    if "Rows" not in header:
        raise UnreadableInput(
            f"“{shown(path)}” is DICOM without pixels",
            why="there is nothing to segment",
            remedy="Give the folder of the image series",
        )
    if number_of_frames(header) == 1:
        raise NotThreeDimensional(
            f"“{shown(path)}” is one slice of a series",
            why="the model segments volumes",
            remedy="Give the folder that holds the whole series",
        )
    return _read_frames(path, header, text_of(header, "SeriesDescription") or name)


def _read_slices(series: Series, name: str) -> Volume:
    import SimpleITK

    headers = series.headers
    if any(number_of_frames(header) > 1 for header in headers):
        raise NotThreeDimensional(
            f"“{name}” has several multi-frame files",
            why="each of them may be a volume, and the model segments one",
            remedy="Give one of these files instead of the folder",
        )
    for header in headers:
        _refuse_colours(header, name)
    stack = stack_of_slices(series, name)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([path_for_itk(series.files[index]) for index in stack.order])
    if len({_texts(header, *_PIXEL_TYPE, *_RESCALE) for header in headers}) > 1:
        reader.SetOutputPixelType(SimpleITK.sitkFloat32)  # else all slices take the first one's type, maybe an integer
    voxels = _voxels(reader, series.files[0].parent)
    return Volume(voxels, stack.affine, name, series.modality or None, origin_of(headers[0]))


def stack_of_slices(series: Series, name: str) -> Stack:
    """The order and the place of a series' files, of one slice each.

    Raises:
        UnreadableInput: a header does not tell where its slice lies.
        IncompleteSeries, ShearedAffine: see ``stack_slices``.
    """
    files = zip(series.headers, series.files, strict=True)
    return stack_slices([_slice(header, header, header, header, path) for header, path in files], name)


def _read_frames(path: Path, header: Dataset, name: str) -> Volume:
    import SimpleITK

    _refuse_colours(header, name)
    stack = stack_of_frames(path, header, name)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(path_for_itk(path))
    voxels = _voxels(reader, path)
    if stack.order != tuple(range(len(stack.order))):
        voxels = np.ascontiguousarray(voxels[:, :, list(stack.order)])
    return Volume(voxels, stack.affine, name, text_of(header, "Modality") or None, origin_of(header))


def stack_of_frames(path: Path, header: Dataset, name: str) -> Stack:
    """The order and the place of an enhanced file's frames.

    Raises:
        UnreadableInput: they have no place, or are scaled differently.
        IncompleteSeries, ShearedAffine: see ``stack_slices``.
    """
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    frames = header.get("PerFrameFunctionalGroupsSequence") or ()
    if len(frames) != number_of_frames(header):
        raise UnreadableInput(
            f"The frames of “{shown(path)}” have no place in the patient",
            why="it is not an enhanced CT or MR file",
            remedy="Give an image series, or convert it to NRRD with Slicer",
        )

    def group(frame: Dataset, sequence: str) -> Dataset | None:
        """What the frame says for itself, or else all frames share (PS3.3, C.7.6.16)."""
        items = frame.get(sequence) or (shared.get(sequence) if shared is not None else None)
        return items[0] if items else None

    if len({_texts(group(frame, "PixelValueTransformationSequence") or header, *_RESCALE) for frame in frames}) > 1:
        raise UnreadableInput(
            f"The frames of “{shown(path)}” are scaled differently",
            why="only files with one scale are read",
            remedy="Load it in Slicer, save the volume as NRRD, and give that file",
        )
    slices = [
        _slice(
            header,
            group(frame, "PlanePositionSequence"),
            group(frame, "PlaneOrientationSequence"),
            group(frame, "PixelMeasuresSequence"),
            path,
        )
        for frame in frames
    ]
    return stack_slices(slices, name)


def _slice(
    image: Dataset, position: Dataset | None, orientation: Dataset | None, measures: Dataset | None, path: Path
) -> Slice:
    """A slice, from the data sets that hold its size, its position, its orientation and its pixel spacing."""
    try:
        directions = np.array(orientation.ImageOrientationPatient, np.float64).reshape(2, 3)
        lengths = np.linalg.norm(directions, axis=1)
        place = np.array(position.ImagePositionPatient, np.float64).reshape(3)
        spacing = np.array(measures.PixelSpacing, np.float64).reshape(2)
        shape = (int(image.Rows), int(image.Columns))
    except (AttributeError, TypeError, ValueError) as error:
        raise damaged(path) from error
    if not np.isfinite([*place, *lengths, *spacing]).all() or min(*lengths, *spacing) <= 0:
        raise damaged(path)
    return Slice(place, *(directions / lengths[:, None]), tuple(spacing.tolist()), shape)


def _texts(header: Dataset, *tags: str) -> tuple[str, ...]:
    return tuple(text_of(header, tag) for tag in tags)


def _voxels(reader: SimpleITK.ImageFileReader | SimpleITK.ImageSeriesReader, path: Path) -> np.ndarray:
    """What a reader reads, (I, J, K)."""
    import SimpleITK

    try:
        image, _ = run_quietly(reader.Execute)
    except RuntimeError as error:
        raise UnreadableInput(
            f"The pixels in “{shown(path)}” cannot be read",
            why="a file is damaged or cut short",
            remedy="Export or copy the series again from where it came from",
        ) from error
    return c_order(SimpleITK.GetArrayViewFromImage(image).transpose(2, 1, 0))


def _refuse_colours(header: Dataset, name: str) -> None:
    values = int(header.get("SamplesPerPixel") or 1)
    if values > 1:
        raise vector_voxels(name, f"{values} values (colours)")
