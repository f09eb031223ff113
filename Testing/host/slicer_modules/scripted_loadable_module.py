"""Stand-in for ``slicer.ScriptedLoadableModule``: the four classes that a scripted module's file inherits from."""

from __future__ import annotations

import importlib
import logging
import unittest
from pathlib import Path

import slicer

from host import qt
from host.qmrml import qMRMLWidget

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


def _resource(module_file: str, name: str) -> str:
    return str(Path(module_file).parent / "Resources" / name)


class ScriptedLoadableModule:
    def __init__(self, parent):
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        for ending in (".svg", ".png"):
            icon = Path(_resource(parent.path, f"Icons/{self.moduleName}{ending}"))
            if icon.is_file():
                parent.icon = qt.QIcon(str(icon))
                break
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return _resource(self.parent.path, filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        url = f"{slicer.app.documentationBaseUrl}{docPage}" if docPage else f"#{self.moduleName}"
        return f'<p>For more information see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec: int = 100, **keywords) -> None:
        """Run the module's own test class. Raises AssertionError where it has none."""
        module = importlib.import_module(type(self).__module__)
        name = f"{self.moduleName}Test"
        if not hasattr(module, name):
            raise AssertionError(f"Test case class not found: {module.__name__}.{name}")
        case = getattr(module, name)()
        case.messageDelay = msec
        case.runTest(**keywords)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        self.parent = _own_parent() if parent is None else parent
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return _resource(slicer.util.modulePath(self.moduleName), filename)

    def setup(self) -> None:
        """Slicer puts its buttons for developers here, in developer mode. They are not stood in for."""

    def cleanup(self) -> None:
        pass

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


def _own_parent() -> qMRMLWidget:
    parent = qMRMLWidget()
    parent.setLayout(qt.QVBoxLayout())
    parent.setMRMLScene(slicer.mrmlScene)
    return parent


class ScriptedLoadableModuleLogic:
    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        """The module's one parameter node, made where there is none."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is not None:
                if node.GetAttribute("ModuleName") != self.moduleName:  # closing a scene takes attributes away
                    node.SetAttribute("ModuleName", self.moduleName)
                return node
        nodes = [] if self.isSingletonParameterNode else self.getAllParameterNodes()
        return nodes[0] if nodes else slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self):
        node = slicer.vtkMRMLScriptedModuleNode()
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.enableScreenshots = False
        self.screenshotScaleFactor = 1.0

    def delayDisplay(self, message: str, requestedDelay=None, msec=None) -> None:
        """Slicer shows the message for a while. Here the event loop gets a turn."""
        logging.info(message)
        slicer.app.processEvents()

    def runTest(self) -> None:
        logging.warning("No test is defined in %s", type(self).__name__)
