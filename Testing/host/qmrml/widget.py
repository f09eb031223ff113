"""Stand-in for qMRMLWidget: a widget that is told the scene."""

from __future__ import annotations

from host import qt
from host.qt.native import QtCore


class qMRMLWidget(qt.QWidget):
    SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)
    mrmlSceneChanged = QtCore.Signal(object)

    _scene = None

    def __init__(self, parent=None):
        super().__init__(*([] if parent is None else [parent]))

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """What holds a scripted module's panel; its ``self()`` is the module's own Python object."""

    _python = None
    _entered = False

    def self(self):
        return self._python

    def _get_entered(self) -> bool:
        return self._entered

    isEntered = QtCore.Property(bool, _get_entered)

    def stand_for(self, widget) -> None:
        """Remember the Python object whose panel this is."""
        self._python = widget

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._python, "exit"):
            self._python.exit()
