"""What Qt itself has to say."""

from __future__ import annotations

import sys

from host.qt.native import QtCore

_UNTRUE_OF_SLICER = ("This plugin does not support propagateSizeHints()",)
"""What Qt says of having no screen."""


def quieten() -> None:
    """Let Qt's warnings go to the standard error, but for those that come of having no screen."""
    QtCore.qInstallMessageHandler(_show)


def _show(_kind, _context, message: str) -> None:
    if message not in _UNTRUE_OF_SLICER:
        print(f"Qt: {message}", file=sys.stderr)
