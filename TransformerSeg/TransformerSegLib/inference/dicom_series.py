"""Which DICOM series of images lie in a folder, and which of them is meant."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from TransformerSegLib.errors import SeriesNotFound, SeveralSeries, UnreadableInput
from TransformerSegLib.inference.dicom_header import DamagedFile, is_dicom, number_of_frames, read_header, text_of
from TransformerSegLib.inference.names import clean_name, shown

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DICOM_SUFFIX = ".dcm"
"""A file of that name is a damaged one where it does not begin as DICOM does; others are no slices."""

NOT_TO_SEGMENT = frozenset({"SEG", "RTDOSE", "RTIMAGE"})
"""Modalities that have pixels and a place, and yet are no images of a patient."""


@dataclass(frozen=True, eq=False)
class Series:
    """The images of one DICOM series that were found in a folder.

    Attributes:
        uid: Series Instance UID; the folder where its files name none.
        number, description, modality: as DICOM writes them; empty where it does not.
        files: one or more slices a file, in no order.
        headers: of the files, see ``read_header``.
    """

    uid: str
    number: str
    description: str
    modality: str
    files: tuple[Path, ...]
    headers: tuple[Dataset, ...]

    @property
    def images(self) -> int:
        """How many slices it has."""
        return sum(number_of_frames(header) for header in self.headers)

    def is_called(self, wanted: str) -> bool:
        """Whether a number, a UID or a description is this series'."""
        return clean_name(wanted).casefold() in (self.number, self.uid.casefold(), self.description.casefold())

    def may_hold(self, path: Path, error: DamagedFile) -> bool:
        """Whether a damaged file may be one of this series: by its UID; without one, if it lies beside its files."""
        return error.series == self.uid if error.series else path.parent in {file.parent for file in self.files}


def read_series(folder: Path, wanted: str | None) -> Series:
    """The one series of images in a folder and in the folders in it, or the one that is wanted.

    Localizers, segmentations, dose maps, and what has no pixels or no place in the patient are left out, and so are
    damaged files of other series.

    Args:
        wanted: number, UID or description of the series; None where there is but one.

    Raises:
        UnreadableInput: there is none at all, or a file that may belong to it is damaged.
        SeveralSeries, SeriesNotFound: see ``choose_series``.
    """
    found: dict[str, list[tuple[Path, Dataset]]] = {}
    unusable: list[tuple[Path, DamagedFile]] = []
    for path in _dicom_files(folder):
        try:
            header = read_header(path)
        except DamagedFile as error:
            unusable.append((path, error))
            continue
        if _is_image_of_a_patient(header):
            found.setdefault(text_of(header, "SeriesInstanceUID") or str(path.parent), []).append((path, header))
    if not found and unusable:
        raise unusable[0][1]
    series = choose_series(_sorted_by_number(found), folder, wanted)
    for path, error in unusable:
        if series.may_hold(path, error):
            raise error
    return series


def choose_series(found: Sequence[Series], folder: Path, wanted: str | None) -> Series:
    """The one that is wanted, by its number, UID or description; where none is wanted, the only one.

    Raises:
        UnreadableInput: there is none at all.
        SeveralSeries: more than one is meant.
        SeriesNotFound: none is called so.
    """
    if not found:
        raise UnreadableInput(
            f"“{shown(folder)}” holds no DICOM series of images",
            why="localizers, reports and segmentations are not segmented",
            remedy="Give the folder of the image series, or an image file itself",
        )
    meant = [series for series in found if wanted is None or series.is_called(wanted)]
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise SeriesNotFound(
            f"“{shown(folder)}” has no series “{clean_name(wanted)}”",
            why=f"it has {_listed(found)}",
            remedy="Choose one of these with --series and its number or UID",
        )
    raise SeveralSeries(
        f"“{shown(folder)}” holds {len(meant)} DICOM series, {_listed(meant)}",
        why="only one can be segmented at a time",
        remedy="Choose one with --series and its number or UID",
    )


def _sorted_by_number(found: Mapping[str, Sequence[tuple[Path, Dataset]]]) -> list[Series]:
    series = [_series(uid, images) for uid, images in found.items()]
    return sorted(series, key=lambda one: (len(one.number), one.number, one.uid))


def _series(uid: str, images: Sequence[tuple[Path, Dataset]]) -> Series:
    files, headers = zip(*images, strict=True)
    texts = (text_of(headers[0], tag) for tag in ("SeriesNumber", "SeriesDescription", "Modality"))
    return Series(uid, *texts, files, headers)


def _listed(found: Sequence[Series]) -> str:
    """The series for a person to choose from, with their UIDs where numbers do not tell them apart."""
    numbers = {series.number for series in found} - {""}
    return "; ".join(_described(series, with_uid=len(numbers) < len(found)) for series in found)


def _described(series: Series, *, with_uid: bool) -> str:
    title = f"{series.number} “{series.description}”" if series.description else series.number
    uid = f", {series.uid}" if with_uid else ""
    return f"{title} ({series.modality}, {series.images} images{uid})".lstrip()


def _dicom_files(folder: Path) -> Iterator[Path]:
    """Raises:
    UnreadableInput: a folder in it cannot be listed, which may hold slices of any series.
    """
    for place, folders, files in os.walk(folder, onerror=_refuse_folder):
        folders.sort()
        for file in sorted(files):
            path = Path(place, file)
            if (
                file.upper() != "DICOMDIR"
                and path.is_file()
                and (is_dicom(path) or path.suffix.lower() == DICOM_SUFFIX)
            ):
                yield path


def _refuse_folder(error: OSError) -> NoReturn:
    raise UnreadableInput(
        f"“{shown(Path(error.filename))}” cannot be read",
        why=error.strerror or str(error),
        remedy="Make that folder readable, or move it away if it is of another series",
    ) from error


def _is_image_of_a_patient(header: Dataset) -> bool:
    placed = "ImagePositionPatient" in header or "PerFrameFunctionalGroupsSequence" in header
    localizer = "LOCALIZER" in (header.get("ImageType") or ())
    return "Rows" in header and placed and not localizer and text_of(header, "Modality") not in NOT_TO_SEGMENT
