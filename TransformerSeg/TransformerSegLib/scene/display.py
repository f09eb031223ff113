"""How a result is shown."""

from __future__ import annotations

import slicer
from slicer.util import NodeModify

from TransformerSegLib.scene.labelmaps import CLOSED_SURFACE

SMOOTHING_PARAMETER = "Smoothing factor"
"""Of Slicer's conversion of labelmaps to surfaces: 0 (none) to 1; its default is 0.5."""


def show_result(node: slicer.vtkMRMLSegmentationNode, smoothing: float, surfaces: bool) -> None:
    """Show a segmentation in the slice views and, as surfaces, in the 3D views.

    Args:
        smoothing: of the surfaces, 0…1. Those that are there are made anew where it changes.
        surfaces: make them and show them; otherwise they are removed, which saves the time to make them after edits.
    """
    segmentation = node.GetSegmentation()
    with NodeModify(node):
        if not surfaces:
            segmentation.RemoveRepresentation(CLOSED_SURFACE)
            return
        wanted = f"{min(max(smoothing, 0.0), 1.0):g}"
        if segmentation.GetConversionParameter(SMOOTHING_PARAMETER) != wanted:
            segmentation.SetConversionParameter(SMOOTHING_PARAMETER, wanted)
            segmentation.RemoveRepresentation(CLOSED_SURFACE)
        node.CreateClosedSurfaceRepresentation()
        display = node.GetDisplayNode()
        if display is not None:
            display.SetVisibility3D(True)


def is_visible(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> bool:
    """Whether a segment is shown where the segmentation is."""
    display = node.GetDisplayNode()
    return display is not None and display.GetSegmentVisibility(segment_id)


def set_visible(node: slicer.vtkMRMLSegmentationNode, segment_id: str, visible: bool) -> None:
    """Show or hide one segment."""
    display = node.GetDisplayNode()
    if display is None:
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
    display.SetSegmentVisibility(segment_id, visible)
