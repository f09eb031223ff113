"""The images that a DICOM segmentation refers to: in which order they lie, where, and of whom they are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.errors import OutputRejected, UnreadableInput
from TransformerSegLib.export.dicom_values import valid_or_empty
from TransformerSegLib.inference.dicom import stack_of_frames, stack_of_slices
from TransformerSegLib.inference.dicom_header import is_dicom, number_of_frames, read_header, text_of
from TransformerSegLib.inference.dicom_series import Series, read_series
from TransformerSegLib.inference.names import shown
from TransformerSegLib.inference.slice_stack import Stack

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_OF_PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
)
"""What a segmentation has in common with its images, so that archives put it beside them."""

_NEVER_LEFT_OUT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""May be empty, but are there (type 2 in PS3.3)."""

_OF_IMAGE = (
    "SpecificCharacterSet",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "PositionReferenceIndicator",
    "Rows",
    "Columns",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)

_CLASS_OF_MODALITY = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}

_DIGITS = 10
"""After the decimal point: more than headers have, and fewer than make a zero a number of 1e-17."""

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class SourceImages:
    """The images of one series.

    Attributes:
        headers: of each file, what a segmentation needs of it: of one file with several frames, or of one slice each,
            in the order k = 0, 1, …
        affine: 4×4, index → RAS in mm; i is the column of an image, j its row, k the slice.
        shape: (I, J, K).
        positions: (K, 3) LPS in mm, of the centre of the first pixel of each slice.
        orientation: (6,) direction cosines of rows and columns (Image Orientation).
        missing: names of the identifiers that the files lack, and that were made from those that they have.
    """

    headers: tuple[Dataset, ...]
    affine: np.ndarray
    shape: tuple[int, int, int]
    positions: np.ndarray
    orientation: tuple[float, ...]
    missing: tuple[str, ...] = ()

    @property
    def series_number(self) -> int:
        """0 where there is none."""
        return int(self.headers[0].get("SeriesNumber") or 0)


def source_images(path: Path, wanted: str | None = None) -> SourceImages:
    """Those of a folder, or of an enhanced file, as ``read_volume`` reads it.

    Args:
        wanted: number, UID or description of the series, where the folder holds several.

    Raises:
        OutputRejected: the input is no DICOM, or its images have no identifier to refer to.
        InputRejected: as ``read_volume``.
    """
    if path.is_dir():
        return _of_series(read_series(path, wanted), shown(path))
    if not path.is_file() or not is_dicom(path):
        raise OutputRejected(
            f"“{shown(path)}” is no DICOM image",
            why="a DICOM segmentation refers to the images that it was made from",
            remedy="Give the folder of the DICOM series, or save as .seg.nrrd",
        )
    return source_images_of_files([path], shown(path))


