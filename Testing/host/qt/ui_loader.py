"""Qt Designer's files, with the widgets of CTK and Slicer in them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from host.qt import connections
from host.qt.native import QtCore, QtUiTools

_classes: dict[str, type] = {}


def loads(*classes: type) -> None:
    """Let a ``.ui`` file name these classes. Others make ``load`` raise, instead of a warning and a plain QWidget."""
    _classes.update({cls.__name__: cls for cls in classes})


class QUiLoader(QtUiTools.QUiLoader):
    def createWidget(self, class_name: str, parent=None, name: str = ""):
        if class_name not in _classes:
            raise LookupError(f"The stand-in for Slicer's Qt side knows no widget class '{class_name}'.")
        widget = _classes[class_name](parent)
        widget.setObjectName(name)
        return widget

    def load(self, device: QtCore.QIODevice, parent=None):
        """The file's widget, with its connections made.

        Raises:
            LookupError: It names a class that is not known here.
            AttributeError: It sets a property, or connects a signal or slot, that its class does not have. (Qt makes a
                dynamic property, or prints a warning, and goes on.)
        """
        root = ElementTree.fromstring(bytes(device.readAll()))  # noqa: S314
        connected = _take_connections(root)
        _check_classes(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(buffer, parent)
        _check_properties(root, widget)
        for sender, signal, receiver, slot in connected:
            connections.connect(_named(widget, sender), signal, _named(widget, receiver), slot)
        return widget


def _check_classes(root: ElementTree.Element) -> None:
    unknown = {element.get("class") for element in root.iter("widget")} - set(_classes) - {"Line"}
    if unknown:
        raise LookupError(f"The stand-in for Slicer's Qt side knows no widget class {sorted(unknown)}.")


def _take_connections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    """Made in Python afterwards, since Qt knows nothing of signals that carry a ``vtkMRMLScene*`` here."""
    section = root.find("connections")
    if section is None:
        return []
    root.remove(section)
    return [tuple(each.findtext(part) for part in ("sender", "signal", "receiver", "slot")) for each in section]


def _check_properties(root: ElementTree.Element, widget) -> None:
    for element in root.iter("widget"):
        found = _named(widget, element.get("name"))
        for declared in element.findall("property"):
            name = declared.get("name")
            if declared.get("stdset") != "0" and found.metaObject().indexOfProperty(name) < 0:
                raise AttributeError(f"'{found.objectName}', a {found.className()}, has no property '{name}'.")


def _named(widget, name: str):
    found = widget if widget.objectName == name else widget.findChild(QtCore.QObject, name)
    if found is None:
        raise LookupError(f"There is no widget named '{name}' in {widget.objectName}.")
    return found
