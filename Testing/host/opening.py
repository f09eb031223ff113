"""How Slicer opens a scripted module: imports its file, makes one object of each of its classes, shows its panel."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import slicer

from host import qt
from host.modules import SlicerModule
from host.qmrml import qSlicerScriptedLoadableModuleWidget

PANEL_SIZE = (400, 800)  # pixels


class ScriptedModule(SlicerModule):
    """``qSlicerScriptedLoadableModule``: what a module's class describes itself on: title, categories, help text, …"""

    def __init__(self, name: str, path: str):
        super().__init__(name, None, path)
        self._panel = None

    def represent(self, panel: qSlicerScriptedLoadableModuleWidget) -> None:
        self._panel = panel

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        return self._panel


@dataclass(frozen=True)
class OpenModule:
    """An opened module: the imported file, and the objects that Slicer makes of its classes."""

    file: ModuleType
    module: object
    widget: object
    panel: qSlicerScriptedLoadableModuleWidget

    @property
    def name(self) -> str:
        return self.module.moduleName

    @property
    def logic(self):
        return self.widget.logic


def open_file(path: Path) -> OpenModule:
    """Import a module's file, whose name is its class's, and make its objects. The panel is not entered yet."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    file = _imported(name, path)
    described = ScriptedModule(name, str(path))
    module = getattr(file, name)(described)
    slicer.app.moduleManager().add([described])
    setattr(slicer.modules, name.lower(), described)
    setattr(slicer.modules, f"{name}Instance", module)
    slicer.app.finish_startup()
    panel = qSlicerScriptedLoadableModuleWidget()
    panel.setLayout(qt.QVBoxLayout())
    described.represent(panel)
    widget = getattr(file, f"{name}Widget")(panel)
    panel.stand_for(widget)
    setattr(slicer.modules, f"{name}Widget", widget)
    widget.setup()
    panel.setMRMLScene(slicer.mrmlScene)
    panel.resize(*PANEL_SIZE)
    panel.show()
    return OpenModule(file, module, widget, panel)


def _imported(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
