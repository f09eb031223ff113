"""Stand-ins for widgets of CTK that differ from Qt's only in what the module makes no use of."""

from __future__ import annotations

from host import qt
from host.qt.native import QtCore


class ctkComboBox(qt.QComboBox):
    _default_text = ""

    def _get_default(self) -> str:
        return self._default_text

    def _set_default(self, text: str) -> None:
        self._default_text = text
        self.setPlaceholderText(text)

    defaultText = QtCore.Property(str, _get_default, _set_default)


class ctkDoubleSpinBox(qt.QDoubleSpinBox):
    pass


class ctkSearchBox(qt.QLineEdit):
    """A line to search by; ``searchIcon`` and ``clearIcon`` are not drawn."""

    def __init__(self, parent=None):
        super().__init__(*([] if parent is None else [parent]))
        self.setClearButtonEnabled(True)
        self.setPlaceholderText("Search...")


class ctkColorPickerButton(qt.QPushButton):
    """A button that shows a colour, and asks for another when pressed."""

    SIGNALS = ("colorChanged(QColor)",)
    colorChanged = QtCore.Signal(object)

    _color = None

    def __init__(self, parent=None):
        super().__init__(*([] if parent is None else [parent]))
        self._color = qt.QColor("black")
        self.clicked.connect(self.changeColor)

    def changeColor(self, *_checked) -> None:
        chosen = qt.QColorDialog.getColor(self._color, self, "Select color")
        if chosen.isValid():
            self.setColor(chosen)

    def _get_color(self):
        return self._color

    def setColor(self, color) -> None:
        if color != self._color:
            self._color = color
            self.update()
            self.colorChanged.emit(color)

    color = QtCore.Property("QColor", _get_color, setColor)

    def paintEvent(self, event) -> None:
        super().paintEvent(event)
        painter = qt.QPainter(self)
        painter.fillRect(self.rect.adjusted(4, 4, -4, -4), self._color)
        painter.end()
