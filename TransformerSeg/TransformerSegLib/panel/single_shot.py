"""A timer that calls once."""

from __future__ import annotations

from collections.abc import Callable

import qt


def single_shot(milliseconds: int, called: Callable[[], None]) -> qt.QTimer:
    """Calls once, that long after ``start``; starting again puts it off."""
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", called)
    return timer
