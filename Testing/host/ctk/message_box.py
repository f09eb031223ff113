"""Stand-in for ctkMessageBox, which ``slicer.util.messageBox`` makes: a message that can be told not to come again."""

from __future__ import annotations

from host import qt
from host.qt.native import QtCore


class ctkMessageBox(qt.QMessageBox):
    _settings_key = ""

    def _get_key(self) -> str:
        return self._settings_key

    def setDontShowAgainSettingsKey(self, key: str) -> None:
        self._settings_key = key

    dontShowAgainSettingsKey = QtCore.Property(str, _get_key, setDontShowAgainSettingsKey)
