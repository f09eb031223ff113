"""PySide6's classes by name."""

from __future__ import annotations

import inspect

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)

# By dir() and getattr, since PySide makes its classes when they are first asked for.
_named = {name: getattr(module, name) for module in MODULES for name in dir(module) if not name.startswith("_")}
CLASSES = {name: thing for name, thing in _named.items() if inspect.isclass(thing)}
QOBJECTS = {name: cls for name, cls in CLASSES.items() if issubclass(cls, QtCore.QObject)}
