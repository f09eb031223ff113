"""What runs proposed, kept in the scene: from it follows which voxels a person set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import slicer

from TransformerSegLib.errors import ProposalDamaged
from TransformerSegLib.export.segment_metadata import TAG_PREFIX
from TransformerSegLib.scene.labelmaps import segments_of
from TransformerSegLib.scene.lifetime import PerObject
from TransformerSegLib.scene.scene_nodes import nodes_of
from TransformerSegLib.scene.segment_tags import STATE_TAG, tag

if TYPE_CHECKING:
    from TransformerSegLib.inference.proposal import Proposal

REFERENCE_ROLE = f"{TAG_PREFIX}proposal"
IDENTIFIER_ATTRIBUTE = f"{TAG_PREFIX}proposal_id"

_read: PerObject[list[Proposal | None]] = PerObject(list)


def store_proposal(node: slicer.vtkMRMLSegmentationNode, proposal: Proposal, identifier: str | None = None) -> str:
    """Keep a proposal beside a segmentation, in a hidden text node that is saved within the scene's own file.

    Args:
        identifier: of one that had been stored before.

    Returns:
        its identifier.
    """
    identifier = identifier or uuid4().hex
    text_node = _text_node(node.GetScene(), identifier)
    if text_node is None:
        text_node = slicer.vtkMRMLTextNode()
        text_node.SetName(f"{node.GetName()} proposal")
        text_node.SetHideFromEditors(True)
        text_node.SetForceCreateStorageNode(slicer.vtkMRMLTextNode.CreateStorageNodeNever)
        text_node.SetAttribute(IDENTIFIER_ATTRIBUTE, identifier)
        text_node.SetText(json.dumps(proposal.to_json()))
        node.GetScene().AddNode(text_node)
        _read[text_node][:] = [proposal]
    node.AddNodeReferenceID(REFERENCE_ROLE, text_node.GetID())
    return identifier


def stored_proposal(node: slicer.vtkMRMLSegmentationNode, identifier: str) -> Proposal | None:
    """None where the scene no longer has it, or it is damaged: then nobody knows what was made by the model."""
    text_node = _text_node(node.GetScene(), identifier)
    if text_node is None:
        return None
    read = _read[text_node]
    if not read:
        read.append(_parsed(text_node.GetText() or ""))
    return read[0]


def discard_unused_proposals(scene: slicer.vtkMRMLScene) -> dict[str, Proposal]:
    """Remove the stored proposals to which no segment of the scene refers any more.

    Returns:
        those that were removed, by their identifiers.
    """
    used = {
        (tag(segment, STATE_TAG) or "").split(" ", 1)[0]
        for node in nodes_of(scene, "vtkMRMLSegmentationNode")
        for segment in segments_of(node.GetSegmentation()).values()
    }
    held = {
        sequence.GetNthNodeReferenceID(REFERENCE_ROLE, number)
        for sequence in nodes_of(scene, "vtkMRMLSequenceNode")
        for number in range(sequence.GetNumberOfNodeReferences(REFERENCE_ROLE))
    }
    discarded = {}
    for text_node in nodes_of(scene, "vtkMRMLTextNode"):
        identifier = text_node.GetAttribute(IDENTIFIER_ATTRIBUTE)
        if identifier and identifier not in used and text_node.GetID() not in held:
            read = _read[text_node]
            if read and read[0] is not None:
                discarded[identifier] = read[0]
            scene.RemoveNode(text_node)
    return discarded


def _parsed(text: str) -> Proposal | None:
    from TransformerSegLib.inference.proposal import Proposal

    try:
        return Proposal.from_json(json.loads(text))
    except (ValueError, RecursionError, ProposalDamaged):
        return None


def _text_node(scene: slicer.vtkMRMLScene | None, identifier: str) -> slicer.vtkMRMLTextNode | None:
    if scene is None:
        return None
    for node in nodes_of(scene, "vtkMRMLTextNode"):
        if node.GetAttribute(IDENTIFIER_ATTRIBUTE) == identifier:
            return node
    return None
