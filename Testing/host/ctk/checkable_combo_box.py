"""Stand-in for ctkCheckableComboBox: a list that drops down, each of its entries with a check box."""

from __future__ import annotations

from host import qt
from host.qt.native import QtCore, QtGui


class ctkCheckableComboBox(qt.QComboBox):
    checkedIndexesChanged = QtCore.Signal()

    def __init__(self, parent=None):
        super().__init__(*([] if parent is None else [parent]))
        model = QtGui.QStandardItemModel(0, 1, self)
        self.setModel(model)
        model.itemChanged.connect(self._report)
        model.rowsInserted.connect(self._make_checkable)

    def checkableModel(self):
        return self.model()

    def checkedIndexes(self) -> list:
        return [
            self.model().index(row, 0) for row in range(self.count) if self._item(row).checkState() == qt.Qt.Checked
        ]

    def allChecked(self) -> bool:
        return len(self.checkedIndexes()) == self.count

    def noneChecked(self) -> bool:
        return not self.checkedIndexes()

    def checkState(self, index) -> int:
        return self._item(index.row()).checkState()

    def setCheckState(self, index, state) -> None:
        self._item(index.row()).setCheckState(qt.Qt.CheckState(state))

    def _item(self, row: int):
        return self.model().item(row)

    def _make_checkable(self, _parent, first: int, last: int) -> None:
        for row in range(first, last + 1):
            self._item(row).setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
            self._item(row).setCheckState(qt.Qt.Unchecked)

    def _report(self, _item) -> None:
        self.checkedIndexesChanged.emit()
        self.update()

    def paintEvent(self, _event) -> None:
        names = [index.data() for index in self.checkedIndexes()]
        option = qt.QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = "All" if names and self.allChecked() else ", ".join(names) or "None"
        painter = qt.QStylePainter(self)
        painter.drawComplexControl(qt.QStyle.CC_ComboBox, option)
        painter.drawControl(qt.QStyle.CE_ComboBoxLabel, option)
        painter.end()
