"""Stand-in for ``slicer.app.coreIOManager()``, by which ``slicer.util.loadVolume`` and its kin load files: the real
readers of the modules' logics."""

from __future__ import annotations

from pathlib import Path

import slicer

from host.scene import Scene


class CoreIOManager:
    def __init__(self, scene: Scene):
        self._scene = scene

    def fileType(self, path: str) -> str:
        name = Path(path).name
        if name.endswith((".seg.nrrd", ".seg.nhdr")):
            return "SegmentationFile"
        return "SceneFile" if name.endswith((".mrml", ".mrb")) else "VolumeFile"

    def loadNodes(self, kind: str, properties: dict, loaded=None, _messages=None) -> bool:
        """Whether it could be read; what was loaded is put into the collection ``loaded``."""
        path = str(properties["fileName"])
        name = properties.get("name") or Path(path).name.split(".")[0]
        if kind == "SceneFile":
            return self._load_scene(path, clear=bool(properties.get("clear", False)))
        node = {"VolumeFile": self._volume, "SegmentationFile": self._segmentation}[kind](path, name)
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    def _load_scene(self, path: str, clear: bool) -> bool:
        scene = self._scene.mrml
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear))
        scene.SetURL(path)
        return bool(scene.Connect() if clear else scene.Import())

    def _volume(self, path: str, name: str):
        return self._scene.logics["Volumes"].AddArchetypeVolume(path, name)

    def _segmentation(self, path: str, name: str):
        node = self._scene.mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        storage = slicer.vtkMRMLSegmentationStorageNode()
        self._scene.mrml.AddNode(storage)
        storage.SetFileName(path)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if storage.ReadData(node):
            return node
        self._scene.mrml.RemoveNode(node)
        self._scene.mrml.RemoveNode(storage)
        return None
