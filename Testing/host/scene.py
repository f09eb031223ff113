"""The real MRML scene of slicer-core with the real logics of Slicer's modules, put together as the application does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import slicer
import vtk

MODULE_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Models": "vtkSlicerModelsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
}
SLICE_VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}


@contextmanager
def _quiet() -> Iterator[None]:
    """Some logics complain of a scene that goes away, that of the terminologies of files that slicer-core lacks."""
    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.SetGlobalWarningDisplay(shown)


class Scene:
    """The scene, its application logic, the modules' logics by name, and the logics of the three slice views."""

    def __init__(self):
        self.mrml = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetMRMLScene(self.mrml)
        self.logics = {}
        slicer.mrmlScene = self.mrml
        self._add_colors()
        with _quiet():
            for name, class_name in MODULE_LOGICS.items():
                self._add_logic(name, getattr(slicer, class_name)())
        self.slice_logics = {name: self._add_slice_view(name, plane) for name, plane in SLICE_VIEWS.items()}
        self._add_singletons()
        self._add_remote_files()

    def _add_colors(self) -> None:
        colors = self.application_logic.GetColorLogic()
        colors.SetMRMLScene(self.mrml)
        colors.AddDefaultColorNodes()
        self.application_logic.SetModuleLogic("Colors", colors)
        self.logics["Colors"] = colors

    def _add_logic(self, name: str, logic) -> None:
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.mrml)
        self.application_logic.SetModuleLogic(name, logic)
        self.logics[name] = logic

    def _add_slice_view(self, name: str, plane: str):
        if self.application_logic.GetSliceLogics() is None:
            self.application_logic.SetSliceLogics(vtk.vtkCollection())
            self.application_logic.SetViewLogics(vtk.vtkCollection())
            slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.mrml, True)
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self.application_logic)
        self.application_logic.GetSliceLogics().AddItem(logic)
        logic.SetMRMLScene(self.mrml)
        logic.AddSliceNode(name).SetOrientation(plane)
        return logic

    def _add_singletons(self) -> None:
        """Selection, interaction and the crosshair, which Slicer always has."""
        for class_name in ("vtkMRMLSelectionNode", "vtkMRMLInteractionNode"):
            node = self.mrml.CreateNodeByClass(class_name)
            node.UnRegister(None)
            node.SetSingletonTag("Singleton")
            self.mrml.AddNode(node)
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        crosshair.SetSingletonTag("default")
        self.mrml.AddNode(crosshair)
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.mrml)

    def _add_remote_files(self) -> None:
        """Which also tell a scene where to unpack an ``.mrb``."""
        self._cache = tempfile.TemporaryDirectory(prefix="slicer_host_cache_")
        self._remote_files = slicer.vtkMRMLRemoteIOLogic()
        self._remote_files.SetMRMLScene(self.mrml)
        self._remote_files.GetCacheManager().SetRemoteCacheDirectory(self._cache.name)
        self._remote_files.AddDataIOToScene()

    def close(self) -> None:
        """Leave nothing that a later scene, or the interpreter's end, could stumble over."""
        with _quiet():
            for logic in self.slice_logics.values():
                logic.SetMRMLScene(None)
            for name, logic in self.logics.items():
                self.application_logic.SetModuleLogic(name, None)
                logic.SetMRMLScene(None)
            self.mrml.Clear(True)
            self._remote_files.RemoveDataIOFromScene()
            self._remote_files.SetMRMLScene(None)
            self.application_logic.SetMRMLScene(None)
        self._cache.cleanup()
        self.logics = {}
        self.slice_logics = {}
        del slicer.mrmlScene
