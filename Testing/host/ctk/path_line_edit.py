"""Stand-in for ctkPathLineEdit: a path to type, with a button to choose one."""

from __future__ import annotations

from host import qt
from host.qt.native import QtCore


class ctkPathLineEdit(qt.QWidget):
    Dirs, Files = 0x001, 0x002  # QDir's filters, of which these two decide which dialog is opened

    currentPathChanged = QtCore.Signal(str)

    _line = None
    _filters = Files
    _name_filters: tuple = ()

    def __init__(self, parent=None):
        super().__init__(*([] if parent is None else [parent]))
        self._line = qt.QLineEdit()
        browse = qt.QToolButton()
        browse.text = "…"
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        layout.addWidget(browse)
        self._line.textChanged.connect(self.currentPathChanged.emit)
        browse.clicked.connect(self.browse)

    def browse(self, *_checked) -> None:
        dialogs = qt.QFileDialog
        choose = dialogs.getExistingDirectory if self._filters & self.Dirs else dialogs.getOpenFileName
        path = choose(self, "Select a file", self.currentPath)
        if path:
            self.currentPath = path

    def _get_path(self) -> str:
        return self._line.text

    def setCurrentPath(self, path: str) -> None:
        self._line.text = path

    currentPath = QtCore.Property(str, _get_path, setCurrentPath)

    def _get_filters(self) -> int:
        return self._filters

    def _set_filters(self, filters: int) -> None:
        self._filters = filters

    filters = QtCore.Property(int, _get_filters, _set_filters)

    def _get_name_filters(self) -> list:
        return list(self._name_filters)

    def _set_name_filters(self, filters: list) -> None:
        self._name_filters = tuple(filters)

    nameFilters = QtCore.Property("QStringList", _get_name_filters, _set_name_filters)
