"""Which voxels a model's act changed since its run: clicks, and a box that was segmented again. Kept in the scene.

Together with the run's proposal they are the last model-made state: what differs from it, a person set.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import slicer

from TransformerSegLib.errors import ProposalDamaged
from TransformerSegLib.export.segment_metadata import TAG_PREFIX
from TransformerSegLib.scene.lifetime import PerObject
from TransformerSegLib.scene.sparse_numbers import Index, SparseNumbers
from TransformerSegLib.scene.unpacked_layers import unpacked

if TYPE_CHECKING:
    from TransformerSegLib.inference.proposal import Proposal
    from TransformerSegLib.scene.segment_tags import State

REFERENCE_ROLE = f"{TAG_PREFIX}changes"


class ModelChanges:
    """Those of one segmentation, in a hidden text node that is saved within the scene's own file.

    Args:
        stored: what that node holds.
    """

    def __init__(self, stored: dict[str, list[str]]) -> None:
        self._stored = stored
        self._known: dict[str, SparseNumbers] = {}

    def of(self, key: str, shape: Index) -> SparseNumbers:
        """Labels of some of a run's classes, by voxel. Damaged ones are none.

        Args:
            key: the proposal's identifier, and what tells several of one proposal apart.
        """
        if key not in self._known:
            pieces = self._stored.get(key, [])
            try:
                self._known[key] = SparseNumbers(shape, pieces if isinstance(pieces, list) else [])
            except ProposalDamaged:
                self._known[key] = SparseNumbers(shape)
        return self._known[key]

    def named(self, key: str) -> bool:
        """Whether there are any of that name."""
        return key in self._stored or (key in self._known and len(self._known[key]) > 0)

    def store(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        """Write all into the scene, beside the segmentation."""
        content = {**self._stored, **{key: numbers.packed() for key, numbers in self._known.items() if len(numbers)}}
        text_node = node.GetNodeReference(REFERENCE_ROLE)
        if text_node is None:
            if not content:
                return
            text_node = node.GetScene().AddNode(_text_node(f"{node.GetName()} changes"))
            node.SetNodeReferenceID(REFERENCE_ROLE, text_node.GetID())
        text_node.SetText(json.dumps(content))


def _text_node(name: str) -> slicer.vtkMRMLTextNode:
    text_node = slicer.vtkMRMLTextNode()
    text_node.SetName(name)
    text_node.SetHideFromEditors(True)
    text_node.SetForceCreateStorageNode(slicer.vtkMRMLTextNode.CreateStorageNodeNever)
    return text_node


def _stored(node: slicer.vtkMRMLSegmentationNode) -> dict[str, list[str]]:
    text_node = node.GetNodeReference(REFERENCE_ROLE)
    try:
        content = json.loads(text_node.GetText() or "{}") if text_node is not None else {}
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


_known: PerObject[list[ModelChanges]] = PerObject(list)


def changes_of(node: slicer.vtkMRMLSegmentationNode) -> ModelChanges:
    """The one that is there for as long as the segmentation is."""
    known = _known[node]
    if not known:
        known.append(ModelChanges(_stored(node)))
    return known[0]


def key_of(proposal: str, class_name: str = "") -> str:
    """Of the changes of a run's classes.

    Args:
        proposal: its identifier.
        class_name: where classes may overlap; else "".
    """
    return f"{proposal} {class_name}".strip()


def model_changed(node: slicer.vtkMRMLSegmentationNode, state: State, class_name: str, proposal: Proposal) -> bool:
    """Whether clicks have made something else of a segment than its run proposed; without looking at all voxels."""
    changes = changes_of(node)
    for key in (key_of(state.proposal), key_of(state.proposal, class_name)):
        if not changes.named(key):
            continue
        voxels, labels = changes.of(key, proposal.shape).latest()
        if ((labels == state.label) != (_proposed(voxels, *unpacked(proposal, state.layer)) == state.label)).any():
            return True
    return False


def _proposed(voxels: np.ndarray, labels: np.ndarray, start: Index) -> np.ndarray:
    """The labels of voxels (n, 3); 0 outside of the layer."""
    inside = ((voxels >= start) & (voxels < np.add(start, labels.shape))).all(axis=1)
    result = np.zeros(len(voxels), labels.dtype)
    result[inside] = labels[tuple((voxels[inside] - start).T)]
    return result


def made_mask(
    node: slicer.vtkMRMLSegmentationNode, state: State, class_name: str, proposal: Proposal
) -> tuple[np.ndarray, Index]:
    """The last model-made state of a segment: what its run proposed, and what clicks made of it.

    Returns:
        boolean, cropped, and the index (i, j, k) of its first voxel on the whole grid.
    """
    mask, start = proposal.mask(state.layer, state.label)
    changes = changes_of(node)
    for key in (key_of(state.proposal), key_of(state.proposal, class_name)):
        if changes.named(key):
            mask, start = _changed(mask, start, *changes.of(key, proposal.shape).latest(), state.label)
    return mask, start


def _changed(
    mask: np.ndarray, start: Index, voxels: np.ndarray, labels: np.ndarray, label: int
) -> tuple[np.ndarray, Index]:
    added = voxels[labels == label]
    corners = [added.min(axis=0), added.max(axis=0) + 1] if len(added) else []
    corners += [start, np.add(start, mask.shape)] if mask.size else []
    if not corners:
        return mask, start
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    result = np.zeros(high - low, bool)
    if mask.size:
        place = np.subtract(start, low)
        result[tuple(slice(first, first + count) for first, count in zip(place, mask.shape, strict=True))] = mask
    inside = ((voxels >= low) & (voxels < high)).all(axis=1)
    result[tuple((voxels[inside] - low).T)] = labels[inside] == label
    return result, tuple(int(index) for index in low)
