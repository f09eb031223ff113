"""The list of models: what each is for, how large it is, and where it lies; searchable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import qt
from slicer.i18n import tr as _

from TransformerSegLib.bundles.library import ModelSummary
from TransformerSegLib.inference.data_size import data_size

_MOST_ROWS_SHOWN = 4


class ModelList:
    """Rows of two lines, and the line to search by.

    Args:
        ui: has ``modelList`` and ``searchEdit``.
        on_chosen: called when a person chose another row.
    """

    def __init__(self, ui: SimpleNamespace, on_chosen: Callable[[], None]) -> None:
        self._list, self._search, self._on_chosen = ui.modelList, ui.searchEdit, on_chosen
        self._summaries: dict[str, ModelSummary] = {}
        self._filling = False
        self._search.connect("textChanged(QString)", self._filter)
        self._list.connect("currentRowChanged(int)", self._on_row)

    @property
    def chosen(self) -> ModelSummary | None:
        """The model that is selected."""
        item = self._list.currentItem()
        return self._summaries.get(item.data(qt.Qt.UserRole)) if item else None

    def fill(self, summaries: Sequence[ModelSummary]) -> None:
        """List these; the selected model stays selected."""
        before = self.chosen.name if self.chosen else ""
        self._summaries = {summary.name: summary for summary in summaries}
        self._filling = True
        self._list.clear()
        for summary in summaries:
            self._list.addItem(_item(summary))
        self._filling = False
        self._fit_height()
        self._search.visible = len(summaries) > 1
        self._filter(self._search.text)
        self.choose(before)

    def choose(self, name: str) -> None:
        """Select a model by name, without telling anybody; where there is none of that name the first that can be
        used at once."""
        names = list(self._summaries)
        usable = [summary.name for summary in self._summaries.values() if summary.on_disk and not summary.fault]
        wanted = name if name in names else next(iter(usable or names), None)
        row = names.index(wanted) if wanted is not None else -1
        if row != self._list.currentRow:
            self._filling = True
            self._list.setCurrentRow(row)
            self._filling = False

    def show_all(self) -> None:
        """Search for nothing."""
        self._search.clear()

    def _fit_height(self) -> None:
        """As high as its rows, up to a few; then it scrolls."""
        rows = max(1, min(len(self._summaries), _MOST_ROWS_SHOWN))
        self._list.setFixedHeight(rows * max(1, self._list.sizeHintForRow(0)) + 2 * self._list.frameWidth)

    def _filter(self, text: str) -> None:
        words = text.lower().split()
        for row, summary in enumerate(self._summaries.values()):
            found = " ".join((summary.title, summary.name, summary.modality or "", *summary.structures)).lower()
            self._list.item(row).setHidden(not all(word in found for word in words))

    def _on_row(self, row: int) -> None:
        if not self._filling:
            self._on_chosen()


def _item(summary: ModelSummary) -> qt.QListWidgetItem:
    item = qt.QListWidgetItem(f"{summary.title}\n{_row(summary)}")
    item.setData(qt.Qt.UserRole, summary.name)
    item.setToolTip(f"{summary.title}: {', '.join(summary.structures)}")
    return item


def _row(summary: ModelSummary) -> str:
    """The second line of a row: "MR · 2 structures · 16 MB, on disk"."""
    structures = (
        summary.structures[0]
        if len(summary.structures) == 1
        else _("{number} structures").format(number=len(summary.structures))
    )
    kind = summary.modality or _("CT or MR")
    if len(summary.inputs) > 1:
        kind = _("{number} × {modality}").format(number=len(summary.inputs), modality=kind)
    return f"{kind} · {structures} · {_where(summary)}"


def _where(summary: ModelSummary) -> str:
    if summary.on_disk:
        return _("{size}, on disk").format(size=data_size(summary.bytes))
    size = data_size(summary.bytes) if summary.bytes else _("size unknown")
    return _("to be downloaded, {size}").format(size=size)
