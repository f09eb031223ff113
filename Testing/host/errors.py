"""What callbacks raised. Qt and VTK cannot pass a Python error on: they print it and go on, and so does Slicer. A test
must not."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable


class CallbackErrors:
    """Collects, between ``listen`` and ``stop``, what is raised in slots, timers, events and observers."""

    def __init__(self):
        self.unreported: list[BaseException] = []
        self._before = None

    def listen(self) -> None:
        self._before = sys.excepthook
        sys.excepthook = self._record

    def stop(self) -> None:
        sys.excepthook = self._before

    def run(self, function: Callable, default):
        """Call a function, keeping what it raises."""
        try:
            return function()
        except BaseException as error:
            self.unreported.append(error)
            return default

    def raise_first(self) -> None:
        """Raise the first error that nobody has seen yet, with those that followed as notes."""
        if not self.unreported:
            return
        first, *others = self.unreported
        self.unreported.clear()
        for other in others:
            first.add_note("And then: " + "".join(traceback.format_exception_only(other)).strip())
        raise first

    def _record(self, kind, error: BaseException, trace) -> None:
        self.unreported.append(error.with_traceback(trace))
        sys.__excepthook__(kind, error, trace)
