"""Segments: a row for each, with its volume, that follows every correction."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.inference.statistics import Statistics
from TransformerSegLib.panel.empty_segments import reason_for_empty
from TransformerSegLib.panel.loading import icon, load_section
from TransformerSegLib.panel.phrases import GOOD, escaped, explained, listed, sign
from TransformerSegLib.panel.segment_rows import COMPLETED, FLAGGED, SegmentRow, as_tab_separated, write_csv
from TransformerSegLib.scene.display import is_visible, set_visible
from TransformerSegLib.scene.doubt_record import doubt_record
from TransformerSegLib.scene.made import Maker, refresh_makers
from TransformerSegLib.scene.segment_watcher import SegmentWatcher
from TransformerSegLib.scene.sign_off import Status, status_of
from TransformerSegLib.scene.statistics import segment_statistics_of

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

_EYE, _NAME, _VOLUME, _MEAN, _CHECK = range(5)
_STATUS_MARKS = {Status.COMPLETED: COMPLETED, Status.FLAGGED: FLAGGED}
_MOST_ROWS_SHOWN = 10
_SWATCH_PIXELS = 12

_HOUNSFIELD = "[hnsf'U]"
"""The unit's name in UCUM, by which DICOM goes."""

_TICK_MS = 20
"""Between two steps; each measures one segment, so that the window stays responsive with a hundred of them."""


