"""Where a run's result should be looked at, and how well each class was probably found: kept with the segmentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer

from TransformerSegLib.export.segment_metadata import TAG_PREFIX
from TransformerSegLib.scene.labelmaps import segments_of
from TransformerSegLib.scene.segment_tags import CLASS_TAG, State, tag

if TYPE_CHECKING:
    from TransformerSegLib.interaction.doubt import Doubt

DOUBT_ATTRIBUTE = f"{TAG_PREFIX}doubt"

_MOST_RUNS = 12
"""A few more than can be taken back."""


@dataclass(frozen=True)
class Place:
    """A doubtful place.

    Attributes:
        middle: in mm, in the frame of the segmentation node.
        wrong_ml: the volume in it that is probably wrong, in ml.
    """

    middle: tuple[float, float, float]
    wrong_ml: float


@dataclass(frozen=True)
class DoubtRecord:
    """What is known of the runs whose segments are in a segmentation.

    Attributes:
        places: of its last run, the worst first.
        dice: segment id → the Dice to expect of what the model proposed.
        temperature: of that run's model.
        proposal: the identifier of that run's proposal.
    """

    places: tuple[Place, ...]
    dice: Mapping[str, float]
    temperature: float
    proposal: str


def store_doubt(node: slicer.vtkMRMLSegmentationNode, segment_ids: tuple[str, ...], doubt: Doubt) -> None:
    """Note what is known of a run.

    Args:
        segment_ids: of the segments that it made.
    """
    from TransformerSegLib.scene.stored_proposals import stored_proposal

    states = [State.of(node.GetSegmentation().GetSegment(name), name) for name in segment_ids]
    state = next((state for state in states if state), None)
    proposal = stored_proposal(node, state.proposal) if state else None
    if proposal is None:
        return
    places = [
        [*(proposal.affine @ (*place.centre, 1.0))[:3].round(3).tolist(), float(np.round(place.wrong_ml, 5))]
        for place in doubt.places
    ]
    dice = {name: float(np.round(value, 4)) for name, value in doubt.dice.items()}
    records = {key: kept for key, kept in _stored(node).items() if key != state.proposal}
    records[state.proposal] = {"temperature": doubt.temperature, "places": places, "dice": dice}
    recent = dict(list(records.items())[-_MOST_RUNS:])
    node.SetAttribute(DOUBT_ATTRIBUTE, json.dumps(recent, ensure_ascii=False))


def doubt_record(node: slicer.vtkMRMLSegmentationNode) -> DoubtRecord | None:
    """None where nothing is known of the segments that are there."""
    records = _stored(node)
    segments = segments_of(node.GetSegmentation())
    states = {name: state for name, segment in segments.items() if (state := State.of(segment, name))}
    present = {state.proposal for state in states.values()}
    latest = next((key for key in reversed(records) if key in present), None)
    if latest is None:
        return None
    dice = {}
    for name, state in states.items():
        found = records.get(state.proposal, {}).get("dice", {}).get(tag(segments[name], CLASS_TAG))
        if found is not None:
            dice[name] = float(found)
    record = records[latest]
    places = tuple(Place((x, y, z), wrong_ml) for x, y, z, wrong_ml in record["places"])
    return DoubtRecord(places, dice, record["temperature"], latest)


def _stored(node: slicer.vtkMRMLSegmentationNode) -> dict[str, dict]:
    try:
        records = json.loads(node.GetAttribute(DOUBT_ATTRIBUTE) or "{}")
        for record in records.values():
            if not all(len(place) == 4 and np.isfinite(place).all() for place in record["places"]):
                return {}
            float(record["temperature"])
            for value in record["dice"].values():
                float(value)
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    return records
