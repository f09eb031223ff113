"""Stand-in for ctkCollapsibleButton: a title that shows and hides what is below it."""

from __future__ import annotations

from shiboken6 import Shiboken

from host import qt
from host.qt.native import QtCore

HEADER_HEIGHT = 24  # pixels


class ctkCollapsibleButton(qt.QAbstractButton):
    contentsCollapsed = QtCore.Signal(bool)

    _collapsed = False
    _shown_when_open: set | None = None
    _moving = False

    def __init__(self, parent=None):
        super().__init__(*([] if parent is None or isinstance(parent, str) else [parent]))
        self._shown_when_open = set()
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER_HEIGHT, 0, 0)
        self.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Preferred)
        self.toggled.connect(self._follow_check)
        if isinstance(parent, str):
            self.setText(parent)

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def setCollapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = bool(collapsed)
        self.setChecked(not collapsed)
        if collapsed:
            self._shown_when_open = {_key(child) for child in self._contents() if not child.isHidden()}
        self._show(set() if collapsed else self._shown_when_open)
        self.setMaximumHeight(HEADER_HEIGHT if collapsed else 16777215)
        self.updateGeometry()
        self.contentsCollapsed.emit(self._collapsed)

    collapsed = QtCore.Property(bool, _get_collapsed, setCollapsed)

    def _follow_check(self, checked: bool) -> None:
        self.setCollapsed(not checked)

    def _contents(self) -> list:
        return [child for child in self.children() if child.isWidgetType()]

    def _show(self, shown: set) -> None:
        self._moving = True
        for child in self._contents():
            child.setVisible(_key(child) in shown)
        self._moving = False

    def childEvent(self, event) -> None:
        child = event.child()
        if event.added() and child.isWidgetType():
            child.installEventFilter(self)
            if self._collapsed:
                child.hide()
                self._shown_when_open.add(_key(child))
        super().childEvent(event)

    def eventFilter(self, child, event) -> bool:
        """What is shown or hidden while the button is closed is so once it opens."""
        if self._collapsed and not self._moving:
            if event.type() == QtCore.QEvent.ShowToParent:
                self._shown_when_open.add(_key(child))
                self._show(set())
            elif event.type() == QtCore.QEvent.HideToParent:
                self._shown_when_open.discard(_key(child))
        return False

    def hitButton(self, position) -> bool:
        return position.y() < HEADER_HEIGHT

    def sizeHint(self):
        contents = self.layout().totalSizeHint() if self.layout() and not self._collapsed else qt.QSize(0, 0)
        title = self.fontMetrics().horizontalAdvance(self.text) + 40
        return qt.QSize(max(title, contents.width()), max(HEADER_HEIGHT, contents.height()))

    def minimumSizeHint(self):
        contents = self.layout().totalMinimumSize() if self.layout() and not self._collapsed else qt.QSize(0, 0)
        return qt.QSize(max(60, contents.width()), max(HEADER_HEIGHT, contents.height()))

    def paintEvent(self, _event) -> None:
        painter = qt.QStylePainter(self)
        header = qt.QStyleOptionButton()
        header.initFrom(self)
        header.rect = qt.QRect(0, 0, self.width, HEADER_HEIGHT - 2)
        header.state |= qt.QStyle.State_Raised
        painter.drawControl(qt.QStyle.CE_PushButtonBevel, header)
        arrow = "▸" if self._collapsed else "▾"
        painter.drawText(header.rect.adjusted(8, 0, -8, 0), int(qt.Qt.AlignVCenter), f"{arrow}  {self.text}")
        painter.end()


def _key(child) -> int:
    """Its C++ address: a child that is just being made has another Python object than it has later."""
    return Shiboken.getCppPointer(child)[0]