class TableSection:
    """The segments of one segmentation.

    Args:
        on_chosen: called with the id of the segment that a person clicked.
        on_changed: called with the ids of segments that somebody changed, from within what changes them.
    """

    def __init__(self, on_chosen: Callable[[str], None], on_changed: Callable[[set[str]], None]) -> None:
        self.widget, self._ui = load_section("Table")
        self._on_chosen, self._tell_changed = on_chosen, on_changed
        self._node: vtkMRMLSegmentationNode | None = None
        self._volume: vtkMRMLScalarVolumeNode | None = None
        self._watcher: SegmentWatcher | None = None
        self._observed = VTKObservationMixin()
        self._rows: dict[str, SegmentRow] = {}
        self._dice: Mapping[str, float] = {}
        self._changed: set[str] = set()
        self._to_measure: list[str] = []
        self._to_judge: set[str] = set()
        self._filling = self._display_changed = False
        self._eyes = {True: icon("Visible"), False: icon("Hidden")}
        self._tick = qt.QTimer()
        self._tick.setInterval(_TICK_MS)
        self._tick.connect("timeout()", self._next_step)
        self._set_up_table()
        self._ui.copyTableButton.connect("clicked(bool)", lambda checked: self._copy())
        self._ui.exportButton.connect("clicked(bool)", lambda checked: self._export())
        self._list({})

    @property
    def rows(self) -> tuple[SegmentRow, ...]:
        """What the table shows."""
        return tuple(self._rows.values())

    @property
    def node(self) -> vtkMRMLSegmentationNode | None:
        """The segmentation whose segments are shown."""
        return self._node

    @property
    def volume(self) -> vtkMRMLScalarVolumeNode | None:
        """In which the mean intensities are measured."""
        return self._volume

    def show(
        self,
        node: vtkMRMLSegmentationNode | None,
        volume: vtkMRMLScalarVolumeNode | None,
        figures: Mapping[str, Statistics] | None = None,
    ) -> None:
        """List a segmentation's segments; None: there is none.

        Args:
            volume: in which the mean intensities are measured.
            figures: those that are known already, by segment id; the others are measured one by one.
        """
        if node is self._node and volume is self._volume and figures is None:
            return
        self._let_go()
        self._node, self._volume = node, volume
        if node is not None:
            self._watcher = SegmentWatcher(node, self._on_changed)
            self._observe()
        self._list(figures or {})

    def choose(self, segment_id: str) -> None:
        """Choose a row, as a person would."""
        if segment_id in self._rows:
            self._ui.segmentTable.setCurrentCell(list(self._rows).index(segment_id), _NAME)

    def close(self) -> None:
        """Let go of the nodes."""
        self.show(None, None)

    def _let_go(self) -> None:
        self._tick.stop()
        self._changed, self._to_measure, self._to_judge, self._rows = set(), [], set(), {}
        self._display_changed = False
        self._observed.removeObservers()
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def _observe(self) -> None:
        """What the watcher of segments does not tell."""
        node, volume = self._node, self._volume
        self._observed.addObserver(node, node.DisplayModifiedEvent, self._on_display)
        self._observed.addObserver(node, node.TransformModifiedEvent, self._on_volume)
        if volume is not None:
            for event in (vtk.vtkCommand.ModifiedEvent, volume.ImageDataModifiedEvent, volume.TransformModifiedEvent):
                self._observed.addObserver(volume, event, self._on_volume)

    def _set_up_table(self) -> None:
        table = self._ui.segmentTable
        table.setColumnCount(5)
        table.setHorizontalHeaderLabels(["", _("Segment"), _("mL"), _("Mean"), _("Check")])
        table.horizontalHeaderItem(_MEAN).setToolTip(_("Mean intensity of the volume inside the segment"))
        table.horizontalHeaderItem(_CHECK).setToolTip(
            _("How well the model probably found it: ✓ likely fine, ? look, ! probably wrong; and the Dice to expect")
        )
        table.verticalHeader().visible = False
        header = table.horizontalHeader()
        header.setSectionResizeMode(_NAME, qt.QHeaderView.Stretch)
        for column in (_EYE, _VOLUME, _MEAN, _CHECK):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.minimumSectionSize = 24
        table.connect("cellClicked(int,int)", self._on_cell)
        table.connect("currentCellChanged(int,int,int,int)", self._on_current_cell)

    def _list(self, figures: Mapping[str, Statistics]) -> None:
        """Make the rows anew; measure those of which nothing is known."""
        segmentation = self._node.GetSegmentation() if self._node else None
        ids = list(segmentation.GetSegmentIDs()) if segmentation else []
        makers = {row.segment_id: row.made_by for row in self.rows}
        record = doubt_record(self._node) if self._node else None
        self._dice = record.dice if record else {}
        self._ui.segmentTable.setColumnHidden(_CHECK, not self._dice)
        self._rows = {
            segment_id: self._row(segment_id, figures.get(segment_id), makers.get(segment_id, Maker.MODEL))
            for segment_id in ids
        }
        self._filling = True
        self._ui.segmentTable.setRowCount(len(ids))
        self._filling = False
        for position, row in enumerate(self._rows.values()):
            self._write_row(position, row)
        self._to_measure = [row.segment_id for row in self._rows.values() if row.statistics is None]
        self._fit()
        self._show_empty_ones()
        self._go_on()

    def _row(self, segment_id: str, statistics: Statistics | None, made_by: Maker) -> SegmentRow:
        segment = self._node.GetSegmentation().GetSegment(segment_id)
        mark = _STATUS_MARKS.get(status_of(self._node, segment_id), "")
        dice = self._dice.get(segment_id)
        return SegmentRow(segment_id, segment.GetName(), tuple(segment.GetColor()), statistics, made_by, dice, mark)

    def _write_row(self, position: int, row: SegmentRow) -> None:
        table = self._ui.segmentTable
        texts = ("", row.title, row.volume_words, row.mean_words, row.check_words)
        for column, text in enumerate(texts):
            item = table.item(position, column)
            if item is None:
                item = qt.QTableWidgetItem()
                table.setItem(position, column, item)
            if item.text() != text:
                item.setText(text)
            if column in (_VOLUME, _MEAN, _CHECK):
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        table.item(position, _NAME).setIcon(_swatch(row.color))
        table.item(position, _NAME).setToolTip(row.explanation)
        table.item(position, _CHECK).setToolTip(row.check_explanation)
        self._write_eye(position, row)

    def _write_eye(self, position: int, row: SegmentRow) -> None:
        shown = is_visible(self._node, row.segment_id)
        item = self._ui.segmentTable.item(position, _EYE)
        item.setIcon(self._eyes[shown])
        item.setToolTip(_("Hide") if shown else _("Show"))

    def _fit(self) -> None:
        """As high as its rows, up to ten; then it scrolls."""
        table, any_row = self._ui.segmentTable, bool(self._rows)
        self._ui.tableHint.visible = not any_row
        for widget in (table, self._ui.tableButtonsArea):
            widget.visible = any_row
        self._ui.tableMessage.visible = False
        if any_row:
            height = table.rowHeight(0) * min(len(self._rows), _MOST_ROWS_SHOWN)
            table.setFixedHeight(height + table.horizontalHeader().sizeHint.height() + 2 * table.frameWidth)

    def _on_changed(self, segment_ids: set[str]) -> None:
        """Segments were drawn, added, removed or renamed. (A run changes them one by one: they are taken together.)"""
        self._changed |= segment_ids
        self._tell_changed(segment_ids)
        self._go_on()

    def _on_display(self, caller: object, event: str) -> None:
        """Somebody hid or showed segments, here or elsewhere."""
        self._display_changed = True
        self._go_on()

    def _on_volume(self, caller: object, event: str) -> None:
        """The intensities are others, or lie elsewhere."""
        self._to_measure = list(self._rows)
        self._go_on()

    def _go_on(self) -> None:
        waiting = self._changed or self._display_changed or self._to_measure or self._to_judge
        if waiting and not self._tick.isActive():
            self._tick.start()

    def _next_step(self) -> None:
        """What changed is listed; then one segment is measured in each round of Qt's loop."""
        if self._changed:
            self._list_changed()
        elif self._display_changed:
            self._display_changed = False
            for position, row in enumerate(self.rows):
                self._write_eye(position, row)
        elif self._to_measure:
            self._measure(self._to_measure.pop(0))
        elif self._to_judge:
            self._judge()
        else:
            self._tick.stop()

    def _list_changed(self) -> None:
        changed, self._changed = self._changed, set()
        if list(self._node.GetSegmentation().GetSegmentIDs()) != list(self._rows):
            self._list({row.segment_id: row.statistics for row in self.rows if row.segment_id not in changed})
            return
        for position, (segment_id, row) in enumerate(self._rows.items()):
            if segment_id in changed:
                self._rows[segment_id] = self._row(segment_id, row.statistics, row.made_by)
                self._write_row(position, self._rows[segment_id])
        self._to_measure += [segment_id for segment_id in changed if segment_id not in self._to_measure]

    def _measure(self, segment_id: str) -> None:
        if segment_id in self._rows:
            statistics = segment_statistics_of(self._node, segment_id, self._volume)
            self._rewrite(self._row(segment_id, statistics, self._rows[segment_id].made_by))
            self._to_judge.add(segment_id)

    def _judge(self) -> None:
        """Who made those that were measured: all at once, since they share labelmaps."""
        there = [segment_id for segment_id in self._rows if segment_id in self._to_judge]
        self._to_judge = set()
        for segment_id, made_by in refresh_makers(self._node, there).items():
            self._rewrite(self._row(segment_id, self._rows[segment_id].statistics, made_by))
        self._show_empty_ones()

    def _rewrite(self, row: SegmentRow) -> None:
        self._rows[row.segment_id] = row
        self._write_row(list(self._rows).index(row.segment_id), row)

    def _show_empty_ones(self) -> None:
        """Which structures the model did not find, and why that may be."""
        empty = [row.name for row in self.rows if row.empty and row.made_by is Maker.MODEL]
        if empty:
            words = _("Not found: {names}. {reason}").format(names=listed(empty), reason=reason_for_empty(self._node))
            self._ui.tableHint.text = words
        elif not self._rows:
            self._ui.tableHint.text = _("The segments appear here, with their volumes.")
        self._ui.tableHint.visible = bool(empty) or not self._rows

    def _on_cell(self, position: int, column: int) -> None:
        row = self._row_at(position)
        if column == _EYE and row is not None:
            set_visible(self._node, row.segment_id, not is_visible(self._node, row.segment_id))

    def _on_current_cell(self, position: int, column: int, position_before: int, column_before: int) -> None:
        """Another row, by the mouse or by the keyboard."""
        row = self._row_at(position)
        if row is not None and not self._filling:
            self._on_chosen(row.segment_id)

    def _row_at(self, position: int) -> SegmentRow | None:
        """None where its segment was removed just now, and the table does not show that yet."""
        row = self.rows[position] if 0 <= position < len(self._rows) else None
        return row if row is not None and self._node.GetSegmentation().GetSegment(row.segment_id) else None

    def _complete_rows(self) -> tuple[SegmentRow, ...]:
        """As they are now, with nothing left to be measured."""
        while self._changed or self._to_measure or self._to_judge:
            self._next_step()
        return self.rows

    def _unit(self) -> str:
        """Of the volume's intensities ("HU"); "" where they have none, as in MR."""
        units = self._volume.GetVoxelValueUnits() if self._volume is not None else None
        if units is None:
            return ""
        return _("HU") if units.GetCodeValue() == _HOUNSFIELD else units.GetCodeMeaning() or ""

    def _copy(self) -> None:
        qt.QApplication.clipboard().setText(as_tab_separated(self._complete_rows(), self._unit()))
        self._tell(GOOD, _("Copied: paste it into a spreadsheet or a report."))

    def _export(self) -> None:
        suggestion = re.sub(r'[\\/:*?"<>|]', "_", f"{self._node.GetName()}.csv")
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Export the table"), suggestion, _("Tables (*.csv)")
        )
        if not path:
            return
        try:
            write_csv(self._complete_rows(), Path(path), self._unit())
        except TransformerSegError as error:
            self._ui.tableMessage.text = explained(error)
            self._ui.tableMessage.visible = True
            return
        self._tell(GOOD, _("Exported to {file}.").format(file=Path(path).name))

    def _tell(self, mark: str, words: str) -> None:
        self._ui.tableMessage.text = f"{sign(mark)} {escaped(words)}"
        self._ui.tableMessage.visible = True


def _swatch(color: tuple[float, float, float]) -> qt.QIcon:
    pixmap = qt.QPixmap(_SWATCH_PIXELS, _SWATCH_PIXELS)
    pixmap.fill(qt.QColor(*(round(255 * part) for part in color)))
    swatch = qt.QIcon(pixmap)
    swatch.addPixmap(pixmap, qt.QIcon.Selected)  # which is tinted otherwise, and the color is what counts
    return swatch
