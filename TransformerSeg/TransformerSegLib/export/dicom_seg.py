"""A segmentation as DICOM keeps it (Segmentation Storage, PS3.3 A.51), by highdicom."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib import __version__
from TransformerSegLib.errors import GridMismatch, OutputRejected, PackagesMissing
from TransformerSegLib.export.dicom_segment import Algorithm, DicomSegment
from TransformerSegLib.export.dicom_source import SourceImages
from TransformerSegLib.export.dicom_values import SHORT_STRING, long_text
from TransformerSegLib.export.output import check_output, written_atomically

if TYPE_CHECKING:
    import highdicom
    from highdicom.seg import SegmentDescription

    from TransformerSegLib.bundles.card import Code

MAKER = "TransformerSeg"

SERIES_NUMBER_OFFSET = 1000
"""Added to the number of the images' series: derived series come after those of the scanner."""

_CONTENT_LABEL = "SEGMENTATION"
_NO_SERIAL_NUMBER = "none"
_UTF8 = "ISO_IR 192"


def check_highdicom() -> None:
    """
    Raises:
        PackagesMissing: highdicom, which writes DICOM segmentations, is not installed.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise PackagesMissing(
            "The package highdicom is not installed",
            why="DICOM segmentations are written by it",
            remedy="Install TransformerSeg with the extra “dicom”, or save as .seg.nrrd",
        )


def write_dicom_seg(
    path: Path,
    segments: Sequence[DicomSegment],
    source: SourceImages,
    title: str,
    *,
    reviewer: str = "",
    overwrite: bool = False,
    before_saving: Callable[[], None] = lambda: None,
) -> None:
    """Write segments, which may overlap, as one DICOM file; all of it or nothing.

    Empty segments are left out, since programs stumble over a segment without a frame; where all are empty, all are
    there, each with one empty frame.

    Args:
        path: ends in .dcm.
        segments: on the grid of the source images.
        title: of the segmentation, for people (Series Description).
        reviewer: who signed it off (Content Creator's Name); "" where nobody did, or would not be named.
        before_saving: called when all is put together; nothing is written where it raises.

    Raises:
        OutputRejected: as ``check_output`` says; there is no segment; the file could not be written, or what the
            images say of themselves contradicts DICOM.
        GridMismatch: a segment reaches beyond the images.
        PackagesMissing: highdicom is not installed.
    """
    check_highdicom()
    check_output(path, overwrite)
    if not segments:
        raise OutputRejected(
            "There is no segment to be exported",
            why="a DICOM segmentation has one at least",
            remedy="Choose a segment",
        )
    for segment in segments:
        _check_inside(segment, source)
    segments = [segment for segment in segments if segment.mask.any()] or list(segments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that were the images', and are looked at already
            content = _content(segments, source, title, reviewer)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # highdicom's ways to refuse
        raise OutputRejected(
            f"“{path.name}” cannot be written",
            why=f"highdicom refuses what the source images say of themselves ({error})",
            remedy="Save as .seg.nrrd",
        ) from error
    before_saving()
    with written_atomically(path) as temporary:
        content.save_as(temporary)


def _check_inside(segment: DicomSegment, source: SourceImages) -> None:
    stops = [extent.stop for extent in segment.box]
    if segment.mask.any() and (min(segment.start) < 0 or (np.array(stops) > source.shape).any()):
        raise GridMismatch(
            f"“{segment.name}” reaches beyond the images",
            why="a DICOM segmentation has a frame for each of them, and no others",
            remedy="Erase what is outside, or save as .seg.nrrd",
        )


def _content(
    segments: Sequence[DicomSegment], source: SourceImages, title: str, reviewer: str
) -> highdicom.seg.Segmentation:
    import highdicom
    from highdicom.seg import Segmentation, SegmentationTypeValues
    from pydicom.uid import ExplicitVRLittleEndian

    planes = _planes(segments)
    positions = [
        highdicom.PlanePositionSequence("PATIENT", _six_digits(position)) for position in source.positions[planes]
    ]
    now = datetime.now()
    return Segmentation(
        source_images=source.headers,
        pixel_array=_pixels(segments, source, planes),
        plane_positions=positions,
        segmentation_type=SegmentationTypeValues.BINARY,
        omit_empty_frames=any(segment.mask.any() for segment in segments),
        segment_descriptions=[_description(number, each) for number, each in enumerate(segments, start=1)],
        series_instance_uid=highdicom.UID(),
        series_number=source.series_number + SERIES_NUMBER_OFFSET,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=__version__,
        device_serial_number=_NO_SERIAL_NUMBER,
        content_label=_CONTENT_LABEL,
        content_description=long_text(title) or None,
        content_creator_name=_person_name(reviewer),
        series_description=long_text(title, MAKER),
        series_date=now.date(),
        series_time=now.time(),
        content_date=now.date(),
        content_time=now.time(),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=_UTF8,
    )


def _planes(segments: Sequence[DicomSegment]) -> slice:
    """From the first slice that holds something to the last; one where none does."""
    extents = [segment.box[2] for segment in segments if segment.mask.any()]
    if not extents:
        return slice(0, 1)
    return slice(min(extent.start for extent in extents), max(extent.stop for extent in extents))


def _pixels(segments: Sequence[DicomSegment], source: SourceImages, planes: slice) -> np.ndarray:
    """Numbers of segments, (K, J, I), where no two overlap; else (K, J, I, segment), 0 and 1."""
    columns, rows, _ = source.shape
    shape = (planes.stop - planes.start, rows, columns)
    labels = np.zeros(shape, np.min_scalar_type(len(segments)))
    for number, segment in enumerate(segments, start=1):
        here, mask = labels[_window(segment, planes)], segment.mask.T
        if here[mask].any():
            return _stacked(segments, shape, planes)
        here[mask] = number
    return labels


def _stacked(segments: Sequence[DicomSegment], shape: tuple[int, ...], planes: slice) -> np.ndarray:
    stacked = np.zeros((len(segments), *shape), np.uint8)
    for array, segment in zip(stacked, segments, strict=True):
        array[_window(segment, planes)][segment.mask.T] = 1
    return np.moveaxis(stacked, 0, -1)


def _window(segment: DicomSegment, planes: slice) -> tuple[slice, slice, slice]:
    """Where a segment lies in arrays (K, J, I) that begin at the first of the planes."""
    if not segment.mask.any():
        return (slice(0, 0),) * 3
    i, j, k = segment.box
    return slice(k.start - planes.start, k.stop - planes.start), j, i


def _description(number: int, segment: DicomSegment) -> SegmentDescription:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept

    description = SegmentDescription(
        segment_number=number,
        segment_label=long_text(segment.name, f"Segment {number}"),
        segmented_property_category=_concept(segment.category) or CodedConcept(*_TISSUE),
        segmented_property_type=_concept(segment.type) or CodedConcept(*_TISSUE),
        algorithm_type=segment.how.value,
        algorithm_identification=_identification(segment.algorithm) if segment.algorithm else None,
        anatomic_regions=[_concept(segment.region)] if segment.region else None,
        display_color=CIELabColor.from_rgb(*(255 * part for part in segment.color)),
    )
    if segment.modifier is not None:
        found = description.SegmentedPropertyTypeCodeSequence[0]
        found.SegmentedPropertyTypeModifierCodeSequence = [_concept(segment.modifier)]
    return description


_TISSUE = ("85756007", "SCT", "Tissue")
"""What Slicer, too, calls a segment of which nothing is said."""


def _concept(code: Code | None) -> highdicom.sr.CodedConcept | None:
    from highdicom.sr import CodedConcept

    if code is None or not code.value or not code.scheme:
        return None
    return CodedConcept(code.value, code.scheme[:SHORT_STRING], long_text(code.meaning, code.value))


def _identification(algorithm: Algorithm) -> highdicom.AlgorithmIdentificationSequence:
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    return AlgorithmIdentificationSequence(
        name=long_text(algorithm.name, "unknown"),
        family=codes.cid7162.ArtificialIntelligence,
        version=long_text(algorithm.version, "unknown"),
        source=MAKER,
        parameters={name: value.replace("\\", "/") for name, value in algorithm.parameters} or None,
    )


def _person_name(name: str) -> str | None:
    """As DICOM writes names: the family name, ^, the given names; "Ada Lovelace" → "Lovelace^Ada"."""
    words = long_text(name).replace("^", " ").replace("=", " ").split()
    if not words:
        return None
    return f"{words[-1]}^{' '.join(words[:-1])}"


def _six_digits(position: np.ndarray) -> list[float]:
    return [round(float(part), 6) for part in position]
