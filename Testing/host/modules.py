"""Stand-ins for what Slicer knows of its modules: ``slicer.modules``, the module manager, and the selector in the main
window."""

from __future__ import annotations

from collections.abc import Iterable

from host import qt
from host.qmrml import qSlicerScriptedLoadableModuleWidget
from host.qt.native import QtCore
from host.scene import Scene


class SlicerModule:
    """One of ``slicer.modules``: of those that slicer-core has the logic of."""

    def __init__(self, name: str, logic, path: str = ""):
        self.name = name
        self.title = name
        self.path = path
        self._logic = logic

    def logic(self):
        return self._logic


def modules_of(scene: Scene) -> dict[str, SlicerModule]:
    return {name.lower(): SlicerModule(name, logic) for name, logic in scene.logics.items()}


class ModuleManager(qt.QObject):
    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)
    moduleUnloaded = QtCore.Signal(str)

    _modules: dict[str, SlicerModule]

    def __init__(self):
        super().__init__()
        self._modules = {}

    def add(self, modules: Iterable[SlicerModule]) -> None:
        self._modules.update({module.name: module for module in modules})

    def module(self, name: str):
        return self._modules.get(name)

    def factoryManager(self):
        return self

    def loadedModuleNames(self) -> list[str]:
        return sorted(self._modules)

    modulesNames = loadedModuleNames


class ModuleSelector:
    """``slicer.util.selectModule`` leads here: leaving a module's panel calls its ``exit``, entering its ``enter``."""

    def __init__(self):
        self.selectedModule = ""
        self.panels: dict[str, qSlicerScriptedLoadableModuleWidget] = {}

    def selectModule(self, name: str) -> None:
        if name == self.selectedModule:
            return
        if self.selectedModule in self.panels:
            self.panels[self.selectedModule].exit()
        self.selectedModule = name
        if name in self.panels:
            self.panels[name].enter()


class MainWindow(qt.QMainWindow):
    """Slicer's window, never shown: a status bar, and the selector of modules."""

    _selector = None

    def __init__(self, selector: ModuleSelector):
        super().__init__()
        self._selector = selector
        self.setObjectName("qSlicerMainWindow")

    def moduleSelector(self) -> ModuleSelector:
        return self._selector
