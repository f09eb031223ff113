"""Who made what: which segments, and which of their voxels, a person set.

A person's voxels are those that differ from the last model-made state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import slicer

from TransformerSegLib.scene.comparing import Box
from TransformerSegLib.scene.labelmaps import (
    BINARY_LABELMAP,
    HIGHEST_LABEL,
    labelmap_of,
    labels_of,
    mask_of,
    segments_of,
)
from TransformerSegLib.scene.lattice import Index, Lattice
from TransformerSegLib.scene.lifetime import PerObject
from TransformerSegLib.scene.model_changes import made_mask
from TransformerSegLib.scene.segment_tags import CLASS_TAG, MAKER_TAG, State, set_tag, tag
from TransformerSegLib.scene.slab_comparison import SlabComparison
from TransformerSegLib.scene.stored_proposals import stored_proposal

if TYPE_CHECKING:
    pass


class Maker(Enum):
    """Who made a segment; the values are what its tag says."""

    MODEL = "model"
    MODEL_THEN_PERSON = "model, then a person"
    PERSON = "a person"


def maker(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> Maker:
    """Who made one segment; for several, ``makers`` is faster.

    A segment of which no model-made state is known counts as a person's.
    """
    return makers(node, [segment_id])[segment_id]


def makers(node: slicer.vtkMRMLSegmentationNode, segment_ids: Iterable[str] | None = None) -> dict[str, Maker]:
    """Who made each segment, found out now, voxel by voxel.

    Args:
        segment_ids: None: all of them.
    """
    segments = segments_of(node.GetSegmentation())
    wanted = segments if segment_ids is None else {name: segments[name] for name in segment_ids}
    states = {name: state for name, segment in segments.items() if (state := known_state(node, segment, name))}
    touched = _touched(node, states, wanted.keys())
    return {
        name: Maker.PERSON if name not in states else Maker.MODEL_THEN_PERSON if name in touched else Maker.MODEL
        for name in wanted
    }


def refresh_makers(node: slicer.vtkMRMLSegmentationNode, segment_ids: Iterable[str] | None = None) -> dict[str, Maker]:
    """``makers``, written as a tag of each segment, too."""
    found = makers(node, segment_ids)
    for segment_id, made_by in found.items():
        set_tag(node.GetSegmentation().GetSegment(segment_id), MAKER_TAG, made_by.value)
    return found


def is_protected(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> bool:
    """Whether runs leave a segment as it is: a person made it, changed it, or declared it completed."""
    return segment_id in protected_segments(node, [segment_id])


def protected_segments(node: slicer.vtkMRMLSegmentationNode, segment_ids: Iterable[str] | None = None) -> set[str]:
    """``is_protected`` for several; None: all of them."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    return {
        segment_id
        for segment_id, made_by in makers(node, segment_ids).items()
        if made_by is not Maker.MODEL
        or logic.GetSegmentStatus(node.GetSegmentation().GetSegment(segment_id)) == logic.Completed
    }


def edited_voxels(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> tuple[np.ndarray, Index] | None:
    """Which voxels of a segment a person added or took away by hand, on top of what clicks made of it.

    Returns:
        boolean (I, J, K), and the index of its first voxel: on the grid of the volume that was segmented where the
        model-made state is known; else all of the segment, on its own labelmap's grid. None where there are none.
    """
    segment = node.GetSegmentation().GetSegment(segment_id)
    mask = mask_of(segment)
    if mask is None:
        return None
    state = known_state(node, segment, segment_id)
    proposal = stored_proposal(node, state.proposal) if state else None
    lattice = proposal and Lattice.between(mask.affine, proposal.affine, proposal.shape)
    if not lattice:
        return (mask.array, mask.start) if mask.array.size else None
    made = made_mask(node, state, tag(segment, CLASS_TAG) or segment_id, proposal)
    return difference(lattice.placed(mask.array, mask.start), made)


def difference(one: tuple[np.ndarray, Index], other: tuple[np.ndarray, Index]) -> tuple[np.ndarray, Index] | None:
    """Where two cropped masks differ: the one, and the index of its first voxel; None where they do not."""
    parts = [part for part in (one, other) if part[0].size]
    if not parts:
        return None
    start = np.min([first for _, first in parts], axis=0)
    stop = np.max([np.add(first, array.shape) for array, first in parts], axis=0)
    differing = np.zeros(stop - start, bool)
    for array, first in parts:
        differing[_box(array.shape, first, start)] ^= array
    return (differing, tuple(int(index) for index in start)) if differing.any() else None


def known_state(node: slicer.vtkMRMLSegmentationNode, segment: slicer.vtkSegment, segment_id: str) -> State | None:
    """The last model-made state of a segment; None where it has none, or that is lost."""
    state = State.of(segment, segment_id)
    proposal = state and stored_proposal(node, state.proposal)
    return state if proposal and state.layer < len(proposal.layers) and 0 < state.label <= HIGHEST_LABEL else None


def _touched(node: slicer.vtkMRMLSegmentationNode, states: dict[str, State], wanted: Collection[str]) -> set[str]:
    """The segments that differ from their model-made states; all of those wanted that do, and maybe others.

    Segments that share a labelmap, and whose states share a layer, are compared together: one pass for a hundred.
    """
    segmentation = node.GetSegmentation()
    if segmentation.GetSourceRepresentationName() != BINARY_LABELMAP:
        return set(states)
    touched = set()
    for group, members in _groups(segmentation, states).items():
        labelmap, identifier, layer = group
        if not members.keys() & wanted:
            continue
        if labelmap is None:
            touched |= set(members)
            continue
        known = _compared[labelmap].setdefault(group[1:], SlabComparison())
        touched |= known.differing(labels_of(labelmap), members, stored_proposal(node, identifier), layer)
    return touched


def note_as_made(node: slicer.vtkMRMLSegmentationNode, segment_ids: Iterable[str]) -> None:
    """Spare the first comparison of segments that have just been given their model-made voxels."""
    segments = segments_of(node.GetSegmentation())
    states = {name: state for name in segment_ids if (state := State.of(segments[name], name))}
    for (labelmap, *proposal_and_layer), members in _groups(node.GetSegmentation(), states).items():
        _compared[labelmap].setdefault(tuple(proposal_and_layer), SlabComparison()).agree(labels_of(labelmap), members)


_compared: PerObject[dict[tuple, SlabComparison]] = PerObject(dict)


def _groups(segmentation: slicer.vtkSegmentation, states: dict[str, State]) -> dict[tuple, dict[str, tuple[int, int]]]:
    """(labelmap, proposal, layer) → segment id → its labels in the labelmap and in the layer."""
    groups: dict[tuple, dict[str, tuple[int, int]]] = defaultdict(dict)
    for segment_id, state in states.items():
        segment = segmentation.GetSegment(segment_id)
        labels = (segment.GetLabelValue(), state.label)
        groups[labelmap_of(segment), state.proposal, state.layer][segment_id] = labels
    return groups


def _box(shape: Index, first: Index, origin: np.ndarray) -> Box:
    return tuple(slice(int(a - o), int(a - o + n)) for a, n, o in zip(first, shape, origin, strict=True))
