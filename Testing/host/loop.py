"""Qt's event loop, entered with Python's global lock held, as it is in Slicer.

PySide releases the lock whenever its loop runs, so that every thread of Python works on while the user does nothing.
PythonQt does not: a thread gets the lock only when code on the main thread runs that gives it away. ``ctypes.PyDLL``
calls Qt's own functions without releasing it.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import PySide6
from shiboken6 import Shiboken

from host.errors import CallbackErrors
from host.qt.native import QtCore

SOON = 10  # milliseconds between the first checks
LATER = 100  # milliseconds between those that follow
FIRST_CHECKS = 10
"""Every check runs Python on the main thread, where a waiting thread may take the lock for some 5 ms. Rare checks keep
that small: an idle loop then leaves a thread about a tenth of its time. (PythonQt keeps the lock while Python calls
Qt, PySide does not, hence a check calls nothing of Qt's.)"""

_EXEC = "_ZN10QEventLoop4execE6QFlagsINS_17ProcessEventsFlagEE"
_PROCESS_EVENTS = "_ZN16QCoreApplication13processEventsE6QFlagsIN10QEventLoop17ProcessEventsFlagEE"


@cache
def _qt_core() -> ctypes.PyDLL:
    folder = Path(PySide6.__file__).parent / "Qt" / "lib"
    library = ctypes.PyDLL(str(next(folder.glob("libQt6Core.so*"))))
    getattr(library, _EXEC).argtypes = (ctypes.c_void_p, ctypes.c_int)
    getattr(library, _PROCESS_EVENTS).argtypes = (ctypes.c_int,)
    return library


def process_pending() -> None:
    """Handle what is waiting, once."""
    getattr(_qt_core(), _PROCESS_EVENTS)(0)


def run(seconds: float, errors: CallbackErrors) -> None:
    """Let the loop run for that long. Raises what a callback raised."""
    end = time.monotonic() + seconds
    _run_until(lambda: time.monotonic() >= end, errors)
    errors.raise_first()


def run_until(condition: Callable[[], bool], seconds: float, errors: CallbackErrors) -> None:
    """Let the loop run until the condition holds.

    Raises:
        TimeoutError: It did not within ``seconds``.
        BaseException: What the condition or a callback raised, at once.
    """
    end = time.monotonic() + seconds
    held = False

    def done() -> bool:
        nonlocal held
        held = bool(condition())
        return held or time.monotonic() >= end

    _run_until(done, errors)
    errors.raise_first()
    if not held:
        raise TimeoutError(f"What was waited for did not happen within {seconds:g} s.")


def _run_until(done: Callable[[], bool], errors: CallbackErrors) -> None:
    if errors.unreported or errors.run(done, default=True):
        process_pending()
        return
    loop = QtCore.QEventLoop()
    timer = QtCore.QTimer()
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if errors.unreported or errors.run(done, default=True):
            loop.quit()
        elif checks == FIRST_CHECKS:
            timer.setInterval(LATER)

    timer.timeout.connect(check)
    timer.start(SOON)
    getattr(_qt_core(), _EXEC)(Shiboken.getCppPointer(loop)[0], 0)
    timer.timeout.disconnect(check)
    timer.stop()
