"""Stand-in for ``slicer.app``, the application."""

from __future__ import annotations

import tempfile
from pathlib import Path

from host import loop, qt
from host.layout import LayoutManager
from host.loading import CoreIOManager
from host.modules import ModuleManager
from host.qt.native import QtCore, QtGui
from host.scene import Scene


class Application(qt.QObject):
    """``slicer.app``. Its signals can be emitted by a test: ``slicer.app.startupCompleted.emit()``."""

    startupCompleted = QtCore.Signal()
    aboutToQuit = QtCore.Signal()
    lastWindowClosed = QtCore.Signal()

    _scene: Scene
    _module_manager: ModuleManager
    _layout: LayoutManager
    _temporary: tempfile.TemporaryDirectory
    _testing = False
    _started = False

    def __init__(self, scene: Scene, testing: bool):
        super().__init__()
        self._scene = scene
        self._testing = testing
        self._module_manager = ModuleManager()
        self._layout = LayoutManager(scene)
        self._temporary = tempfile.TemporaryDirectory(prefix="slicer_host_")
        qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
        for scope in (qt.QSettings.UserScope, qt.QSettings.SystemScope):
            qt.QSettings.setPath(qt.QSettings.IniFormat, scope, self._temporary.name)

    applicationName = "Slicer"
    mainApplicationName = "Slicer"
    applicationVersion = "5.13.0"
    majorVersion = 5
    minorVersion = 13
    revision = "34000"
    repositoryRevision = "0000000"
    releaseType = "Stand-in"
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"
    os = "linux"
    arch = "amd64"

    def _folder(self, name: str) -> str:
        folder = Path(self._temporary.name) / name
        folder.mkdir(exist_ok=True)
        return str(folder)

    @property
    def temporaryPath(self) -> str:
        return self._folder("temporary")

    @property
    def cachePath(self) -> str:
        return self._folder("cache")

    @property
    def slicerUserSettingsFilePath(self) -> str:
        return self.userSettings().fileName()

    @property
    def slicerHome(self) -> str:
        return self._folder("home")

    def finish_startup(self) -> None:
        """Say, once, that every module has been made. Panels are opened after that."""
        if not self._started:
            self._started = True
            self.startupCompleted.emit()

    def mrmlScene(self):
        return self._scene.mrml

    def applicationLogic(self):
        return self._scene.application_logic

    def moduleManager(self) -> ModuleManager:
        return self._module_manager

    def layoutManager(self) -> LayoutManager:
        return self._layout

    def coreIOManager(self) -> CoreIOManager:
        return CoreIOManager(self._scene)

    def moduleLogic(self, name: str):
        return self._scene.logics.get(name)

    def userSettings(self) -> qt.QSettings:
        return qt.QSettings()

    revisionUserSettings = settings = userSettings

    def testingEnabled(self) -> bool:
        return self._testing

    def processEvents(self, *_flags) -> None:
        loop.process_pending()

    def topLevelWidgets(self) -> list:
        return qt.QApplication.topLevelWidgets()

    def startupEnvironment(self):
        return QtCore.QProcessEnvironment.systemEnvironment()

    def thread(self):
        return qt.QApplication.instance().thread()

    def clipboard(self):
        return QtGui.QGuiApplication.clipboard()

    def palette(self):
        return qt.QApplication.palette()

    def setOverrideCursor(self, cursor) -> None:
        qt.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        qt.QApplication.restoreOverrideCursor()

    def pauseRender(self) -> None:
        pass

    resumeRender = pauseRender

    def delete_files(self) -> None:
        self._temporary.cleanup()
