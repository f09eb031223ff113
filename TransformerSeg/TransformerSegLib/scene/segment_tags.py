"""What this project writes on a segment itself, so that it stays with the segment wherever that is copied or saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import slicer
from vtkmodules.vtkCommonCore import reference

from TransformerSegLib.export.segment_metadata import TAG_PREFIX

CLASS_TAG = f"{TAG_PREFIX}class"
"""Name of the model's class, by which a run finds the segment that it replaces."""

STATE_TAG = f"{TAG_PREFIX}state"
"""Where the last model-made state is kept (``State``)."""

MAKER_TAG = f"{TAG_PREFIX}made_by"


@dataclass(frozen=True)
class State:
    """The last model-made state of a segment: which label of which layer of which stored proposal.

    Attributes:
        proposal: the identifier of the stored proposal.
        layer: of the proposal.
        label: in that layer.
        segment_id: of the segment that was made: a copy that a person makes of it has the tag, but another id.
    """

    proposal: str
    layer: int
    label: int
    segment_id: str

    def as_tag(self) -> str:
        return f"{self.proposal} {self.layer} {self.label} {self.segment_id}"

    @classmethod
    def of(cls, segment: slicer.vtkSegment, segment_id: str) -> Self | None:
        """None where a person made the segment, or copied it from one that a model made."""
        parts = (tag(segment, STATE_TAG) or "").split(" ", 3)
        if len(parts) != 4 or parts[3] != segment_id or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), segment_id)


def tag(segment: slicer.vtkSegment, name: str) -> str | None:
    """The value of a segment's tag; None where it has no such tag."""
    value = reference("")
    return str(value) if segment.GetTag(name, value) else None


def set_tag(segment: slicer.vtkSegment, name: str, value: str | None) -> None:
    """None takes the tag away."""
    if value is not None:
        segment.SetTag(name, value)
    elif segment.HasTag(name):
        segment.RemoveTag(name)
