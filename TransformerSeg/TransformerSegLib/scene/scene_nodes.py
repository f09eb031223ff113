"""The nodes of a scene, by their kind."""

from __future__ import annotations

import slicer


def nodes_of(scene: slicer.vtkMRMLScene, node_class: str) -> list[slicer.vtkMRMLNode]:
    """All nodes of a class, and of those derived from it, in the scene's order."""
    found = scene.GetNodesByClass(node_class)
    found.UnRegister(scene)  # which made the collection for its caller
    return [found.GetItemAsObject(number) for number in range(found.GetNumberOfItems())]
