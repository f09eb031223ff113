"""Volumes over time: one frame after the other, and their results as a sequence that plays along."""

from __future__ import annotations

from dataclasses import dataclass, replace

import slicer
from slicer.util import NodeModify

from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.scene_nodes import nodes_of
from TransformerSegLib.scene.stored_proposals import REFERENCE_ROLE
from TransformerSegLib.scene.volumes import volume_from_node


@dataclass
class Frames:
    """The frames of a volume that is shown from a sequence.

    Attributes:
        browser: that shows it.
        sequence: of the volumes.
        volume_node: in which the current frame is shown.
        results: the sequence of segmentations; None before the first ``add_frame``.
    """

    browser: slicer.vtkMRMLSequenceBrowserNode
    sequence: slicer.vtkMRMLSequenceNode
    volume_node: slicer.vtkMRMLScalarVolumeNode
    results: slicer.vtkMRMLSequenceNode | None = None

    @property
    def count(self) -> int:
        return self.sequence.GetNumberOfDataNodes()

    @property
    def current(self) -> int:
        """The index of the frame that is shown, from 0; −1 where there is none."""
        shown = self.browser.GetSelectedItemNumber()
        master = self.browser.GetMasterSequenceNode()
        if shown < 0 or master is self.sequence:
            return shown
        return self.sequence.GetItemNumberFromIndexValue(master.GetNthIndexValue(shown), False)


def frames_of(volume_node: slicer.vtkMRMLScalarVolumeNode) -> Frames | None:
    """The frames of which a volume node shows one; None where it is no part of a sequence."""
    scene = volume_node.GetScene()
    if scene is None:
        return None
    for browser in nodes_of(scene, "vtkMRMLSequenceBrowserNode"):
        if browser.IsProxyNode(volume_node.GetID()):
            return Frames(browser, browser.GetSequenceNode(volume_node), volume_node)
    return None


def shown_frame(node: slicer.vtkMRMLNode) -> str:
    """Which frame of a sequence a node shows: its index value ("0.1"); "" where the node is no part of a sequence."""
    for browser in nodes_of(node.GetScene(), "vtkMRMLSequenceBrowserNode") if node.GetScene() is not None else ():
        master, number = browser.GetMasterSequenceNode(), browser.GetSelectedItemNumber()
        if master is not None and number >= 0 and browser.IsProxyNode(node.GetID()):
            return master.GetNthIndexValue(number)
    return ""


def frame_volume(frames: Frames, index: int) -> Volume:
    """A copy of one frame's voxels, whichever is shown.

    Args:
        index: from 0.

    Raises:
        IndexError: there is no such frame.
        EmptyVolume, VectorVoxels: as ``volume_from_node``.
    """
    if not 0 <= index < frames.count:
        raise IndexError(f"frame {index} of {frames.count}")
    volume = volume_from_node(frames.sequence.GetNthDataNode(index))
    return replace(volume, name=f"{frames.volume_node.GetName()} {index + 1}")


def add_frame(
    frames: Frames, index: int, segmentation_node: slicer.vtkMRMLSegmentationNode
) -> slicer.vtkMRMLSegmentationNode:
    """Put the result of one frame into the sequence of results, which the volume's browser plays along.

    What a person draws in the frame that is shown is kept in the sequence.

    Args:
        index: of the frame, from 0.
        segmentation_node: a node of its own. The first one stays, to show the current frame's result; later ones are
            taken out of the scene.

    Returns:
        The node that shows the results.

    Raises:
        IndexError: there is no such frame.
    """
    if not 0 <= index < frames.count:
        raise IndexError(f"frame {index} of {frames.count}")
    scene = segmentation_node.GetScene()
    value = frames.sequence.GetNthIndexValue(index)
    first = frames.results is None
    if first:
        frames.results = _add_sequence(frames, segmentation_node.GetName())
    frames.results.SetDataNodeAtValue(segmentation_node, value)
    for number in range(segmentation_node.GetNumberOfNodeReferences(REFERENCE_ROLE)):
        proposal = segmentation_node.GetNthNodeReferenceID(REFERENCE_ROLE, number)
        frames.results.AddNodeReferenceID(REFERENCE_ROLE, proposal)
    if first:
        _play_along(frames, segmentation_node)
    elif segmentation_node is not frames.browser.GetProxyNode(frames.results):
        scene.RemoveNode(segmentation_node)
    # Shows the result at once where the frame is the current one.
    frames.browser.Modified()
    return frames.browser.GetProxyNode(frames.results)


def _add_sequence(frames: Frames, name: str) -> slicer.vtkMRMLSequenceNode:
    scene = frames.browser.GetScene()
    results = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(f"{name} frames"))
    results.SetIndexType(frames.sequence.GetIndexType())
    results.SetIndexName(frames.sequence.GetIndexName())
    results.SetIndexUnit(frames.sequence.GetIndexUnit())
    return results


def _play_along(frames: Frames, segmentation_node: slicer.vtkMRMLSegmentationNode) -> None:
    browser, results = frames.browser, frames.results
    with NodeModify(browser):  # else a node of its own is made at the first step
        browser.AddProxyNode(segmentation_node, results, False)
        browser.SetMissingItemMode(results, slicer.vtkMRMLSequenceBrowserNode.MissingItemSetToDefault)
        browser.SetOverwriteProxyName(results, False)
        browser.SetSaveChanges(results, True)
