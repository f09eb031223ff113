"""Tells when nodes of the scene are deleted, and when the scene is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import slicer


class SceneEvents:
    """Watches a scene until it is closed itself.

    Args:
        scene: to be watched.
        on_removed: called with the id of a node that is about to be removed.
        on_close: called when the scene is about to be emptied.
    """

    def __init__(
        self, scene: slicer.vtkMRMLScene, on_removed: Callable[[str], None], on_close: Callable[[], None]
    ) -> None:
        import slicer
        from vtkmodules.util.misc import calldata_type
        from vtkmodules.util.vtkConstants import VTK_OBJECT

        @calldata_type(VTK_OBJECT)
        def removed(caller: object, event: str, node: slicer.vtkMRMLNode) -> None:
            on_removed(node.GetID())

        def closing(caller: object, event: str) -> None:
            on_close()

        self._scene = scene
        self._tags = [
            scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removed),
            scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, closing),
        ]

    def close(self) -> None:
        """Watch no longer. Safe to call twice."""
        while self._tags:
            self._scene.RemoveObserver(self._tags.pop())
