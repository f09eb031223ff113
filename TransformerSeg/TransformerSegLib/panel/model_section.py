"""Model: which one, what it is, whether its licence allows it, and how another one comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from TransformerSegLib.bundles.library import ModelLibrary, ModelSummary
from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.inference.data_size import data_size
from TransformerSegLib.panel.card_text import card_text
from TransformerSegLib.panel.licences import Licences
from TransformerSegLib.panel.loading import load_section
from TransformerSegLib.panel.phrases import BAD, escaped, explained, listed, sign

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle

_MOST_ROWS_SHOWN = 4


class ModelSection:
    """The searchable list, the card, the licence, and import.

    Args:
        models: the library that is listed.
        licences: which of them were acknowledged.
        read: gives a model's bundle; None while packages to read it are missing (``Session.bundle``).
        on_chosen: called when a person chose a model, acknowledged a licence, or changed the library.
    """

    def __init__(
        self,
        models: ModelLibrary,
        licences: Licences,
        read: Callable[[str], Bundle | None],
        on_chosen: Callable[[], None],
    ) -> None:
        self.widget, self._ui = load_section("Model")
        self._models, self._licences, self._read, self._on_chosen = models, licences, read, on_chosen
        self._summaries: dict[str, ModelSummary] = {}
        self._filling = False
        self._ui.importButton.setMenu(self._import_menu())
        self._ui.searchEdit.connect("textChanged(QString)", self._filter)
        self._ui.modelList.connect("currentRowChanged(int)", self._on_row)
        self._ui.licenceCheckBox.connect("clicked(bool)", self._on_licence)
        self._ui.cardButton.connect("toggled(bool)", lambda shown: self._show_card())
        self._ui.removeButton.connect("clicked(bool)", lambda checked: self._remove())
        self._ui.importFault.visible = False
        self.list_models()

    @property
    def chosen(self) -> ModelSummary | None:
        """The model that is selected."""
        item = self._ui.modelList.currentItem()
        return self._summaries.get(item.data(qt.Qt.UserRole)) if item else None

    @property
    def licence_accepted(self) -> bool:
        """True where the licence does not restrict, or was acknowledged."""
        return self.chosen is not None and self._licences.accepted(self.chosen)

    def choose(self, name: str) -> None:
        """Select a model by name, without telling anybody; the first usable one where there is none of that name."""
        names = list(self._summaries)
        usable = [summary.name for summary in self._summaries.values() if not summary.fault] or names
        wanted = name if name in names else next(iter(usable), None)
        row = names.index(wanted) if wanted is not None else -1
        if row != self._ui.modelList.currentRow:
            self._filling = True
            self._ui.modelList.setCurrentRow(row)
            self._filling = False
        self._show_chosen()

    def list_models(self) -> None:
        """Read the library again; the selected model stays selected."""
        before = self.chosen.name if self.chosen else ""
        self._summaries = {summary.name: summary for summary in self._models.summaries()}
        self._filling = True
        self._ui.modelList.clear()
        for summary in self._summaries.values():
            self._ui.modelList.addItem(self._item(summary))
        self._filling = False
        self._fit_height()
        self._ui.searchEdit.visible = len(self._summaries) > 1
        self._filter(self._ui.searchEdit.text)
        self.choose(before)

    def _item(self, summary: ModelSummary) -> qt.QListWidgetItem:
        item = qt.QListWidgetItem(f"{summary.title}\n{_row(summary)}")
        item.setData(qt.Qt.UserRole, summary.name)
        item.setToolTip(f"{summary.title}: {', '.join(summary.structures)}")
        return item

    def _fit_height(self) -> None:
        """As high as its rows, up to a few; then it scrolls."""
        rows = max(1, min(len(self._summaries), _MOST_ROWS_SHOWN))
        height = rows * max(1, self._ui.modelList.sizeHintForRow(0)) + 2 * self._ui.modelList.frameWidth
        self._ui.modelList.setFixedHeight(height)

    def _filter(self, text: str) -> None:
        words = text.lower().split()
        for row, summary in enumerate(self._summaries.values()):
            found = " ".join((summary.title, summary.name, summary.modality or "", *summary.structures)).lower()
            self._ui.modelList.item(row).setHidden(not all(word in found for word in words))

    def _on_row(self, row: int) -> None:
        if not self._filling:
            self._show_chosen()
            self._on_chosen()

    def _show_chosen(self) -> None:
        summary = self.chosen
        for widget in (self._ui.modelLabel, self._ui.cardButton):
            widget.visible = summary is not None
        self._ui.removeButton.visible = summary is not None and summary.imported
        self._ui.licenceBox.visible = summary is not None and summary.restricted and not summary.fault
        if summary is not None:
            self._ui.modelLabel.text = _details(summary)
            self._ui.licenceLabel.text = _("<b>This model's licence restricts its use:</b> {licence}").format(
                licence=escaped(summary.licence)
            )
            self._ui.licenceCheckBox.checked = self._licences.accepted(summary)
        self._show_card()

    def _show_card(self) -> None:
        summary = self.chosen
        shown = self._ui.cardButton.checked and summary is not None
        self._ui.cardBrowser.visible = shown
        if shown:
            self._ui.cardBrowser.setHtml(self._card(summary))

    def _card(self, summary: ModelSummary) -> str:
        try:
            bundle = self._read(summary.name)
        except TransformerSegError as error:
            return explained(error)
        return card_text(summary, bundle.card if bundle else None)

    def _on_licence(self, accepted: bool) -> None:
        self._licences.accept(self.chosen, accepted)
        self._on_chosen()

    def _import_menu(self) -> qt.QMenu:
        menu = qt.QMenu(self._ui.importButton)
        for text, import_ in (
            (_("From a folder …"), self._import_folder),
            (_("From a zip file …"), self._import_zip),
        ):
            action = qt.QAction(text, menu)
            action.connect("triggered(bool)", lambda checked, import_=import_: import_())
            menu.addAction(action)
        return menu

    def _import_folder(self) -> None:
        self._import(qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a MONAI bundle"), ""))

    def _import_zip(self) -> None:
        title, files = _("Zip file of a MONAI bundle"), _("Zip files (*.zip)")
        self._import(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", files))

    def _import(self, path: str) -> None:
        if not path:
            return
        self._change_library(lambda: self._models.import_bundle(path))

    def _remove(self) -> None:
        name = self.chosen.name
        question = _("Delete the model “{title}” from this computer?").format(title=self.chosen.title)
        if slicer.util.confirmOkCancelDisplay(question):
            self._change_library(lambda: self._models.remove(name))

    def _change_library(self, change: Callable[[], ModelSummary | None]) -> None:
        """Make a change, tell what prevents it below the list, and select the model that came in."""
        fault = ""
        try:
            imported = change()
        except TransformerSegError as error:
            imported, fault = None, explained(error)
        self._ui.importFault.text = fault
        self._ui.importFault.visible = bool(fault)
        self.list_models()
        if imported is not None:
            self._ui.searchEdit.clear()
            self.choose(imported.name)
        self._on_chosen()


def _row(summary: ModelSummary) -> str:
    """The second line of a row: "MR · 2 structures · 16 MB, on disk"."""
    where = _("on disk") if summary.on_disk else _("to be downloaded")
    structures = (
        summary.structures[0]
        if len(summary.structures) == 1
        else _("{number} structures").format(number=len(summary.structures))
    )
    kind = summary.modality or _("CT or MR")
    if len(summary.inputs) > 1:
        kind = _("{number} × {modality}").format(number=len(summary.inputs), modality=kind)
    return f"{kind} · {structures} · {data_size(summary.bytes)}, {where}"


def _details(summary: ModelSummary) -> str:
    if summary.fault:
        return f"{sign(BAD)} {escaped(summary.fault)}"
    return escaped(listed(summary.structures))
