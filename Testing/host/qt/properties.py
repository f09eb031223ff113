"""Qt properties as values: ``button.text = "Segment"``, ``if button.enabled:``."""

from __future__ import annotations

from host.qt.native import QOBJECTS, QtCore

VIRTUAL = ("sizeHint", "minimumSizeHint")
"""Properties that a Python class may override. Qt looks for that in Python, by their name, each time that it reads
them, so that to read them from here by way of Qt would never end."""


class QtProperty:
    """A property of a Qt class. Seen from the class it is the function of that name, where there is one
    (``QTimer.singleShot`` is both)."""

    def __init__(self, name: str, kind: str, writable: bool, function):
        self.name = name
        self.kind = kind
        self.writable = writable
        self.function = function.__func__ if isinstance(function, staticmethod) else function

    def __get__(self, instance, owner=None):
        if instance is None:
            return self.function if self.function is not None else self
        return self.function(instance) if self.name in VIRTUAL else instance.property(self.name)

    def __set__(self, instance, value) -> None:
        if not self.writable:
            raise AttributeError(f"Property '{self.name}' of {type(instance).__name__} is read only.")
        if not self._accepts(value) or not instance.setProperty(self.name, value):
            raise TypeError(
                f"Property '{self.name}' of {type(instance).__name__} is a {self.kind}, not a {type(value).__name__}."
            )

    def _accepts(self, value) -> bool:
        match self.kind:
            case "QVariant":
                return True
            case "bool":
                return isinstance(value, (bool, int))
            case "QString":
                return isinstance(value, str)
            case "int" | "double":
                return isinstance(value, (int, float))
            case _:
                return value is not None


def add_properties() -> None:
    """Put every property of Qt's own classes on the Python classes that wrap them, also where a class has a function of
    its own by that name (``sizeHint``). Setters (``setText``) stay."""
    for cls in QOBJECTS.values():
        meta = cls.staticMetaObject
        for index in range(meta.propertyCount()):
            declared = meta.property(index)
            name = declared.name()
            function = cls.__dict__.get(name)
            if isinstance(function, QtProperty) or (function is None and index < meta.propertyOffset()):
                continue
            setattr(cls, name, QtProperty(name, declared.typeName(), declared.isWritable(), function))
    QtCore.QObject.name = QtCore.QObject.__dict__["objectName"]
