"""Where models lie on this computer, and how much they take: shown, moved, emptied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from TransformerSegLib.bundles.library import ModelLibrary
from TransformerSegLib.inference.data_size import data_size
from TransformerSegLib.panel.loading import load_section
from TransformerSegLib.panel.phrases import breakable


class ModelsFolder:
    """One line that unfolds.

    Args:
        models: the library whose folder it is.
        on_move: called with the folder that a person chose, once they have confirmed it.
        on_empty: called when a person has confirmed that the downloaded models may go.
    """

    def __init__(self, models: ModelLibrary, on_move: Callable[[Path], None], on_empty: Callable[[], None]) -> None:
        self.widget, self._ui = load_section("ModelsFolder")
        self._models, self._on_move, self._on_empty = models, on_move, on_empty
        self._ui.folderButton.connect("toggled(bool)", self._unfold)
        self._ui.openFolderButton.connect("clicked(bool)", lambda checked: self._open())
        self._ui.moveFolderButton.connect("clicked(bool)", lambda checked: self._move())
        self._ui.emptyFolderButton.connect("clicked(bool)", lambda checked: self._empty())
        self._unfold(False)
        self._reason = ""
        self.show_size()

    def show_size(self) -> None:
        """Measure the folder again."""
        size, self._downloaded = self._models.bytes_on_disk(), self._models.downloaded_bytes()
        self._ui.folderButton.text = _("Models on this computer: {size}").format(
            size=data_size(size) if size else _("none added")
        )
        self._ui.folderPath.text = breakable(str(self._models.folder))
        self._show_buttons()

    def show_reason(self, reason: str) -> None:
        """Why the folder has to stay as it is now; "": it may be moved and emptied."""
        self._reason = reason
        self._show_buttons()

    def _show_buttons(self) -> None:
        nothing = "" if self._downloaded else _("Nothing was downloaded")
        move, empty = self._ui.moveFolderButton, self._ui.emptyFolderButton
        move.enabled, empty.enabled = not self._reason, not (self._reason or nothing)
        move.toolTip = self._reason or _("Move the models to another folder, or to another disk.")
        empty.toolTip = self._reason or nothing or _("Delete the downloaded models; those that you imported stay.")

    def _unfold(self, shown: bool) -> None:
        self._ui.folderBox.visible = shown
        self._ui.folderButton.arrowType = qt.Qt.DownArrow if shown else qt.Qt.RightArrow

    def _open(self) -> None:
        self._models.folder.mkdir(parents=True, exist_ok=True)
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._models.folder)))

    def _move(self) -> None:
        title = _("Folder for models")
        chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, str(self._models.folder))
        if not chosen or Path(chosen) == self._models.folder:
            return
        question = _("Move the models ({size}) to {folder}, and keep new ones there?").format(
            size=data_size(self._models.bytes_on_disk()), folder=chosen
        )
        if slicer.util.confirmOkCancelDisplay(question):
            self._on_move(Path(chosen))

    def _empty(self) -> None:
        question = _(
            "Delete the downloaded models from this computer ({size})?\n\nThey can be downloaded again. Models that "
            "you imported stay."
        ).format(size=data_size(self._downloaded))
        if slicer.util.confirmOkCancelDisplay(question):
            self._on_empty()
