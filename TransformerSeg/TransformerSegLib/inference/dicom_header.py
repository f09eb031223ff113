"""The header of a DICOM file: what is needed of it, read without its pixels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.errors import UnreadableInput

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PREAMBLE_BYTES = 128
MAGIC = b"DICM"

NEEDED_TAGS = (
    "ImageType",
    "Modality",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do (PS3.10, section 7.1)."""
    with path.open("rb") as file:
        file.seek(PREAMBLE_BYTES)
        return file.read(len(MAGIC)) == MAGIC


def read_header(path: Path) -> Dataset:
    """Those of ``NEEDED_TAGS`` that a DICOM file has.

    Raises:
        UnreadableInput: the header is damaged or cut short.
    """
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd values in tags that do not matter here
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(NEEDED_TAGS))
        except (ValueError, KeyError, EOFError, NotImplementedError) as error:
            raise damaged(path) from error
    if "Modality" not in header:
        raise damaged(path)
    return header


def text_of(header: Dataset, tag: str) -> str:
    """A tag's value as text; empty where it has none."""
    value = header.get(tag)
    return "" if value is None else str(value).strip()


def number_of_frames(header: Dataset) -> int:
    """1 for a single slice."""
    return int(header.get("NumberOfFrames") or 1)


def damaged(path: Path) -> UnreadableInput:
    """The error of a file whose header cannot be used."""
    return UnreadableInput(
        f"“{path.name}” is damaged",
        why="its DICOM header is cut short, or does not tell where the image lies or how large its pixels are",
        remedy="Export or copy the series again from where it came from",
    )
