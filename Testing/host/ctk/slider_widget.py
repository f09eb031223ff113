"""Stand-in for ctkSliderWidget: a slider and a number that go together."""

from __future__ import annotations

from host import qt
from host.qt.native import QtCore

STEPS = 1000


def _of_number(kind, name: str):
    def get(self):
        return getattr(self._number, name)

    def set_(self, value) -> None:
        setattr(self._number, name, value)
        self._move_slider()

    return QtCore.Property(kind, get, set_)


class ctkSliderWidget(qt.QWidget):
    valueChanged = QtCore.Signal(float)

    _slider = None
    _number = None

    def __init__(self, parent=None):
        super().__init__(*([] if parent is None else [parent]))
        self._slider = qt.QSlider(qt.Qt.Horizontal)
        self._slider.setRange(0, STEPS)
        self._number = qt.QDoubleSpinBox()
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._number)
        self._number.valueChanged.connect(self._follow_number)
        self._slider.sliderMoved.connect(self._follow_slider)

    minimum = _of_number(float, "minimum")
    maximum = _of_number(float, "maximum")
    singleStep = _of_number(float, "singleStep")
    value = _of_number(float, "value")
    decimals = _of_number(int, "decimals")
    suffix = _of_number(str, "suffix")

    def _follow_number(self, value: float) -> None:
        self._move_slider()
        self.valueChanged.emit(value)

    def _follow_slider(self, step: int) -> None:
        self._number.value = self.minimum + (self.maximum - self.minimum) * step / STEPS

    def _move_slider(self) -> None:
        span = self.maximum - self.minimum
        self._slider.value = round(STEPS * (self.value - self.minimum) / span) if span > 0 else 0
