"""The Host: Slicer's life as far as a scripted module takes part in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import slicer

from host import dicom_volume, loop, qt
from host.application import Application
from host.dialogs import Dialogs, answered_by
from host.errors import CallbackErrors
from host.hidden_packages import HiddenPackages
from host.in_place import MODULES, InPlace
from host.installing import Installing, installed_by
from host.messages import quieten
from host.modules import MainWindow, ModuleSelector
from host.opening import OpenModule, ScriptedModule, open_file
from host.qmrml.observing import Observers
from host.qt.native import QtCore
from host.scene import Scene

__all__ = ["Host", "OpenModule", "ScriptedModule"]


class Host:
    """Slicer as far as a scripted module's file needs it. One at a time; ``close`` it, or use it in a ``with``.

    Args:
        without: names of packages that cannot be imported until they are "installed" (``"torch"``), and of stand-ins
            that are not there: ``"slicer.packaging"`` (an older Slicer), ``"PyTorchUtils"`` (the extension is missing).
        testing: Slicer was started to run tests: message boxes answer themselves, and nothing is installed.

    Attributes:
        errors: what callbacks raised and nobody has seen yet.
        dialogs: who answers modal dialogs.
        packaging: what was to be installed, and what comes of it.
    """

    _open: Host | None = None

    def __init__(self, without: Collection[str] = (), testing: bool = False):
        if Host._open is not None:
            raise RuntimeError("Another Host is open. Close it first.")
        self.errors = CallbackErrors()
        self.dialogs = Dialogs()
        self._hidden = HiddenPackages(set(without) - set(MODULES))
        self.packaging = Installing(self._hidden)
        self._application = _qt_application()
        self._opened: list[OpenModule] = []
        self._scene = Scene()
        self._in_place = InPlace(self._scene, testing, without)
        self._selector = ModuleSelector()
        self._window = MainWindow(self._selector)
        self._hidden.hide()
        self.errors.listen()
        answered_by(self.dialogs)
        installed_by(self.packaging)
        Host._open = self

    @property
    def scene(self) -> slicer.vtkMRMLScene:
        return self._scene.mrml

    @property
    def app(self) -> Application:
        return slicer.app

    def open_module(self, path: str | Path) -> OpenModule:
        """Import a scripted module's file, make its objects, and enter its panel. Raises what a callback raised."""
        opened = open_file(Path(path).resolve())
        self._opened.append(opened)
        self._selector.panels[opened.name] = opened.panel
        self._selector.selectModule(opened.name)
        self.errors.raise_first()
        return opened

    def load_volume_node(self, path: str | Path, **dicom_attributes: str) -> slicer.vtkMRMLScalarVolumeNode:
        """A file, or a folder of DICOM files, as a volume node; attributes as in ``Modality="CT"``."""
        return dicom_volume.load(self.scene, Path(path), dicom_attributes)

    def process_events(self, seconds: float = 0) -> None:
        """Let Qt's loop run for a while. Raises what a callback raised."""
        loop.run(seconds, self.errors)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Let Qt's loop run, with Python's lock held as in Slicer, until the condition holds.

        Raises:
            TimeoutError: It does not hold after ``seconds``.
            BaseException: What the condition or a callback raised.
        """
        loop.run_until(condition, seconds, self.errors)

    def screenshot(self, widget: qt.QWidget, path: str | Path, width: int = 400) -> None:
        """Draw a widget to a PNG: at that width, in pixels, and as high as what it holds needs."""
        window = widget.window()
        for _round in range(3):  # what wraps tells its height only once it has its width
            window.resize(width, _height(window, width))
            self.process_events()
        if not widget.grab().save(str(path)):
            raise OSError(f"{path} could not be written.")

    def close(self) -> None:
        """Close modules, scene and application, in the order in which Slicer quits. May be called twice.

        Raises:
            BaseException: What a callback raised and nobody has seen.
        """
        if Host._open is not self:
            return
        try:
            self._quit()
        finally:
            Observers.clear_all()
            self._scene.close()
            self._in_place.take_away()
            for opened in self._opened:
                sys.modules.pop(opened.file.__name__, None)
            self._hidden.end()
            answered_by(None)
            installed_by(None)
            self.errors.stop()
            Host._open = None
        self.errors.raise_first()

    def _quit(self) -> None:
        slicer.app.aboutToQuit.emit()
        self._selector.selectModule("")
        for opened in reversed(self._opened):
            slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(opened.name)
        widgets = qt.QApplication.allWidgets()
        for window in qt.QApplication.topLevelWidgets():
            window.deleteLater()
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
        loop.process_pending()
        for widget in widgets:  # PySide never lets go of what a .ui file made, and that must not keep the scene
            vars(widget).clear()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, _kind, error: BaseException | None, _trace) -> None:
        try:
            self.close()
        except BaseException as late:
            if error is None:
                raise
            error.add_note(f"And then, in a callback: {late!r}")


def _qt_application() -> qt.QApplication:
    """The process's one, made where it is missing."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    quieten()
    application = qt.QApplication.instance() or qt.QApplication(["Slicer"])
    application.setOrganizationName("NA-MIC")
    application.setApplicationName("Slicer")
    return application


def _height(window: qt.QWidget, width: int) -> int:
    height = window.heightForWidth(width)
    return max(height if height > 0 else window.sizeHint.height(), window.minimumSizeHint.height())
