"""How a segmentation was before its last runs: in memory only, by reference, without copies of voxels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import slicer

from TransformerSegLib.scene.labelmaps import BINARY_LABELMAP, CLOSED_SURFACE, labelmap_of
from TransformerSegLib.scene.lifetime import PerObject
from TransformerSegLib.scene.segment_tags import CLASS_TAG, MAKER_TAG, STATE_TAG, set_tag, tag

if TYPE_CHECKING:
    from TransformerSegLib.inference.proposal import Proposal

MAXIMUM_STEPS = 10


@dataclass(frozen=True, eq=False)
class Before:
    """A segment before a run gave it new voxels.

    Attributes:
        labelmap: which no segment of the node holds any longer, so that nobody draws in it.
        label: of the segment in it.
        name: of the segment.
        color: of the segment.
        status: "in progress", "flagged", …, as Slicer numbers them.
        tags: of those that the run writes: their values, None where there was none.
    """

    labelmap: slicer.vtkOrientedImageData
    label: int
    name: str
    color: tuple[float, float, float]
    status: int
    tags: dict[str, str | None]

    @classmethod
    def of(cls, segment: slicer.vtkSegment, written: Iterable[str]) -> Self:
        """As the segment is now.

        Args:
            written: names of the tags that the run writes beside its own three.
        """
        tags = {name: tag(segment, name) for name in (*written, CLASS_TAG, MAKER_TAG, STATE_TAG)}
        status = slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(segment)
        return cls(labelmap_of(segment), segment.GetLabelValue(), segment.GetName(), segment.GetColor(), status, tags)

    def restore(self, segment: slicer.vtkSegment) -> None:
        """Voxels and tags; name, colour and status stay as they are now."""
        segment.SetLabelValue(self.label)
        segment.AddRepresentation(BINARY_LABELMAP, self.labelmap)
        segment.RemoveRepresentation(CLOSED_SURFACE)
        for name, value in self.tags.items():
            set_tag(segment, name, value)


@dataclass(frozen=True, eq=False)
class Step:
    """One run.

    Attributes:
        run: its number.
        replaced: segment id → how it was.
        added: ids of the segments that it added.
        proposals: that nobody needed after it, by their identifiers.
    """

    run: int
    replaced: dict[str, Before]
    added: tuple[str, ...]
    proposals: dict[str, Proposal]


_steps: PerObject[list[Step]] = PerObject(list)
"""Of a ``vtkSegmentation``: a node that shows a sequence has one for each frame."""


def remember(node: slicer.vtkMRMLSegmentationNode, step: Step) -> None:
    """Keep a step; of more than ``MAXIMUM_STEPS`` the oldest is forgotten."""
    steps = _steps[node.GetSegmentation()]
    steps.append(step)
    del steps[:-MAXIMUM_STEPS]


def last_step(node: slicer.vtkMRMLSegmentationNode) -> Step | None:
    """None where there is nothing to take back."""
    steps = _steps[node.GetSegmentation()]
    return steps[-1] if steps else None


def forget_last_step(node: slicer.vtkMRMLSegmentationNode) -> None:
    """It was taken back."""
    _steps[node.GetSegmentation()].pop()
