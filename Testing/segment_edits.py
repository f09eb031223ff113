"""What a person does to segments, by the logic that Slicer's Segment Editor itself uses."""

from __future__ import annotations

import numpy as np
import slicer

from TransformerSegLib.scene.labelmaps import make_labelmap
from TransformerSegLib.scene.volumes import volume_affine

Box = tuple[slice, slice, slice]

LOGIC = slicer.vtkSlicerSegmentEditorLogic
EDITOR = slicer.vtkMRMLSegmentEditorNode


class Pencil:
    """The Segment Editor on one segmentation.

    Args:
        scene: that holds both nodes.
        node: the segmentation.
        volume_node: on whose voxels is drawn.
    """

    def __init__(self, scene, node, volume_node) -> None:
        self._node, self._volume_node = node, volume_node
        self.editor = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.editor.SetAndObserveSegmentationNode(node)
        self.editor.SetAndObserveSourceVolumeNode(volume_node)
        self.logic = LOGIC()
        self.logic.SetMRMLScene(scene)
        self.logic.SetSegmentEditorNode(self.editor)

    def paint(self, segment_id: str, box: Box, overwrite: int = EDITOR.OverwriteNone) -> None:
        """Add the voxels of a box, and take them from other segments where ``overwrite`` says so."""
        self.editor.SetOverwriteMode(overwrite)
        self._modify(segment_id, box, LOGIC.ModificationModeAdd)

    def erase(self, segment_id: str, box: Box) -> None:
        self._modify(segment_id, box, LOGIC.ModificationModeRemove)

    def _modify(self, segment_id: str, box: Box, mode: int) -> None:
        self.logic.SaveStateForUndo()
        self.editor.SetSelectedSegmentID(segment_id)
        brush = np.zeros(self._volume_node.GetImageData().GetDimensions(), np.uint8)
        brush[box] = 1
        labelmap = make_labelmap(brush, volume_affine(self._volume_node), np.dtype(np.uint8))
        self.logic.ModifySegmentByLabelmap(self._node, segment_id, labelmap, mode, False, False)


def set_completed(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> None:
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(node.GetSegmentation().GetSegment(segment_id), logic.Completed)
