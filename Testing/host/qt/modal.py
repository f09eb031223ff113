"""Dialogs and menus that wait for a person: here ``host.dialogs`` is asked instead."""

from __future__ import annotations

from host.dialogs import ask
from host.qt.native import QtGui, QtWidgets

_ACCEPTING = ("Ok", "Yes", "Save", "Open", "Retry", "Apply", "YesToAll", "SaveAll", "Ignore")
_REJECTING = ("Cancel", "No", "Close", "Abort", "Discard", "NoToAll", "Ok")

QMessageBox = QtWidgets.QMessageBox


def exec_dialog(dialog: QtWidgets.QDialog) -> int:
    labels = (label.text for label in dialog.findChildren(QtWidgets.QLabel))
    answer = ask(dialog.windowTitle, *labels)
    dialog.show()
    if callable(answer):
        answer(dialog)
    elif answer:
        dialog.accept()
    else:
        dialog.reject()
    dialog.hide()
    return dialog.result()


def exec_message(box: QMessageBox) -> int:
    """The pressed standard button, as a number."""
    answer = ask(box.windowTitle, box.text, box.informativeText, box.detailedText)
    button = _named_button(box, answer) if isinstance(answer, str) else _standard_button(box, answer)
    if button is None:
        raise AssertionError(f"The dialog '{box.text}' has no button for the answer {answer!r}.")
    box.show()
    button.click()
    return int(box.standardButton(button))


def _named_button(box: QMessageBox, text: str):
    return next((button for button in box.buttons() if button.text.replace("&", "") == text), None)


def _standard_button(box: QMessageBox, answer: bool | int):
    if not isinstance(answer, bool):
        return box.button(QMessageBox.StandardButton(answer))
    if not box.buttons():
        box.setStandardButtons(QMessageBox.Ok)
    names = _ACCEPTING if answer else _REJECTING
    standard = (box.button(getattr(QMessageBox, name)) for name in names)
    roles = (QMessageBox.AcceptRole, QMessageBox.YesRole) if answer else (QMessageBox.RejectRole, QMessageBox.NoRole)
    by_role = (button for role in roles for button in box.buttons() if box.buttonRole(button) == role)
    return next((button for button in (*standard, *by_role) if button is not None), None)


def _message(buttons: int):
    def show(_parent, title: str, text: str, standard_buttons=buttons, _default=None) -> int:
        box = QMessageBox()
        box.setWindowTitle(title)
        box.setText(text)
        box.setStandardButtons(QMessageBox.StandardButton(standard_buttons))
        return exec_message(box)

    return staticmethod(show)


def _one_path(_parent=None, caption: str = "", *_where, **_keywords) -> str:
    """PythonQt gives the path alone, and "" where the dialog was cancelled."""
    return str(ask(caption) or "")


def _several_paths(_parent=None, caption: str = "", *_where, **_keywords) -> tuple[str, ...]:
    return tuple(str(path) for path in ask(caption) or ())


def _input(empty):
    def get(_parent=None, title: str = "", label: str = "", *_given, **_keywords):
        answer = ask(title, label)
        return empty if answer is None else answer

    return staticmethod(get)


def _color(_initial=None, _parent=None, title: str = "", *_options, **_keywords) -> QtGui.QColor:
    """An invalid colour where the dialog was cancelled."""
    answer = ask(title or "Select color")
    return QtGui.QColor(answer) if answer else QtGui.QColor()


def exec_menu(menu: QtWidgets.QMenu, *_position):
    """The chosen entry, after it was triggered."""
    entries = {action.text.replace("&", ""): action for action in menu.actions() if action.text}
    answer = ask(*entries)
    if not answer:
        return None
    if answer not in entries or not entries[answer].enabled:
        raise AssertionError(f"The menu has no entry '{answer}' that could be chosen, only {list(entries)}.")
    entries[answer].trigger()
    return entries[answer]


def ask_the_test() -> None:
    """Replace, on Qt's own classes, what waits for a person."""
    for cls, function in (
        (QtWidgets.QDialog, exec_dialog),
        (QtWidgets.QProgressDialog, exec_dialog),
        (QMessageBox, exec_message),
        (QtWidgets.QMenu, exec_menu),
    ):
        cls.exec = cls.exec_ = function
    for name in ("information", "warning", "critical"):
        setattr(QMessageBox, name, _message(QMessageBox.Ok))
    QMessageBox.question = _message(QMessageBox.Yes | QMessageBox.No)
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(QtWidgets.QFileDialog, name, staticmethod(_one_path))
    QtWidgets.QFileDialog.getOpenFileNames = staticmethod(_several_paths)
    for name, empty in (("getText", ""), ("getMultiLineText", ""), ("getItem", ""), ("getInt", 0), ("getDouble", 0.0)):
        setattr(QtWidgets.QInputDialog, name, _input(empty))
    QtWidgets.QColorDialog.getColor = staticmethod(_color)
