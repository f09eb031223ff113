"""Stand-in for ``qt``, the classes of Qt as PythonQt shows them to Slicer's modules, on PySide6."""

from host.qt.classes import WITH_MANNERS
from host.qt.native import QtWidgets
from host.qt.ui_loader import QUiLoader, loads

globals().update(WITH_MANNERS | {"QUiLoader": QUiLoader})
loads(*(cls for name, cls in WITH_MANNERS.items() if isinstance(cls, type) and issubclass(cls, QtWidgets.QWidget)))
