"""Model: which one, what it is, whether its licence allows it, and how another one comes in."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import qt
import slicer
from slicer.i18n import tr as _

from TransformerSegLib.bundles.library import ModelSummary
from TransformerSegLib.bundles.recorded_hashes import recorded_hash
from TransformerSegLib.bundles.sources import CHECKPOINTS
from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.inference.data_size import data_size
from TransformerSegLib.jobs.job import JobState
from TransformerSegLib.panel.card_text import card_text
from TransformerSegLib.panel.change_row import ChangeRow, is_worth_reading
from TransformerSegLib.panel.dropping import DropTarget
from TransformerSegLib.panel.library_work import Change, Kind, LibraryWork
from TransformerSegLib.panel.licences import Licences
from TransformerSegLib.panel.loading import load_section
from TransformerSegLib.panel.model_list import ModelList
from TransformerSegLib.panel.models_folder import ModelsFolder
from TransformerSegLib.panel.phrases import BAD, breakable, escaped, explained, listed, sign

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle

ARCHIVES = (".zip",)

_CLOCK_MS = 1000
"""How often rows are brought up to date of which nothing is heard: a network that is silent is to be seen so."""


class ModelSection:
    """The list, the card, the licence; what brings models in, and what takes them away.

    Args:
        work: changes the library.
        licences: which of them were acknowledged.
        read: gives a model's bundle; None while packages to read it are missing (``Session.bundle``).
        prepare: loads what it takes to check a model; whether that is there.
        on_chosen: called when a person chose a model, acknowledged a licence, or the library changed.
        on_moved: called when the models lie in another folder.
    """

    def __init__(
        self,
        work: LibraryWork,
        licences: Licences,
        read: Callable[[str], Bundle | None],
        prepare: Callable[[], bool],
        on_chosen: Callable[[], None],
        on_moved: Callable[[], None],
    ) -> None:
        self.widget, self._ui = load_section("Model")
        self._work, self._licences, self._read, self._prepare = work, licences, read, prepare
        self._on_chosen, self._on_moved = on_chosen, on_moved
        self._choices = 0  # how often a person has chosen
        self._rows: dict[Change, ChangeRow] = {}
        self._list = ModelList(self._ui, self._on_row)
        self._folder = ModelsFolder(work.models, self._move, self._empty)
        self._ui.folderAreaLayout.addWidget(self._folder.widget)
        self._dropping = DropTarget(self.widget, _is_offered, self._import_all)
        self._clock = qt.QTimer()
        self._clock.setInterval(_CLOCK_MS)
        self._clock.connect("timeout()", self._tick)
        self._ui.importButton.setMenu(self._import_menu())
        self._ui.changesArea.visible = False
        self._ui.licenceCheckBox.connect("clicked(bool)", self._on_licence)
        self._ui.cardButton.connect("toggled(bool)", lambda shown: self._show_card())
        self._ui.downloadButton.connect("clicked(bool)", lambda checked: self._download())
        self._ui.exportModelButton.connect("clicked(bool)", lambda checked: self._export())
        self._ui.removeButton.connect("clicked(bool)", lambda checked: self._remove())
        self.list_models()

    @property
    def chosen(self) -> ModelSummary | None:
        """The model that is selected."""
        return self._list.chosen

    @property
    def licence_accepted(self) -> bool:
        """True where the licence does not restrict, or was acknowledged."""
        return self.chosen is not None and self._licences.accepted(self.chosen)

    @property
    def change(self) -> Change | None:
        """What has to be waited for before the selected model can be used; None: nothing."""
        name = self.chosen.name if self.chosen else ""
        of_it = (Kind.DOWNLOAD, Kind.REMOVE)
        changes = (change for change in self._work.changes if change.of_all or change.kind in of_it)
        return next((change for change in changes if change.of_all or change.model == name), None)

    def choose(self, name: str) -> None:
        """Select a model by name, without telling anybody; the first usable one where there is none of that name."""
        self._list.choose(name)
        self._show_chosen()

    def list_models(self) -> None:
        """Read the library again; the selected model stays selected."""
        self._list.fill(self._work.models.summaries())
        self._folder.show_size()
        self._show_chosen()

    def import_bundle(self, folder: Path) -> None:
        """Bring a bundle into the list, and choose it."""
        self._import_all([folder])

    def show_runs(self, running: bool) -> None:
        """Whether something is segmented: then the models stay where they are."""
        reason = ""
        if running:
            reason = _("Wait until the segmentation has ended")
        elif self._work.changes:
            reason = _("Wait until the models are no longer changed")
        self._folder.show_reason(reason)

    def close(self) -> None:
        """Take no drops any more, and let go of the timer."""
        self._dropping.close_target()
        self._clock.stop()

    # The selected model

    def _on_row(self) -> None:
        self._choices += 1
        self._show_chosen()
        self._on_chosen()

    def _show_chosen(self) -> None:
        summary = self.chosen
        for widget in (self._ui.modelLabel, self._ui.cardButton):
            widget.visible = summary is not None
        usable = summary is not None and not summary.fault
        self._ui.removeButton.visible = summary is not None and _is_removable(summary)
        self._ui.exportModelButton.visible = usable and summary.on_disk
        self._ui.licenceBox.visible = usable and summary.restricted
        if summary is not None:
            self._ui.modelLabel.text = _details(summary)
            self._ui.licenceLabel.text = _licence(summary)
            self._ui.licenceCheckBox.checked = self._licences.accepted(summary)
        self._show_download()
        self._show_card()

    def _show_download(self) -> None:
        summary = self.chosen
        offered = summary is not None and not summary.on_disk and summary.downloadable and not self._row_of(summary)
        self._ui.downloadBox.visible = offered
        if not offered:
            return
        size = _("about {size}").format(size=data_size(summary.bytes)) if summary.bytes else _("size unknown")
        if fetched := self._work.models.fetched_bytes(summary.name):
            size = _("{size}, of which {fetched} came already").format(size=size, fetched=data_size(fetched))
        self._ui.downloadLabel.text = _("<b>Not on this computer yet:</b> {size}, from {server}").format(
            size=size, server=breakable(escaped(urlsplit(summary.source).hostname))
        )
        self._ui.downloadLabel.toolTip = summary.source
        self._ui.downloadButton.text = _("Download the rest") if fetched else _("Download")
        accepted = self.licence_accepted
        self._ui.downloadButton.enabled = accepted
        self._ui.downloadButton.toolTip = (
            _("Nothing is downloaded before you press this; nothing is sent.")
            if accepted
            else _("Read and acknowledge the licence first")
        )

    def _row_of(self, summary: ModelSummary) -> ChangeRow | None:
        """Where its download, or what became of that, is shown already."""
        return next((row for change, row in self._rows.items() if change.model == summary.name), None)

    def _show_card(self) -> None:
        summary = self.chosen
        shown = self._ui.cardButton.checked and summary is not None
        self._ui.cardBrowser.visible = shown
        if shown:
            self._ui.cardBrowser.setHtml(self._card(summary))

    def _card(self, summary: ModelSummary) -> str:
        try:
            bundle = self._read(summary.name) if summary.on_disk else None
        except TransformerSegError as error:
            return explained(error)
        return card_text(summary, bundle, self._recorded(summary))

    def _recorded(self, summary: ModelSummary) -> str:
        """SHA-256 of what was downloaded."""
        try:
            return recorded_hash(self._work.models.folder, summary.source) or "" if summary.source else ""
        except TransformerSegError:  # told where something is downloaded
            return ""

    def _on_licence(self, accepted: bool) -> None:
        self._licences.accept(self.chosen, accepted)
        self._show_download()
        self._on_chosen()

    # What changes the library

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
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of a MONAI bundle"), "")
        self._import_all([Path(path)] if path else [])

    def _import_zip(self) -> None:
        title, files = _("Zip file of a MONAI bundle"), _("Zip files (*.zip)")
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", files)
        self._import_all([Path(path)] if path else [])

    def _import_all(self, paths: Sequence[Path]) -> None:
        if paths and self._prepare():
            for path in paths:
                self._work.import_bundle(path, self._follow())

    def _download(self) -> None:
        if self._prepare():
            self._work.download(self.chosen, self._follow())

    def _export(self) -> None:
        title, files = _("Export the model “{title}”").format(title=self.chosen.title), _("Zip files (*.zip)")
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, f"{self.chosen.name}.zip", files)
        if path:
            archive = path if path.lower().endswith(ARCHIVES) else f"{path}.zip"
            self._work.export(self.chosen, Path(archive), self._follow())

    def _remove(self) -> None:
        question = _("Delete the model “{title}” from this computer?").format(title=self.chosen.title)
        if slicer.util.confirmOkCancelDisplay(question):
            self._work.remove(self.chosen, self._follow())

    def _move(self, folder: Path) -> None:
        self._work.move_to(folder, self._follow())

    def _empty(self) -> None:
        self._work.empty(self._follow())

    def _again(self, change: Change) -> None:
        self._work.again(change, self._follow())

    def _follow(self) -> Callable[[Change], None]:
        """To be called whenever something of a change changed that begins now."""
        choices = self._choices
        self._close_finished()

        def follow(change: Change) -> None:
            self._show_change(change)
            if change.finished:
                self._take_over(change, nothing_else_chosen=choices == self._choices)
            elif change.state is JobState.QUEUED:
                self._on_chosen()

        return follow

    def _take_over(self, change: Change, nothing_else_chosen: bool) -> None:
        """List what is there now, and select what came in, unless the person has chosen something else since."""
        self.list_models()
        came_in = change.state is JobState.DONE and change.kind in (Kind.DOWNLOAD, Kind.IMPORT)
        if came_in and nothing_else_chosen:
            if change.kind is Kind.IMPORT:
                self._list.show_all()
            self.choose(change.result.name)
        if change.state is JobState.DONE and change.kind is Kind.MOVE:
            self._on_moved()
        self._on_chosen()

    # Rows of what goes on

    def _show_change(self, change: Change) -> None:
        if change.finished and not is_worth_reading(change):
            self._close_row(change)
        elif change in self._rows:
            self._rows[change].update()
        else:
            self._rows[change] = ChangeRow(change, self._work.cancel, self._again, self._close_row)
            self._ui.changesLayout.addWidget(self._rows[change].widget)
            self._ui.changesArea.visible = True
            self._clock.start()
        self._show_download()

    def _tick(self) -> None:
        for change, row in self._rows.items():
            if not change.finished:
                row.update()
        if not self._work.changes:
            self._clock.stop()

    def _close_row(self, change: Change) -> None:
        row = self._rows.pop(change, None)
        if row is not None:
            row.widget.hide()
            self._ui.changesLayout.removeWidget(row.widget)
            row.widget.deleteLater()
        self._ui.changesArea.visible = bool(self._rows)  # empty, it would take its share of spacing
        self._show_download()

    def _close_finished(self) -> None:
        """Who begins something else has read what came of it."""
        for change in [change for change in self._rows if change.finished]:
            self._close_row(change)


def _is_offered(path: Path) -> bool:
    """Whether what is dragged may be a model: what is not is Slicer's to load."""
    return path.is_dir() or path.suffix.lower() in (*ARCHIVES, *CHECKPOINTS)


def _is_removable(summary: ModelSummary) -> bool:
    """Imported and downloaded models may go; embedded ones are part of the extension."""
    return summary.imported or (summary.downloadable and summary.on_disk)


def _licence(summary: ModelSummary) -> str:
    """With a link to its text, where the list of published models, which ships with the library, names its address."""
    words = _("<b>Licence, which restricts the use:</b> {licence}").format(licence=escaped(summary.licence))
    if not summary.licence_address:
        return words
    address = html.escape(summary.licence_address)
    return f'{words}<br><a href="{address}">{_("Read it in your browser")}</a>'


def _details(summary: ModelSummary) -> str:
    if summary.fault:
        return f"{sign(BAD)} {escaped(summary.fault)}"
    return escaped(listed(summary.structures))
