"""Files and folders that are dragged from the system's file manager onto a part of the panel.

An event filter, as Slicer's own DICOM module has one for its window: of a Qt object's virtual functions, PythonQt lets
Python override those of objects that Python made, and the panel's widgets are made by their ``.ui`` files. What no
widget takes goes on to Slicer's window, which loads it as data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import qt


class DropTarget(qt.QWidget):
    """Takes what is dropped on a widget, or on any part of it that takes no drops itself.

    Args:
        widget: accepts drops from now on.
        wanted: whether a path is one to take; asked while something is dragged over the widget.
        on_dropped: called with the paths that are wanted, once the drop is over.
    """

    def __init__(
        self, widget: qt.QWidget, wanted: Callable[[Path], bool], on_dropped: Callable[[Sequence[Path]], None]
    ) -> None:
        super().__init__()
        self._wanted, self._on_dropped = wanted, on_dropped
        self._dropped: list[Path] = []
        self._after = qt.QTimer()  # the file manager waits for the drop's end, which must not wait for a dialog
        self._after.setSingleShot(True)
        self._after.connect("timeout()", self._take)
        widget.setAcceptDrops(True)
        widget.installEventFilter(self)

    def eventFilter(self, watched: qt.QObject, event: qt.QEvent) -> bool:  # noqa: N802
        """Called by Qt with every event of the widget; True: it goes no further."""
        if event.type() not in (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop):
            return False
        paths = [path for path in _paths(event.mimeData()) if self._wanted(path)]
        if not paths:
            event.ignore()
            return True
        event.acceptProposedAction()
        if event.type() == qt.QEvent.Drop:
            self._dropped += paths
            self._after.start(0)
        return True

    def close_target(self) -> None:
        """Take nothing any more."""
        self._after.stop()
        self._dropped.clear()

    def _take(self) -> None:
        paths, self._dropped = self._dropped, []
        self._on_dropped(paths)


def _paths(dragged: qt.QMimeData) -> list[Path]:
    """Of the files and folders of this computer among what is dragged."""
    files = (url.toLocalFile() for url in dragged.urls())
    return [Path(file) for file in files if file]
