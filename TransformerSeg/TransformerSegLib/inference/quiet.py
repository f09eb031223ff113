"""Keeps what C++ libraries print from the user, and shows it to the caller."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_STDERR = 2
_LOCK = threading.RLock()
"""Two threads that redirect at a time could restore each other's redirection, and leave standard error lost."""


def run_quietly(call: Callable[[], Result]) -> tuple[Result, str]:
    """Call something that prints to the process's standard error from below Python (ITK, GDCM, OpenJPEG, MetaIO).

    The redirection is the process's own: what other threads print to standard error meanwhile is caught as well.

    One thread at a time: others wait.

    Returns:
        what the call returned, and what was printed.
    """
    with _LOCK:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            saved = os.dup(_STDERR)
        except OSError:  # a window program on Windows may have no standard error: nothing can be printed there
            return call(), ""
        with tempfile.TemporaryFile() as printed:
            os.dup2(printed.fileno(), _STDERR)
            try:
                result = call()
            finally:
                os.dup2(saved, _STDERR)
                os.close(saved)
            printed.seek(0)
            return result, printed.read().decode(errors="replace")
