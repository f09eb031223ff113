"""The header of a DICOM file: what is needed of it, read without its pixels, and whether the file is whole."""

from __future__ import annotations

import contextlib
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from TransformerSegLib.errors import UnreadableInput
from TransformerSegLib.inference.names import clean_name, shown
from TransformerSegLib.inference.origin import Origin

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
    "PatientID",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)

_WITHOUT_PREAMBLE = re.compile(rb"\x02\0\0\0UL|\x08\0[\0-\x20]\0(UL|CS|UI|DA|[\x02-\x7f]\0\0\0)")
"""The first element of a file that was written as a bare data set, as old archives do: group 2, or group 8 with or
without the type of its value."""

_PIXEL_GROUP = 0x7FE0
_UNDEFINED_LENGTH = 0xFFFFFFFF


class DamagedFile(UnreadableInput):
    """A DICOM file whose header or pixels cannot be used.

    Attributes:
        series: the Series Instance UID, where so much could be read; else empty.
    """

    series = ""


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do (PS3.10, section 7.1), or as one without its preamble."""
    with path.open("rb") as file:
        start = file.read(PREAMBLE_BYTES + len(MAGIC))
    return start[PREAMBLE_BYTES:] == MAGIC or _WITHOUT_PREAMBLE.match(start) is not None


def read_header(path: Path) -> Dataset:
    """Those of ``NEEDED_TAGS`` that a DICOM file has, decoded.

    Raises:
        DamagedFile: the file is cut short, or its pixels are fewer than its header says, or a tag cannot be decoded.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd values in tags that do not matter here
        header = None
        try:
            with path.open("rb") as file:
                header, whole = _read(file, path.stat().st_size)
            for _ in header.iterall():  # pydicom decodes a value when it is asked for, and only then finds it damaged
                pass
            usable = whole and number_of_frames(header) > 0 and ("Rows" not in header or "Modality" in header)
        except OSError:
            raise
        except Exception as error:  # whatever pydicom stumbles over: it has no error of its own for a damaged file
            raise damaged(path, header) from error
    if not usable:
        raise damaged(path, header)
    return header


def text_of(header: Dataset, tag: str) -> str:
    """A tag's value as text, see ``clean_name``; empty where it has none."""
    value = header.get(tag)
    return "" if value is None else clean_name(str(value))


def origin_of(header: Dataset) -> Origin:
    """What a header says of the series, the patient and the frame of reference."""
    return Origin(*(text_of(header, tag) for tag in ("SeriesDescription", "PatientID", "FrameOfReferenceUID")))


def number_of_frames(header: Dataset) -> int:
    """1 for a single slice."""
    return int(header.get("NumberOfFrames") or 1)


def damaged(path: Path, header: Dataset | None = None) -> DamagedFile:
    """The error of a file whose header cannot be used."""
    error = DamagedFile(
        f"“{shown(path)}” is damaged",
        why="it is cut short, or its DICOM header does not tell where the image lies or how large its pixels are",
        remedy="Export or copy the series again from where it came from",
    )
    if header is not None:
        with contextlib.suppress(Exception):  # the UID, too, may be what is damaged
            error.series = text_of(header, "SeriesInstanceUID")
    return error


def _read(file: BinaryIO, size: int) -> tuple[Dataset, bool]:
    """The header, and whether the file holds all that its elements and its pixels need."""
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    end = 0  # of the last element whose length is known
    pixels = None  # bytes

    def at_pixels(tag: int, _: str | None, length: int) -> bool:
        nonlocal end, pixels
        end = size if length == _UNDEFINED_LENGTH else file.tell() + length
        if tag >> 16 == _PIXEL_GROUP:
            pixels = length
        return pixels is not None

    header = read_partial(file, at_pixels, specific_tags=[Tag(name) for name in NEEDED_TAGS], force=True)
    deflated = header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    if not deflated and (end > size or (pixels is None and (end < size or end == 0))):
        return header, False
    if "Rows" not in header:
        return header, True
    return header, pixels is not None and (pixels == _UNDEFINED_LENGTH or pixels >= _bytes_of_pixels(header))


def _bytes_of_pixels(header: Dataset) -> int:
    """What the pixels of an image need that is not compressed (PS3.5, section 8.1.1)."""
    bits = header.BitsAllocated * header.Rows * header.Columns * int(header.get("SamplesPerPixel") or 1)
    return (bits * number_of_frames(header) + 7) // 8
