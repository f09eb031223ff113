"""Result: where the segments go, and which structures are wanted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import qt
from slicer.i18n import tr as _

from TransformerSegLib.panel.loading import load_section
from TransformerSegLib.panel.phrases import listed

_MOST_ROWS_SHOWN = 8


class ResultSection:
    """The segmentation, and a checklist of structures behind one line that sums it up.

    Args:
        on_structures: called when a person ticked or cleared structures.
    """

    def __init__(self, on_structures: Callable[[], None]) -> None:
        self.widget, self._ui = load_section("Result")
        self._on_structures = on_structures
        self._names: tuple[str, ...] = ()
        self._filling = False
        self._ui.structuresArea.visible = False
        self._ui.structuresButton.connect("toggled(bool)", self._unfold)
        self._ui.structuresList.connect("itemChanged(QListWidgetItem*)", self._on_item)
        self._ui.allButton.connect("clicked(bool)", lambda checked: self._tick_all(True))
        self._ui.noneButton.connect("clicked(bool)", lambda checked: self._tick_all(False))

    @property
    def unwanted(self) -> list[str]:
        """Names of the structures that are not ticked."""
        return [name for name, item in self._items() if item.checkState() != qt.Qt.Checked]

    def show_structures(self, names: Sequence[str], unwanted: Collection[str]) -> None:
        """The model's structures; all ticked but the unwanted."""
        self._filling = True
        if tuple(names) != self._names:
            self._names = tuple(names)
            self._ui.structuresList.clear()
            for name in names:
                item = qt.QListWidgetItem(name)
                item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
                item.setCheckState(qt.Qt.Checked)
                item.setToolTip(name)
                self._ui.structuresList.addItem(item)
            self._fit_height()
        for name, item in self._items():
            state = qt.Qt.Unchecked if name in unwanted else qt.Qt.Checked
            if item.checkState() != state:
                item.setCheckState(state)
        self._filling = False
        self._sum_up()

    def show_target(self, chosen: bool) -> None:
        """Into an existing segmentation: what becomes of what is in it."""
        self._ui.keptLabel.visible = chosen
        self._ui.keptLabel.text = _(
            "Segments that nobody changed are replaced. Changed, drawn and completed ones are kept; "
            "the new ones come beside them."
        )

    def _items(self) -> list[tuple[str, qt.QListWidgetItem]]:
        return [(name, self._ui.structuresList.item(row)) for row, name in enumerate(self._names)]

    def _fit_height(self) -> None:
        rows = max(1, min(len(self._names), _MOST_ROWS_SHOWN))
        height = rows * max(1, self._ui.structuresList.sizeHintForRow(0)) + 2 * self._ui.structuresList.frameWidth
        self._ui.structuresList.setFixedHeight(height)

    def _unfold(self, shown: bool) -> None:
        self._ui.structuresArea.visible = shown
        self._ui.structuresButton.arrowType = qt.Qt.DownArrow if shown else qt.Qt.RightArrow

    def _on_item(self, item: qt.QListWidgetItem) -> None:
        if not self._filling:
            self._sum_up()
            self._on_structures()

    def _tick_all(self, ticked: bool) -> None:
        self.show_structures(self._names, () if ticked else self._names)
        self._on_structures()

    def _sum_up(self) -> None:
        unwanted = set(self.unwanted)
        wanted = [name for name in self._names if name not in unwanted]
        if not wanted:
            words = _("Nothing: tick a structure")
        elif not unwanted:
            words = _all_of(wanted)
        elif len(wanted) <= 2 and sum(map(len, wanted)) < 40:
            words = listed(wanted)
        else:
            words = _("{number} of {all} structures").format(number=len(wanted), all=len(self._names))
        self._ui.structuresButton.text = words


def _all_of(names: Sequence[str]) -> str:
    if len(names) > 2:
        return _("All {number} structures").format(number=len(names))
    return _("Both structures") if len(names) == 2 else names[0]
