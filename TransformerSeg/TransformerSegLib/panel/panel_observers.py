"""What the panel watches in the scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import slicer
import vtk
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from slicer import vtkMRMLNode, vtkMRMLScene


class PanelObservers:
    """Observers of the scene, and of the volumes and the region that are chosen.

    Args:
        scene: to be watched.
        on_changed: called when something changed that the panel shows.
        on_close: called when the scene is about to be emptied.
    """

    def __init__(self, scene: vtkMRMLScene, on_changed: Callable[[], None], on_close: Callable[[], None]) -> None:
        self._on_changed, self._on_close = on_changed, on_close
        self._scene_observed, self._nodes_observed = VTKObservationMixin(), VTKObservationMixin()
        self._watched: list[vtkMRMLNode] = []
        for event in (
            scene.NodeAddedEvent,
            scene.NodeRemovedEvent,
            scene.EndCloseEvent,
            scene.EndImportEvent,
            scene.EndBatchProcessEvent,
        ):
            self._scene_observed.addObserver(scene, event, self._changed)
        self._scene_observed.addObserver(scene, scene.StartCloseEvent, self._closing)

    def watch(self, nodes: Iterable[vtkMRMLNode | None]) -> None:
        """Watch these nodes, and those watched before no longer."""
        nodes = list({node.GetID(): node for node in nodes if node is not None}.values())
        if nodes == self._watched:
            return
        self._nodes_observed.removeObservers()
        self._watched = nodes
        for node in nodes:
            for event in _events(node):
                self._nodes_observed.addObserver(node, event, self._changed)

    def close(self) -> None:
        """Watch nothing any longer. Safe to call twice."""
        self.watch(())
        self._scene_observed.removeObservers()

    def _changed(self, caller: object, event: str) -> None:
        self._on_changed()

    def _closing(self, caller: object, event: str) -> None:
        self._on_close()


def _events(node: vtkMRMLNode) -> tuple[int, ...]:
    moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
    if node.IsA("vtkMRMLMarkupsNode"):
        return slicer.vtkMRMLMarkupsNode.PointModifiedEvent, moved
    return vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, moved