def source_images_of_files(files: Sequence[Path], name: str) -> SourceImages:
    """Those of one series, given file by file, in any order.

    Args:
        name: of the series, for messages.

    Raises:
        OutputRejected: the images have no identifier to refer to.
        InputRejected: a file cannot be read, or they are not the slices of one volume.
    """
    headers = tuple(read_header(file) for file in files)
    texts = (text_of(headers[0], tag) for tag in ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality"))
    return _of_series(Series(*texts, tuple(files), headers), name)


def _of_series(series: Series, name: str) -> SourceImages:
    several = len(series.files) == 1 and number_of_frames(series.headers[0]) > 1
    stack = stack_of_frames(series.files[0], series.headers[0], name) if several else stack_of_slices(series, name)
    order = (0,) if several else stack.order
    full = [_full_header(series.files[index]) for index in order]
    headers, missing = _identified([_needed(header) for header in full], full, name)
    lps = _FLIP @ stack.affine
    positions = lps[:3, 3] + np.arange(len(stack.order))[:, None] * lps[:3, 2]
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    orientation = tuple(float(part) for part in (lps[:3, :2] / spacing[:2]).T.ravel())
    for header, position in zip(headers, positions, strict=False):
        _place_slice(header, position, orientation, spacing)
    if several:
        _place_frames(headers[0], stack, positions, orientation, spacing)
    shape = (int(headers[0].Columns), int(headers[0].Rows), len(stack.order))
    return SourceImages(tuple(headers), stack.affine, shape, positions, orientation, missing)


def _full_header(path: Path) -> Dataset:
    """Beside what ``read_header`` reads, who the patient is."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values, which are looked at one by one
            return dcmread(path, stop_before_pixels=True, force=True)
    except (OSError, InvalidDicomError) as error:
        raise UnreadableInput(
            f"“{shown(path)}” cannot be read", why=str(error), remedy="Check that the file exists, and may be read"
        ) from error


def _needed(full: Dataset) -> Dataset:
    from pydicom.dataset import Dataset

    header = Dataset()
    for keyword in (*_OF_PATIENT_AND_STUDY, *_OF_IMAGE):
        value = valid_or_empty(full, keyword)
        if value is not None or keyword in _NEVER_LEFT_OUT:
            setattr(header, keyword, "" if value is None else value)
    number = valid_or_empty(full, "SeriesNumber")
    header.SeriesNumber = number if number else None
    return header


def _identified(headers: list[Dataset], full: Sequence[Dataset], name: str) -> tuple[list[Dataset], tuple[str, ...]]:
    """With unique identifiers of image, series, study and frame of reference.

    Anonymised files often lack some. Those of the images cannot be made up: nothing would be found by them. Of the
    others each is derived from the images', so that it comes out the same every time.
    """
    from pydicom.uid import generate_uid

    for header, whole in zip(headers, full, strict=True):
        meta = whole.file_meta
        header.SOPInstanceUID = _uid(whole, "SOPInstanceUID") or _uid(meta, "MediaStorageSOPInstanceUID")
        header.SOPClassUID = (
            _uid(whole, "SOPClassUID")
            or _uid(meta, "MediaStorageSOPClassUID")
            or _CLASS_OF_MODALITY.get(str(header.get("Modality")), "")
        )
        if not header.SOPInstanceUID or not header.SOPClassUID:
            raise OutputRejected(
                f"The images of “{name}” have no unique identifier (SOP Instance UID)",
                why="a DICOM segmentation refers to its images by it",
                remedy="Save as .seg.nrrd, or export the series again with its identifiers",
            )
    images = sorted(str(header.SOPInstanceUID) for header in headers)
    missing = []
    for keyword, words in (
        ("StudyInstanceUID", "Study Instance UID"),
        ("SeriesInstanceUID", "Series Instance UID"),
        ("FrameOfReferenceUID", "Frame of Reference UID"),
    ):
        uid = _uid(full[0], keyword)
        if not uid:
            missing.append(words)
        for header in headers:
            setattr(header, keyword, uid or generate_uid(entropy_srcs=[words, *images]))
    return headers, tuple(missing)


def _uid(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").strip()


def _place_slice(header: Dataset, position: np.ndarray, orientation: Sequence[float], spacing: np.ndarray) -> None:
    """Where evenly spaced slices lie: what the files say differs by their rounding."""
    header.ImagePositionPatient = _decimals(position)
    header.ImageOrientationPatient = _decimals(orientation)
    header.PixelSpacing = _decimals(spacing[[1, 0]])
    header.SliceThickness, header.SpacingBetweenSlices = _decimals(spacing[[2, 2]])


def _place_frames(
    header: Dataset, stack: Stack, positions: np.ndarray, orientation: Sequence[float], spacing: np.ndarray
) -> None:
    """Frame by frame, in the order of the file."""
    from pydicom.dataset import Dataset

    header.NumberOfFrames = len(stack.order)
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = _decimals(orientation)
    measures.PixelSpacing = _decimals(spacing[[1, 0]])
    measures.SliceThickness, measures.SpacingBetweenSlices = _decimals(spacing[[2, 2]])
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    frames = [Dataset() for _ in stack.order]
    for frame, position in zip(stack.order, positions, strict=True):
        place = Dataset()
        place.ImagePositionPatient = _decimals(position)
        frames[frame].PlanePositionSequence = [place]
    header.SharedFunctionalGroupsSequence = [shared]
    header.PerFrameFunctionalGroupsSequence = frames


def _decimals(values: Sequence[float] | np.ndarray) -> list[str]:
    """As DICOM's decimal strings, of 16 characters at most."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(round(float(value), _DIGITS) + 0.0) for value in values]  # −0.0 + 0.0 is 0.0
