"""How far a segment is from what the model proposed: voxels that clicks changed, and voxels that a hand changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import slicer

from TransformerSegLib.scene.labelmaps import mask_of, segments_of
from TransformerSegLib.scene.lattice import Index, Lattice
from TransformerSegLib.scene.made import Maker, difference, edited_voxels, known_state, makers
from TransformerSegLib.scene.model_changes import model_changed
from TransformerSegLib.scene.segment_tags import CLASS_TAG, tag
from TransformerSegLib.scene.stored_proposals import stored_proposal


@dataclass(frozen=True)
class ChangedVoxels:
    """Numbers of voxels that were added or taken away; None where nobody knows.

    Attributes:
        by_clicks: between what the run proposed and what clicks, and a box that was segmented again, made of that.
        by_hand: between that and what the segment is now; all of a segment that a person made.
    """

    by_clicks: int | None
    by_hand: int | None


UNKNOWN = ChangedVoxels(None, None)
_NONE = ChangedVoxels(0, 0)


def changed_voxels(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> ChangedVoxels:
    """Count them now, voxel by voxel; for several segments, ``all_changed_voxels`` is faster.

    Raises:
        KeyError: the node has no such segment.
    """
    return all_changed_voxels(node, [segment_id])[segment_id]


def all_changed_voxels(
    node: slicer.vtkMRMLSegmentationNode, segment_ids: Iterable[str] | None = None
) -> dict[str, ChangedVoxels]:
    """Of each segment. Those that are as their run proposed them, which is most of them, are found in one pass.

    Args:
        segment_ids: None: all of them.

    Raises:
        KeyError: the node has no such segment.
    """
    there = segments_of(node.GetSegmentation())
    wanted = list(there if segment_ids is None else segment_ids)
    unchanged = as_proposed(node, wanted)
    return {name: _NONE if name in unchanged else _counted(node, name) for name in wanted}


def as_proposed(node: slicer.vtkMRMLSegmentationNode, segment_ids: Iterable[str]) -> set[str]:
    """Those of which neither clicks nor a hand changed a voxel. Counts none.

    Raises:
        KeyError: the node has no such segment.
    """
    return {name for name, made_by in makers(node, segment_ids).items() if _as_proposed(node, name, made_by)}


def _as_proposed(node: slicer.vtkMRMLSegmentationNode, segment_id: str, made_by: Maker) -> bool:
    """And no voxel of it is one that a click changed and a hand changed back."""
    if made_by is not Maker.MODEL:
        return False
    segment = node.GetSegmentation().GetSegment(segment_id)
    state = known_state(node, segment, segment_id)
    proposal = stored_proposal(node, state.proposal)
    return not model_changed(node, state, tag(segment, CLASS_TAG) or segment_id, proposal)


def _counted(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> ChangedVoxels:
    segment = node.GetSegmentation().GetSegment(segment_id)
    mask = mask_of(segment)
    state = known_state(node, segment, segment_id)
    if mask is None or (state is None and tag(segment, CLASS_TAG) is not None):
        return UNKNOWN
    by_hand = edited_voxels(node, segment_id)
    if state is None:
        return ChangedVoxels(0, _count(by_hand))
    proposal = stored_proposal(node, state.proposal)
    lattice = Lattice.between(mask.affine, proposal.affine, proposal.shape)
    if lattice is None:
        return UNKNOWN
    in_all = difference(lattice.placed(mask.array, mask.start), proposal.mask(state.layer, state.label))
    # What is neither as the run proposed it nor a person's was changed by clicks.
    by_clicks = difference(*(part or _NOTHING for part in (in_all, by_hand)))
    return ChangedVoxels(_count(by_clicks), _count(by_hand))


_NOTHING = np.zeros((0, 0, 0), bool), (0, 0, 0)


def _count(voxels: tuple[np.ndarray, Index] | None) -> int:
    return 0 if voxels is None else int(np.count_nonzero(voxels[0]))
