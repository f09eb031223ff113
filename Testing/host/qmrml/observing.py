"""Observers of MRML objects that end with the widget that made them."""

from __future__ import annotations

from typing import ClassVar
from weakref import WeakMethod, WeakSet

from shiboken6 import isValid


class Observers:
    """Calls a widget's methods on events, without keeping the widget alive."""

    _all: ClassVar[WeakSet[Observers]] = WeakSet()

    def __init__(self):
        self._tags: list[tuple[object, int]] = []
        Observers._all.add(self)

    @classmethod
    def clear_all(cls) -> None:
        """To be called before a scene ends: one that Python's garbage collector takes apart must not call back."""
        for observers in list(cls._all):
            observers.clear()

    def add(self, observed, event, method) -> None:
        reference = WeakMethod(method)

        def call(_caller, _event) -> None:
            bound = reference()
            if bound is not None and isValid(bound.__self__):
                bound()

        self._tags.append((observed, observed.AddObserver(event, call)))

    def clear(self) -> None:
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags = []
