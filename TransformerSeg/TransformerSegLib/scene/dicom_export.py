"""A segmentation node as a DICOM segmentation of the images that its volume was loaded from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer

from TransformerSegLib.errors import GridMismatch, OutputRejected
from TransformerSegLib.export.segment_metadata import TAG_PREFIX, SegmentCodes, codes_of
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.scene.changed_voxels import as_proposed
from TransformerSegLib.scene.fingerprint import Fingerprint, fingerprint_of
from TransformerSegLib.scene.labelmaps import Labels, labelmap_of, labels_of, mask_in, segments_of
from TransformerSegLib.scene.lattice import Lattice
from TransformerSegLib.scene.segment_tags import CLASS_TAG, tag
from TransformerSegLib.scene.sign_off import review_to_be_checked
from TransformerSegLib.scene.source_files import source_files
from TransformerSegLib.scene.target import same_place

if TYPE_CHECKING:
    from TransformerSegLib.export.dicom_segment import Algorithm, DicomSegment, HowMade
    from TransformerSegLib.export.dicom_source import SourceImages


def write_dicom_seg_of(
    node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    path: Path,
    segment_ids: Sequence[str] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write segments as they are now: ``dicom_export`` and its ``write`` in one.

    Args:
        overwrite: whether a segmentation that is there already is replaced, as a person has agreed to.
    """
    dicom_export(node, volume_node, segment_ids).write(path, overwrite=overwrite)


@dataclass(frozen=True, eq=False)
class TakenSegment:
    """One segment, apart from the scene.

    Attributes:
        name: for people.
        color: red, green, blue.
        codes: what it is.
        how: it was made.
        algorithm: that made it; None only where a person did.
        labels: a copy of the labelmap that it shares with others.
        label: its own in there.
    """

    name: str
    color: tuple[float, float, float]
    codes: SegmentCodes
    how: HowMade
    algorithm: Algorithm | None
    labels: Labels
    label: int


@dataclass(frozen=True, eq=False)
class ReviewToBeChecked:
    """A review that counts if its segments have the voxels that were signed off.

    Attributes:
        by: who reviewed.
        voxels: of each segment: a copy of its labelmap, its label in there, and what its fingerprint must be.
    """

    by: str
    voxels: tuple[tuple[Labels, int, Fingerprint], ...]

    @property
    def counts(self) -> bool:
        return all(fingerprint_of(mask_in(labels, label)).is_of(then) for labels, label, then in self.voxels)


@dataclass(frozen=True, eq=False)
class DicomExport:
    """What is to be written, apart from the scene.

    Attributes:
        segments: with copies of their voxels.
        files: the images that they refer to.
        volume_name: of the volume that was made of these.
        title: of the segmentation.
        review: None where nobody signed it off.
    """

    segments: tuple[TakenSegment, ...]
    files: tuple[Path, ...]
    volume_name: str
    title: str
    review: ReviewToBeChecked | None

    def write(self, path: Path, *, overwrite: bool = False, cancel: CancelToken | None = None) -> None:
        """See ``write_dicom_seg``; takes seconds, and may be called in another thread.

        Args:
            cancel: asked until the file's content is put together, which takes seconds, and afterwards; what was
                cancelled leaves no file.

        Raises:
            GridMismatch: the segments do not lie on the voxels of the images.
            InputRejected: the images cannot be read any more, or are not the slices of one volume.
            OutputRejected: as ``write_dicom_seg`` says.
            Cancelled: when ``cancel`` was set.
        """
        from TransformerSegLib.export.dicom_seg import write_dicom_seg
        from TransformerSegLib.export.dicom_source import source_images_of_files

        cancel = cancel or CancelToken()
        source = source_images_of_files(self.files, self.volume_name)
        segments = []
        for segment in self.segments:
            cancel.raise_if_cancelled()
            segments.append(_dicom_segment(segment, source))
        reviewer = self.review.by if self.review is not None and self.review.counts else ""
        cancel.raise_if_cancelled()
        write_dicom_seg(
            path,
            segments,
            source,
            self.title,
            reviewer=reviewer,
            overwrite=overwrite,
            before_saving=cancel.raise_if_cancelled,
        )


def dicom_export(
    node: slicer.vtkMRMLSegmentationNode,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    segment_ids: Sequence[str] | None = None,
) -> DicomExport:
    """Take segments out of the scene as they are now; reads no file.

    Args:
        volume_node: that was segmented, loaded from DICOM.
        segment_ids: which; None: all.

    Raises:
        PackagesMissing: highdicom is not installed.
        OutputRejected: the volume did not come from DICOM, or a segment is a surface only.
        GridMismatch: the segments do not lie on the volume.
    """
    from TransformerSegLib.export.dicom_seg import check_highdicom

    check_highdicom()
    if not same_place(node, volume_node):
        raise GridMismatch(
            f"“{node.GetName()}” and “{volume_node.GetName()}” lie under different transforms",
            why="the segments would not lie on the images",
            remedy="Put both under the same transform, in the module Data",
        )
    files = tuple(source_files(volume_node))
    names = list(segments_of(node.GetSegmentation()) if segment_ids is None else segment_ids)
    for name in names:
        _check_voxels(node.GetSegmentation().GetSegment(name))
    review = review_to_be_checked(node)
    copies = _copies(node, {*names, *(review[0].segments if review else ())})
    unchanged = as_proposed(node, names)
    segments = tuple(_taken(node, name, copies[name], name in unchanged) for name in names)
    return DicomExport(segments, files, volume_node.GetName(), node.GetName(), _to_be_checked(node, review, copies))


