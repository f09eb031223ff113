"""Qt's classes with PythonQt's manners.

PySide's own classes get properties as values and strictness, since Qt hands out objects of them (``widget.layout()``).
What Python constructs is of a subclass under the same name, as only there ``connect("clicked(bool)", f)`` can be had.
"""

from __future__ import annotations

from host.qt import connections
from host.qt.modal import ask_the_test
from host.qt.native import CLASSES, QOBJECTS, QtCore, QtGui
from host.qt.properties import add_properties
from host.qt.strictness import set_attribute

NOT_CONSTRUCTED = ("QCoreApplication", "QGuiApplication", "QApplication")


class _SameAsNative(type(QtCore.QObject)):
    """A QPushButton is a QWidget, though the subclass named so is not its parent."""

    def __instancecheck__(cls, instance) -> bool:
        return isinstance(instance, NATIVE.get(cls, ())) or type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, other) -> bool:
        return issubclass(other, NATIVE.get(cls, ())) or type.__subclasscheck__(cls, other)


NATIVE: dict[type, type] = {}
"""From a class with manners to the one of PySide under it."""


def _with_manners(name: str, cls: type) -> type:
    members = {
        "__module__": "host.qt",
        "__init__": _without_keywords(cls),
        "__setattr__": set_attribute,
        "connect": connections.connect,
        "disconnect": connections.disconnect,
    }
    made = _SameAsNative(name, (cls,), members)
    NATIVE[made] = cls
    return made


def _without_keywords(cls: type):
    """PySide sets properties by keywords (``QPushButton(text="x")``), PythonQt knows none."""

    def make(self, *arguments, **keywords) -> None:
        if keywords:
            raise TypeError(f"PythonQt makes a {cls.__name__} without keywords, and has none for {list(keywords)}.")
        cls.__init__(self, *arguments)

    return make


def _keep_connections(cls: type, **_keywords) -> None:
    """Qt looks ``connect`` up in an object's own class alone, hence each subclass needs it."""
    cls.connect = connections.connect
    cls.disconnect = connections.disconnect


def _searching(function):
    def find(self, kind=QtCore.QObject, *arguments, **keywords):
        return function(self, NATIVE.get(kind, kind), *arguments, **keywords)

    return find


def _delete(self) -> None:
    self.deleteLater()


def _patch_native() -> None:
    add_properties()
    QtCore.QObject.__init_subclass__ = classmethod(_keep_connections)
    QtCore.QObject.className = lambda self: self.metaObject().className()
    QtCore.QObject.delete = _delete
    QtCore.QObject.findChild = _searching(QtCore.QObject.findChild)
    QtCore.QObject.findChildren = _searching(QtCore.QObject.findChildren)
    for cls in QOBJECTS.values():
        cls.__setattr__ = set_attribute


_patch_native()
ask_the_test()
WITH_MANNERS: dict[str, type] = {
    name: cls if name in NOT_CONSTRUCTED or name not in QOBJECTS else _with_manners(name, cls)
    for name, cls in CLASSES.items()
    if name.startswith("Q")
}
WITH_MANNERS["Qt"] = QtCore.Qt
WITH_MANNERS["QAction"] = _with_manners("QAction", QtGui.QAction)
