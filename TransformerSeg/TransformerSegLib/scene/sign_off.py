"""Which segments a person is through with, and that a segmentation was reviewed: by whom, when, with which changes.

Statuses are Slicer's own. A review is kept with each segment, in a tag that ``.seg.nrrd`` files hold, and summed up in
attributes of the node; it counts only as long as every segment of it is completed and has the voxels that it had.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import slicer
from slicer.util import NodeModify

from TransformerSegLib.errors import ReviewIncomplete
from TransformerSegLib.export.segment_metadata import REVIEW_TAG, TAG_PREFIX
from TransformerSegLib.scene.changed_voxels import all_changed_voxels
from TransformerSegLib.scene.fingerprint import Fingerprint, fingerprint
from TransformerSegLib.scene.labelmaps import segments_of
from TransformerSegLib.scene.segment_tags import set_tag, tag

REVIEWED_BY_ATTRIBUTE = f"{TAG_PREFIX}reviewed_by"
REVIEWED_AT_ATTRIBUTE = f"{TAG_PREFIX}reviewed_at"
CHANGED_BY_CLICKS_ATTRIBUTE = f"{TAG_PREFIX}changed_by_clicks"
CHANGED_BY_HAND_ATTRIBUTE = f"{TAG_PREFIX}changed_by_hand"
_ATTRIBUTES = (
    REVIEWED_BY_ATTRIBUTE,
    REVIEWED_AT_ATTRIBUTE,
    CHANGED_BY_CLICKS_ATTRIBUTE,
    CHANGED_BY_HAND_ATTRIBUTE,
)
"""Of the node: the review summed up."""

_MOST_NAMED = 5

_LOGIC = slicer.vtkSlicerSegmentationsModuleLogic


class Status(Enum):
    """A segment's status, as Slicer numbers it."""

    NOT_STARTED = _LOGIC.NotStarted
    IN_PROGRESS = _LOGIC.InProgress
    COMPLETED = _LOGIC.Completed
    FLAGGED = _LOGIC.Flagged


@dataclass(frozen=True)
class ReviewedSegment:
    """One segment of a review.

    Attributes:
        name: as it was called then.
        voxels: how many it had.
        by_clicks, by_hand: how many differed from what the model proposed; None where nobody knew.
    """

    name: str
    voxels: int
    by_clicks: int | None
    by_hand: int | None


@dataclass(frozen=True)
class Review:
    """That a person looked at a segmentation, and found it right.

    Attributes:
        by: who; "" where the person would not be named.
        time: ISO 8601, with the zone.
        segments: segment id → what was signed off.
        whole: whether that were all segments; else further ones were not wanted.
    """

    by: str
    time: str
    segments: dict[str, ReviewedSegment]
    whole: bool = True

    @property
    def by_clicks(self) -> int | None:
        """Voxels that clicks changed, of all segments; None where nobody knew of one of them."""
        return _total(segment.by_clicks for segment in self.segments.values())

    @property
    def by_hand(self) -> int | None:
        """Likewise, by hand."""
        return _total(segment.by_hand for segment in self.segments.values())