def how_made(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> HowMade:
    """By the model alone, by the model and a person, or by a person."""
    unchanged = segment_id in as_proposed(node, [segment_id])
    return _how(node.GetSegmentation().GetSegment(segment_id), unchanged)


def _how(segment: slicer.vtkSegment, unchanged: bool) -> HowMade:
    from TransformerSegLib.export.dicom_segment import HowMade

    if tag(segment, CLASS_TAG) is None and _algorithm(segment) is None:
        return HowMade.MANUAL
    # Where nobody knows, a person may have changed it.
    return HowMade.AUTOMATIC if unchanged else HowMade.SEMIAUTOMATIC


def _check_voxels(segment: slicer.vtkSegment) -> None:
    if labelmap_of(segment) is None:
        raise OutputRejected(
            f"“{segment.GetName()}” is a surface only",
            why="a DICOM segmentation holds voxels",
            remedy="In the module Segmentations, create its binary labelmap",
        )


def _copies(node: slicer.vtkMRMLSegmentationNode, segment_ids: Iterable[str]) -> dict[str, Labels]:
    """Segment id → its labelmap, copied once for all that share it; without those that have none."""
    copies: dict[slicer.vtkOrientedImageData, Labels] = {}
    result = {}
    for name in segment_ids:
        labelmap = labelmap_of(node.GetSegmentation().GetSegment(name))
        if labelmap is None:
            continue
        if labelmap not in copies:
            labels = labels_of(labelmap)
            copies[labelmap] = replace(labels, array=labels.array.copy(order="K"))
        result[name] = copies[labelmap]
    return result


def _taken(node: slicer.vtkMRMLSegmentationNode, segment_id: str, labels: Labels, unchanged: bool) -> TakenSegment:
    from TransformerSegLib.export.dicom_segment import HowMade

    segment = node.GetSegmentation().GetSegment(segment_id)
    how = _how(segment, unchanged)
    return TakenSegment(
        segment.GetName() or segment_id,
        tuple(min(1.0, max(0.0, part)) for part in segment.GetColor()),
        codes_of(segment.GetTerminology() or ""),
        how,
        None if how is HowMade.MANUAL else _algorithm(segment) or _unknown_algorithm(),
        labels,
        segment.GetLabelValue(),
    )


def _to_be_checked(
    node: slicer.vtkMRMLSegmentationNode,
    noted: tuple[object, dict[str, Fingerprint]] | None,
    copies: dict[str, Labels],
) -> ReviewToBeChecked | None:
    if noted is None or not noted[1].keys() <= copies.keys():
        return None
    review, prints = noted
    label_of = {name: node.GetSegmentation().GetSegment(name).GetLabelValue() for name in prints}
    return ReviewToBeChecked(
        review.by, tuple((copies[name], label_of[name], fingerprint) for name, fingerprint in prints.items())
    )


def _dicom_segment(segment: TakenSegment, source: SourceImages) -> DicomSegment:
    from TransformerSegLib.export.dicom_segment import DicomSegment

    mask = mask_in(segment.labels, segment.label)
    placed, start = mask.array, (0, 0, 0)
    if mask.array.size:
        lattice = Lattice.between(mask.affine, source.affine, np.add(np.abs(mask.start), mask.array.shape))
        if lattice is None:
            raise GridMismatch(
                f"“{segment.name}” does not lie on the voxels of the images",
                why="it would have to be resampled, which changes what was drawn",
                remedy="Save as .seg.nrrd, or give the segmentation the volume's geometry in the Segment Editor",
            )
        placed, start = lattice.placed(mask.array, mask.start)
    codes = segment.codes
    return DicomSegment(
        segment.name,
        segment.color,
        codes.category,
        codes.type,
        codes.modifier,
        codes.region,
        segment.how,
        segment.algorithm,
        np.ascontiguousarray(placed),
        start,
    )


def _algorithm(segment: slicer.vtkSegment) -> Algorithm | None:
    """That of the run whose tags the segment has; None where it has none."""
    from TransformerSegLib.export.dicom_segment import algorithm_of

    provenance = {key: tag(segment, TAG_PREFIX + key) for key in ("model", "version", "weights_sha256")}
    return algorithm_of(provenance) if provenance["model"] is not None else None


def _unknown_algorithm() -> Algorithm:
    from TransformerSegLib.export.dicom_segment import algorithm_of

    return algorithm_of({})
