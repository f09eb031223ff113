"""What a person corrected and signed off, or marked completed, written to a folder of cases that a training reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import slicer

from TransformerSegLib.errors import GridMismatch, OutputRejected, TrainingDataRejected
from TransformerSegLib.export.output import check_folder, written_atomically
from TransformerSegLib.inference.quiet import run_quietly
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.case_list import add_to_list
from TransformerSegLib.scene.labelmaps import labelmap_of, segments_of
from TransformerSegLib.scene.scene_nodes import nodes_of
from TransformerSegLib.scene.sign_off import Review, review_of
from TransformerSegLib.scene.volumes import volume_from_node

VOLUME_SUFFIX, LABEL_SUFFIX = ".nrrd", ".seg.nrrd"

_AFFINE_TOLERANCE_MM = 1e-4
_UNFIT_FOR_FILES = re.compile(r"[^\w-]+")


@dataclass(frozen=True)
class CorrectedCase:
    """A segmentation that was signed off, or of which every segment is marked completed.

    Attributes:
        segmentation: of a signed-off one those segments count that were signed off.
        volume: that it was drawn on.
        review: by which it was signed off; None where it is only completed.
    """

    segmentation: slicer.vtkMRMLSegmentationNode
    volume: slicer.vtkMRMLScalarVolumeNode
    review: Review | None = None


def completed_cases(scene: slicer.vtkMRMLScene) -> list[CorrectedCase]:
    """Of the scene's segmentations those that a person has finished: they are signed off, or all segments have the
    status “completed”.

    Segmentations without segments, without voxels (surfaces only) or whose volume is gone are left out.
    """
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    cases = []
    for node in nodes_of(scene, "vtkMRMLSegmentationNode"):
        volume = node.GetNodeReference(role)
        if volume is None or volume.GetImageData() is None:
            continue
        review = review_of(node)
        if review is not None or is_completed(node):
            cases.append(CorrectedCase(node, volume, review))
    return cases


def is_completed(node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether every segment has voxels to save, be they none, and the status “completed”."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    segments = segments_of(node.GetSegmentation()).values()
    return bool(segments) and all(
        labelmap_of(segment) is not None and logic.GetSegmentStatus(segment) == logic.Completed for segment in segments
    )


def write_cases(cases: Sequence[CorrectedCase], folder: Path) -> None:
    """Write each of them (``write_case``), and a list of all that are in the folder (``add_to_list``).

    Raises:
        TrainingDataRejected: two are of the same volume, and one would take the other's place; nothing is written.
        TransformerSegError: as ``write_case``.
    """
    first_of: dict[str, CorrectedCase] = {}
    for case in cases:
        first = first_of.setdefault(case.volume.GetID(), case)
        if first is not case:
            names = " and ".join(f"“{each.segmentation.GetName()}”" for each in (first, case))
            raise TrainingDataRejected(
                f"{names} are both of “{case.volume.GetName()}”, and completed",
                why="nothing tells which of them is to be learned",
                remedy="Take the status “completed” from the segments of one of them",
            )
    written = {}
    for case in cases:
        labels = write_case(case, folder)
        written[labels] = (_volume_of(labels), case.review)
    add_to_list(folder, written)


def write_case(case: CorrectedCase, folder: Path) -> Path:
    """Write the volume (.nrrd) and its segments beside it (.seg.nrrd, which keeps names and status).

    Each file appears whole, the segments last: a volume alone is no case. A case of the same volume that is there
    already gets the segments as they are now; a volume of the same name with other voxels stays as it is.

    Args:
        case: both nodes under one transform, which is left out of both files.
        folder: of cases; must exist.

    Returns:
        The path of the segments.

    Raises:
        GridMismatch: the two lie under different transforms.
        OutputRejected: the folder cannot be written to.
        EmptyVolume, VectorVoxels: the volume is none that a network could be trained on.
    """
    if case.segmentation.GetTransformNodeID() != case.volume.GetTransformNodeID():
        raise GridMismatch(
            f"“{case.segmentation.GetName()}” and its volume lie under different transforms",
            why="saved without them, they would not lie on each other",
            remedy="Put both under the same transform, in the module Data",
        )
    check_folder(folder)
    volume = volume_from_node(case.volume)
    stem, is_there = _place(folder, volume)
    if not is_there:
        _write(case.volume, slicer.vtkMRMLVolumeArchetypeStorageNode(), folder / f"{stem}{VOLUME_SUFFIX}")
    labels = folder / f"{stem}{LABEL_SUFFIX}"
    _write(_signed_off(case), slicer.vtkMRMLSegmentationStorageNode(), labels)
    return labels


def _volume_of(labels: Path) -> Path:
    return labels.with_name(f"{labels.name[: -len(LABEL_SUFFIX)]}{VOLUME_SUFFIX}")


def _signed_off(case: CorrectedCase) -> slicer.vtkMRMLSegmentationNode:
    """The segmentation, or a copy of it without the segments that were not wanted, and so not looked at."""
    if case.review is None or case.review.whole:
        return case.segmentation
    copy = slicer.vtkMRMLSegmentationNode()
    copy.Copy(case.segmentation)
    for segment_id in segments_of(copy.GetSegmentation()):
        if segment_id not in case.review.segments:
            copy.GetSegmentation().RemoveSegment(segment_id)
    return copy


def _place(folder: Path, volume: Volume) -> tuple[str, bool]:
    """The name of a volume's files without their suffix, and whether the volume is there already."""
    name = _UNFIT_FOR_FILES.sub("_", volume.name).strip("_") or "case"
    stems = (name if number == 1 else f"{name}_{number}" for number in count(1))
    for stem in stems:
        path = folder / f"{stem}{VOLUME_SUFFIX}"
        if not path.exists() or _holds(path, volume):
            break
    return stem, path.exists()


def _holds(path: Path, volume: Volume) -> bool:
    """Whether a file is of these voxels, at their place."""
    storage, node = slicer.vtkMRMLVolumeArchetypeStorageNode(), slicer.vtkMRMLScalarVolumeNode()
    storage.SetFileName(str(path))
    is_read, _ = run_quietly(lambda: storage.ReadData(node))
    if not is_read or node.GetImageData() is None:  # something of another program
        return False
    found = volume_from_node(node)
    return np.array_equal(found.array, volume.array) and np.allclose(
        found.affine, volume.affine, atol=_AFFINE_TOLERANCE_MM
    )


def _write(node: slicer.vtkMRMLStorableNode, storage: slicer.vtkMRMLStorageNode, path: Path) -> None:
    """By Slicer's own writer; the node's own file, if it has one, stays the node's."""
    storage.UseCompressionOn()
    with written_atomically(path) as temporary:
        storage.SetFileName(str(temporary))
        written, _ = run_quietly(lambda: storage.WriteData(node))
        if not written:
            raise OutputRejected(
                f"“{path.name}” could not be written", why="Slicer's writer gave up", remedy="Free some space there"
            )
