"""A run's result put into a segmentation, beside what a person made of earlier ones.

Nothing that a person drew is changed or removed: a segment that nobody touched is replaced in its place; one that a
person made, changed or declared completed stays, and the new proposal is added beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import slicer
from slicer.util import NodeModify

from TransformerSegLib.export.segment_metadata import provenance_tags, segment_id
from TransformerSegLib.scene.history import Before, Step, remember
from TransformerSegLib.scene.labelmaps import (
    BINARY_LABELMAP,
    CLOSED_SURFACE,
    drop_strays,
    segments_of,
)
from TransformerSegLib.scene.made import Maker, note_as_made, protected_segments, refresh_makers
from TransformerSegLib.scene.outside import fits_grid, with_outside
from TransformerSegLib.scene.run_records import add_record, next_run_number
from TransformerSegLib.scene.segment_tags import CLASS_TAG, MAKER_TAG, STATE_TAG, State, set_tag, tag
from TransformerSegLib.scene.segmentations import (
    add_empty_segmentation_node,
    check_grid,
    new_segment,
    place_on_volume,
    segment_labelmaps,
)
from TransformerSegLib.scene.stored_proposals import discard_unused_proposals, store_proposal
from TransformerSegLib.scene.target import check_target, reference_grid

if TYPE_CHECKING:
    from TransformerSegLib.inference.proposal import Proposal
    from TransformerSegLib.inference.region import Region
    from TransformerSegLib.inference.segmentation import Segment, Segmentation


@dataclass(frozen=True)
class RunOutcome:
    """What a run did to a segmentation.

    Attributes:
        node: the segmentation.
        run_number: counted from 1, within this segmentation.
        replaced: ids of the segments that took new voxels.
        added: ids of new segments.
        kept: ids of the segments of the run's classes that stayed as they were, since a person made, changed or
            completed them.
    """

    node: slicer.vtkMRMLSegmentationNode
    run_number: int
    replaced: tuple[str, ...]
    added: tuple[str, ...]
    kept: tuple[str, ...]


def put_run(
    scene: slicer.vtkMRMLScene,
    segmentation: Segmentation,
    proposal: Proposal,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    target: slicer.vtkMRMLSegmentationNode | None,
    region: Region | None = None,
) -> RunOutcome:
    """Put a result into the scene. ``undo_run`` takes it back.

    Segments are matched by the names of the model's classes. Those of classes that the run does not have stay as they
    are.

    Args:
        scene: the scene that holds the volume.
        segmentation: on the grid of ``volume_node``.
        proposal: of the same segmentation; made where there is time for it, outside of the main thread.
        volume_node: the (first) input.
        target: the segmentation into which it goes; None: a new one.
        region: to which the run was confined, in the volume node's RAS: outside of it, segments that nobody touched
            stay as they were.

    Raises:
        GridMismatch: the volume's grid is no longer that of the segmentation, or the target lies elsewhere.
        OutputRejected: the target's segments are kept as surfaces.
    """
    check_grid(segmentation, volume_node)
    plan = _Plan()
    if target is not None:
        check_target(target, volume_node)
        plan = _plan(target, segmentation, None if region is None else volume_node)
    if region is not None and plan.replaced:
        segmentation, proposal = with_outside(segmentation, proposal, target.GetSegmentation(), plan.replaced, region)
    labelmaps = segment_labelmaps(segmentation)
    node = target or add_empty_segmentation_node(scene, segmentation.name, volume_node)
    with NodeModify(node):
        if not node.GetSegmentation().GetNumberOfSegments():
            place_on_volume(node, volume_node)
        elif reference_grid(node) is None:
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
        run = _Run(node, segmentation, proposal)
        run.put(plan, labelmaps)
    return RunOutcome(node, run.number, tuple(plan.replaced.values()), tuple(run.added), tuple(plan.kept))


@dataclass
class _Plan:
    """What becomes of each class of a run.

    Attributes:
        replaced: class name → id of the segment that nobody touched.
        beside: class name → id of the last segment of that class that stays.
        kept: ids of all that stay.
    """

    replaced: dict[str, str] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def _plan(
    node: slicer.vtkMRMLSegmentationNode,
    segmentation: Segmentation,
    within: slicer.vtkMRMLScalarVolumeNode | None,
) -> _Plan:
    names = {segment.definition.name for segment in segmentation.segments}
    there = {name: tag(segment, CLASS_TAG) for name, segment in segments_of(node.GetSegmentation()).items()}
    there = {name: class_name for name, class_name in there.items() if class_name in names}
    protected = protected_segments(node, there)
    plan = _Plan()
    for name, class_name in there.items():
        fits = within is None or fits_grid(node.GetSegmentation().GetSegment(name), within)
        if name in protected or not fits:
            plan.beside[class_name] = name
            plan.kept.append(name)
        else:
            plan.replaced.setdefault(class_name, name)
    return plan


class _Run:
    """One run, on its way into a segmentation."""

    def __init__(self, node: slicer.vtkMRMLSegmentationNode, segmentation: Segmentation, proposal: Proposal) -> None:
        self.number = next_run_number(node)
        self.added: list[str] = []
        self._node = node
        self._target: slicer.vtkSegmentation = node.GetSegmentation()
        self._source = segmentation
        self._proposal = store_proposal(node, proposal)
        self._tags = provenance_tags(segmentation.provenance)

    def put(self, plan: _Plan, labelmaps: Sequence[slicer.vtkOrientedImageData]) -> None:
        before = {name: Before.of(self._target.GetSegment(name), self._tags) for name in plan.replaced.values()}
        # New ones first: Slicer makes surfaces of them where, and only where, the first segment has one.
        for segment, labelmap in zip(self._source.segments, labelmaps, strict=True):
            if segment.definition.name not in plan.replaced:
                self._add(segment, labelmap, plan)
        for segment, labelmap in zip(self._source.segments, labelmaps, strict=True):
            if segment.definition.name in plan.replaced:
                self._replace(segment, labelmap, plan.replaced[segment.definition.name])
        drop_strays(self._target, (was.labelmap for was in before.values()))
        finish_segments(self._node, before)
        if plan.kept:
            refresh_makers(self._node, plan.kept)
        note_as_made(self._node, (*before, *self.added))
        add_record(self._node, self.number, self._source)
        discarded = discard_unused_proposals(self._node.GetScene())
        remember(self._node, Step(self.number, before, tuple(self.added), discarded))

    def _add(self, segment: Segment, labelmap: slicer.vtkOrientedImageData, plan: _Plan) -> None:
        definition = segment.definition
        made = new_segment(segment, labelmap, self._tags)
        beside = plan.beside.get(definition.name)
        names = {there.GetName() for there in segments_of(self._target).values()}
        if beside is not None or definition.name in names:
            made.SetName(unused(names, f"{definition.name} (run {self.number})"))
        ids = self._target.GetSegmentIDs()
        name = segment_id(definition)
        if name in ids:
            name = unused(ids, f"{name}_run{self.number}")
        self._mark(made, segment, name)
        following = ids[ids.index(beside) + 1 :][:1] if beside is not None else ()
        self._target.AddSegment(made, name, *following)
        self.added.append(name)

    def _replace(self, segment: Segment, labelmap: slicer.vtkOrientedImageData, name: str) -> None:
        """The voxels alone: name, colour and visibility are as a person may have set them."""
        there = self._target.GetSegment(name)
        there.SetLabelValue(segment.definition.label)
        there.AddRepresentation(BINARY_LABELMAP, labelmap)
        there.RemoveRepresentation(CLOSED_SURFACE)
        if re.fullmatch(rf"{re.escape(segment.definition.name)} \(run \d+\)", there.GetName()):
            there.SetName(f"{segment.definition.name} (run {self.number})")
        for key, value in self._tags.items():
            set_tag(there, key, value)
        self._mark(there, segment, name)

    def _mark(self, made: slicer.vtkSegment, segment: Segment, name: str) -> None:
        made.SetTag(CLASS_TAG, segment.definition.name)
        made.SetTag(MAKER_TAG, Maker.MODEL.value)
        made.SetTag(STATE_TAG, State(self._proposal, segment.layer, segment.definition.label, name).as_tag())


def finish_segments(node: slicer.vtkMRMLSegmentationNode, changed: Iterable[str]) -> None:
    """Make the surfaces that are missing where others are shown, and tell the views of new voxels."""
    segmentation = node.GetSegmentation()
    if any(segment.GetRepresentation(CLOSED_SURFACE) for segment in segments_of(segmentation).values()):
        segmentation.CreateRepresentation(CLOSED_SURFACE)
    if any(True for _ in changed):
        segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)


def unused(taken: Iterable[str], wanted: str) -> str:
    """The name that is wanted, or with a number where it is taken."""
    taken, name, number = set(taken), wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted} {number}"
    return name


__all__ = ["RunOutcome", "check_target", "put_run"]