def status_of(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> Status:
    """The status of a segment; one that is not Slicer's own counts as in progress.

    Raises:
        KeyError: the node has no such segment.
    """
    number = _LOGIC.GetSegmentStatus(_segment(node, segment_id))
    return Status(number) if number in {status.value for status in Status} else Status.IN_PROGRESS


def set_status(node: slicer.vtkMRMLSegmentationNode, segment_id: str, status: Status) -> None:
    """Set the status of a segment; a review of which it was part is gone where it is no longer completed.

    Raises:
        KeyError: the node has no such segment.
    """
    _LOGIC.SetSegmentStatus(_segment(node, segment_id), status.value)
    refresh_review(node, [segment_id])


def missing_for_review(node: slicer.vtkMRMLSegmentationNode, wanted: Collection[str] | None = None) -> list[str]:
    """Ids of the segments that are wanted and not completed, in the order in which they are shown.

    Args:
        wanted: ids; None: all segments.
    """
    return [name for name in _wanted(node, wanted) if status_of(node, name) is not Status.COMPLETED]


def sign_off(node: slicer.vtkMRMLSegmentationNode, by: str = "", wanted: Collection[str] | None = None) -> Review:
    """Note that the segmentation is reviewed, now.

    Args:
        by: who reviewed it; "" where the person would not be named.
        wanted: ids of the segments that are; None: all of them.

    Raises:
        ReviewIncomplete: one that is wanted is not completed or has no voxels of its own, or there is none.
        KeyError: the node has no such segment.
    """
    names = _wanted(node, wanted)
    missing = missing_for_review(node, wanted)
    if missing or not names:
        raise _incomplete(node, missing)
    prints = {name: fingerprint(_segment(node, name)) for name in names}
    surfaces = [name for name, found in prints.items() if found is None]
    if surfaces:
        raise ReviewIncomplete(
            f"“{_segment(node, surfaces[0]).GetName()}” is a surface only",
            why="what is signed off are voxels",
            remedy="In the module Segmentations, create its binary labelmap",
        )
    time = datetime.now().astimezone().isoformat(timespec="seconds")
    whole = len(names) == node.GetSegmentation().GetNumberOfSegments()
    changes = all_changed_voxels(node, names)
    with NodeModify(node):
        _forget(node)
        for name in names:
            segment = _segment(node, name)
            reviewed = ReviewedSegment(
                segment.GetName(), prints[name].voxels, changes[name].by_clicks, changes[name].by_hand
            )
            segment.SetTag(REVIEW_TAG, _tag_text(by, time, whole, reviewed, prints[name]))
        review = review_of(node)
        _sum_up(node, review)
    return review


def review_of(node: slicer.vtkMRMLSegmentationNode) -> Review | None:
    """The review, if it still counts: looks at all voxels of its segments."""
    kept = _kept(node)
    if kept is None:
        return None
    review, prints = kept
    return review if all(_still_counts(node, name, prints[name]) for name in review.segments) else None


def review_to_be_checked(node: slicer.vtkMRMLSegmentationNode) -> tuple[Review, dict[str, Fingerprint]] | None:
    """The review, and the fingerprints that its segments must have for it to count; None where there is none, or one
    of them is no longer completed."""
    kept = _kept(node)
    completed = kept is not None and all(status_of(node, name) is Status.COMPLETED for name in kept[0].segments)
    return kept if completed else None


def refresh_review(node: slicer.vtkMRMLSegmentationNode, changed: Iterable[str] | None = None) -> Review | None:
    """Drop the review if it no longer counts. To be called when segments changed; quick where there is no review.

    Args:
        changed: ids of the segments that may be others than before; None: all of them.

    Returns:
        The review, if there still is one.
    """
    kept = _kept(node)
    if kept is not None:
        review, prints = kept
        looked_at = review.segments if changed is None else set(changed) & review.segments.keys()
        if all(_still_counts(node, name, prints[name]) for name in looked_at):
            if node.GetAttribute(REVIEWED_AT_ATTRIBUTE) != review.time:  # of a file: the node knows nothing of it yet
                _sum_up(node, review)
            return review
    take_back(node)
    return None


def take_back(node: slicer.vtkMRMLSegmentationNode) -> None:
    """Forget the review; the segments' statuses stay."""
    noted = any(node.GetAttribute(name) is not None for name in _ATTRIBUTES)
    if noted or any(segment.HasTag(REVIEW_TAG) for segment in segments_of(node.GetSegmentation()).values()):
        with NodeModify(node):
            _forget(node)


def _wanted(node: slicer.vtkMRMLSegmentationNode, wanted: Collection[str] | None) -> list[str]:
    there = segments_of(node.GetSegmentation())
    if wanted is None:
        return list(there)
    for name in wanted:
        _segment(node, name)
    return [name for name in there if name in wanted]


def _segment(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> slicer.vtkSegment:
    segment = node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise KeyError(segment_id)
    return segment


def _still_counts(node: slicer.vtkMRMLSegmentationNode, segment_id: str, then: Fingerprint) -> bool:
    if status_of(node, segment_id) is not Status.COMPLETED:
        return False
    now = fingerprint(_segment(node, segment_id))
    return now is not None and now.is_of(then)


def _tag_text(by: str, time: str, whole: bool, reviewed: ReviewedSegment, found: Fingerprint) -> str:
    content = {
        "by": " ".join(by.split()),
        "time": time,
        "whole": whole,
        "name": reviewed.name,
        "by_clicks": reviewed.by_clicks,
        "by_hand": reviewed.by_hand,
        "voxels": found.to_json(),
    }
    # Slicer separates tags by | without a way to escape it.
    return json.dumps(content, ensure_ascii=True).replace("|", "\\u007c")


def _kept(node: slicer.vtkMRMLSegmentationNode) -> tuple[Review, dict[str, Fingerprint]] | None:
    """What the segments' tags say, whether it still counts or not; None where they do not say one and the same."""
    segments, prints, signatures = {}, {}, set()
    there = segments_of(node.GetSegmentation())
    for segment_id, segment in there.items():
        text = tag(segment, REVIEW_TAG)
        if text is None:
            continue
        try:
            content = json.loads(text)
            prints[segment_id] = Fingerprint.from_json(content["voxels"])
            segments[segment_id] = ReviewedSegment(
                str(content["name"]), prints[segment_id].voxels, content["by_clicks"], content["by_hand"]
            )
            signatures.add((str(content["by"]), str(content["time"]), bool(content["whole"])))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
    if len(signatures) != 1:
        return None
    ((by, time, whole),) = signatures
    if whole and len(segments) < len(there):
        return None
    return Review(by, time, segments, whole), prints


def _sum_up(node: slicer.vtkMRMLSegmentationNode, review: Review) -> None:
    values = (review.by, review.time, review.by_clicks, review.by_hand)
    for name, value in zip(_ATTRIBUTES, values, strict=True):
        node.SetAttribute(name, "unknown" if value is None else str(value))


def _forget(node: slicer.vtkMRMLSegmentationNode) -> None:
    for segment in segments_of(node.GetSegmentation()).values():
        set_tag(segment, REVIEW_TAG, None)
    for name in _ATTRIBUTES:
        node.RemoveAttribute(name)


def _total(numbers: Iterable[int | None]) -> int | None:
    total = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total


def _incomplete(node: slicer.vtkMRMLSegmentationNode, missing: list[str]) -> ReviewIncomplete:
    if not missing:
        return ReviewIncomplete(
            f"“{node.GetName()}” has no segment to be signed off",
            why="there is nothing that was looked at",
            remedy="Segment a volume first",
        )
    names = ", ".join(f"“{_segment(node, name).GetName()}”" for name in missing[:_MOST_NAMED])
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return ReviewIncomplete(
        f"{names}{more} {'is' if len(missing) == 1 else 'are'} not completed",
        why="a segmentation is reviewed once every segment that is wanted is completed",
        remedy="Look at them, and set their status to “completed”",
    )
