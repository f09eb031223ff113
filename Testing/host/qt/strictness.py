"""What PythonQt refuses and PySide does not: attributes that a C++ class does not have."""

from __future__ import annotations

from shiboken6 import Shiboken

from host.qt.native import QtCore

NATIVE_MODULES = ("host.qt", "PySide6")
STAND_IN_MODULES = ("host.", "PySide6.")
"""Classes of these stand for C++ classes. Those of a module under test, which inherit from them, may hold whatever they
like, in PythonQt too."""


def set_attribute(instance, name: str, value) -> None:
    """``__setattr__`` of every Qt object: raises AttributeError for a misspelt property."""
    cls = type(instance)
    found = _found(cls, name)
    if isinstance(found, QtCore.Property):
        if not instance.setProperty(name, value):
            raise AttributeError(f"Property '{name}' of {cls.__name__} cannot be set to {value!r}.")
    elif hasattr(type(found), "__set__") or _is_own(cls, name) or not cls.__module__.startswith(STAND_IN_MODULES):
        Shiboken.Object.__setattr__(instance, name, value)
    else:
        raise AttributeError(
            f"Attribute '{name}' does not exist, or cannot be set, on {cls.__name__}: creation of it is not allowed on "
            "C++ classes."
        )


def _found(cls: type, name: str):
    return next((owner.__dict__[name] for owner in cls.__mro__ if name in owner.__dict__), None)


def _is_own(cls: type, name: str) -> bool:
    """What a stand-in that is written in Python holds of its own begins with an underscore."""
    return name.startswith("_") and not cls.__module__.startswith(NATIVE_MODULES)
