"""Keys of the review: single letters, in the whole window, as long as the review is at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import qt
import slicer


class ReviewKeys:
    """Shortcuts of Slicer's main window.

    Args:
        acts: key → what it does.
    """

    def __init__(self, acts: Mapping[str, Callable[[], None]]) -> None:
        self._acts = dict(acts)
        self._shortcuts: list[qt.QShortcut] = []

    def install(self) -> None:
        """Safe to call twice."""
        window = slicer.util.mainWindow()
        if self._shortcuts or window is None:
            return
        for key, act in self._acts.items():
            shortcut = qt.QShortcut(window)
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.connect("activated()", act)
            self._shortcuts.append(shortcut)

    def remove(self) -> None:
        """Likewise."""
        for shortcut in self._shortcuts:
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
