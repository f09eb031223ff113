"""How sure the model was, voxel by voxel, as a volume that can be laid over the slice views."""

from __future__ import annotations

import numpy as np
import slicer

from TransformerSegLib.export.segment_metadata import TAG_PREFIX
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.doubt_record import doubt_record
from TransformerSegLib.scene.kept_scores import scores_of
from TransformerSegLib.scene.stored_proposals import stored_proposal
from TransformerSegLib.scene.volumes import add_volume_node

REFERENCE_ROLE = f"{TAG_PREFIX}confidence"
PROPOSAL_ATTRIBUTE = f"{TAG_PREFIX}confidence_of"

PERCENT = 100
LARGE_BYTES = 16 * 2**20
"""A larger one is not saved with the scene."""

SHOWN_PERCENT = (40, 90)
"""Between these the overlay has colours; surer voxels are clear."""

DARKEST_PERCENT = 131
"""Of the colours' scale: so that none that is shown is dark, and passes for a part of the image."""

COLORS = "vtkMRMLColorTableNodeYellow"


def confidence_volume(node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """That of a segmentation's last run, in percent, made where it is missing; None where nothing was kept."""
    record = doubt_record(node)
    kept = node.GetNodeReference(REFERENCE_ROLE)
    if record is not None and kept is not None and kept.GetAttribute(PROPOSAL_ATTRIBUTE) == record.proposal:
        return kept
    proposal = stored_proposal(node, record.proposal) if record is not None else None
    scores = scores_of(proposal) if proposal is not None else None
    if scores is None:
        return None
    from TransformerSegLib.interaction.doubt import confidence

    if kept is not None:
        node.GetScene().RemoveNode(kept)
    percent = confidence(scores, record.temperature)
    percent *= PERCENT
    array = np.rint(percent, out=percent).astype(np.uint8)
    name = node.GetScene().GenerateUniqueName(f"{node.GetName()} confidence")
    made = add_volume_node(node.GetScene(), Volume(array, proposal.affine, name))
    made.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    made.SetAttribute(PROPOSAL_ATTRIBUTE, record.proposal)
    made.SetHideFromEditors(True)
    made.SetSaveWithScene(array.nbytes <= LARGE_BYTES)
    node.SetNodeReferenceID(REFERENCE_ROLE, made.GetID())
    _color(made)
    return made


def has_confidence(node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether there is one, or what it takes to make it."""
    record = doubt_record(node)
    if record is None:
        return False
    kept = node.GetNodeReference(REFERENCE_ROLE)
    if kept is not None and kept.GetAttribute(PROPOSAL_ATTRIBUTE) == record.proposal:
        return True
    proposal = stored_proposal(node, record.proposal)
    return proposal is not None and scores_of(proposal) is not None


def _color(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """The less sure the brighter."""
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID(COLORS)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(SHOWN_PERCENT[0], DARKEST_PERCENT)
    display.SetInvertDisplayScalarRange(True)
    display.SetAutoThreshold(False)
    display.SetApplyThreshold(True)
    display.SetThreshold(0, SHOWN_PERCENT[1])
    display.SetInterpolate(False)
