"""The slice views: where they look, where the person points, and what lies over the volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from TransformerSegLib.scene.scene_nodes import nodes_of

CROSSHAIR_TAG = "default"
"""Of Slicer's own crosshair."""

OVERLAY_OPACITY = 0.6


def look_at(scene: slicer.vtkMRMLScene, place: Sequence[float]) -> None:
    """Bring a place, in world coordinates, to the middle of every slice view, and the crosshair to it."""
    for view in nodes_of(scene, "vtkMRMLSliceNode"):
        view.JumpSliceByCentering(*place)
    crosshair = _crosshair(scene)
    if crosshair is not None:
        crosshair.SetCrosshairRAS(list(place))
        if crosshair.GetCrosshairMode() == crosshair.NoCrosshair:
            crosshair.SetCrosshairMode(crosshair.ShowSmallBasic)


def pointed_at(scene: slicer.vtkMRMLScene) -> np.ndarray | None:
    """Where the mouse is in a slice view, in world coordinates; else where the crosshair is shown; else None."""
    crosshair = _crosshair(scene)
    if crosshair is None:
        return None
    place = [0.0, 0.0, 0.0]
    if crosshair.GetCursorPositionRAS(place):
        return np.array(place)
    if crosshair.GetCrosshairMode() != crosshair.NoCrosshair:
        return np.array(crosshair.GetCrosshairRAS())
    return None


def to_world(node: slicer.vtkMRMLTransformableNode, place: Sequence[float]) -> np.ndarray:
    """From the node's own frame."""
    return _transformed(node.GetParentTransformNode(), None, place)


def from_world(node: slicer.vtkMRMLTransformableNode, place: Sequence[float]) -> np.ndarray:
    """To the node's own frame."""
    return _transformed(None, node.GetParentTransformNode(), place)


def lay_over(scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLVolumeNode) -> None:
    """Show a volume over that which the slice views show."""
    for view in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        view.SetForegroundVolumeID(volume.GetID())
        view.SetForegroundOpacity(OVERLAY_OPACITY)


def take_off(scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLVolumeNode) -> None:
    """Show it no longer; what else lies over a view stays."""
    for view in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        if view.GetForegroundVolumeID() == volume.GetID():
            view.SetForegroundVolumeID(None)
            view.SetForegroundOpacity(0.0)


def place_with_mouse(scene: slicer.vtkMRMLScene, points: slicer.vtkMRMLMarkupsNode | None) -> None:
    """Let each click into a view place a point; None: no longer."""
    interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton") or _first(scene, "vtkMRMLInteractionNode")
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton") or _first(scene, "vtkMRMLSelectionNode")
    if interaction is None or selection is None:
        return
    if points is None:
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        return
    selection.SetReferenceActivePlaceNodeClassName(points.GetClassName())
    selection.SetActivePlaceNodeID(points.GetID())
    interaction.SetPlaceModePersistence(1)
    interaction.SetCurrentInteractionMode(interaction.Place)


def is_placing(scene: slicer.vtkMRMLScene, points: slicer.vtkMRMLMarkupsNode | None) -> bool:
    """Whether a click into a view places one of these points."""
    interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton") or _first(scene, "vtkMRMLInteractionNode")
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton") or _first(scene, "vtkMRMLSelectionNode")
    if points is None or interaction is None or selection is None:
        return False
    return (
        interaction.GetCurrentInteractionMode() == interaction.Place
        and selection.GetActivePlaceNodeID() == points.GetID()
    )


def _first(scene: slicer.vtkMRMLScene, node_class: str) -> slicer.vtkMRMLNode | None:
    return next(iter(nodes_of(scene, node_class)), None)


def _crosshair(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLCrosshairNode | None:
    return scene.GetSingletonNode(CROSSHAIR_TAG, "vtkMRMLCrosshairNode") or _first(scene, "vtkMRMLCrosshairNode")


def _transformed(
    source: slicer.vtkMRMLTransformNode | None, target: slicer.vtkMRMLTransformNode | None, place: Sequence[float]
) -> np.ndarray:
    between = vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, between)
    return np.array(between.TransformPoint(*place))
