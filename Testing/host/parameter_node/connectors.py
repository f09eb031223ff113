"""Which widget shows which type: exactly those pairs that Slicer knows, exactly of those classes."""

from __future__ import annotations

import enum
import pathlib
from dataclasses import dataclass

import slicer

from host import ctk, qt
from host.parameter_node.storage import split
from host.parameter_node.validators import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange
from host.qmrml import qMRMLNodeComboBox


@dataclass
class Connector:
    """One widget's value: the signal that tells that it changed, and how it is read and written."""

    widget: object
    signal: str
    get: object
    set: object
    _slot: object = None

    def on_changed(self, callback) -> None:
        self.off()
        self._slot = lambda *_arguments: callback()
        getattr(self.widget, self.signal).connect(self._slot)

    def off(self) -> None:
        if self._slot is not None:
            getattr(self.widget, self.signal).disconnect(self._slot)
            self._slot = None


def connector_for(widget, annotated) -> Connector:
    """Raises RuntimeError where Slicer has none for the widget and the type."""
    kind, annotations = split(annotated)
    made = _connector(widget, type(widget), kind, annotations)
    if made is None:
        raise RuntimeError(
            f"Unable to create GUI connector from datatype '{annotated}' to widget type '{type(widget).__name__}'"
        )
    return made


def _connector(widget, cls: type, kind, annotations: tuple) -> Connector | None:
    if kind is bool and cls is qt.QCheckBox:
        return _of_property(widget, "stateChanged", "checked")
    if kind is bool and cls is qt.QPushButton:
        widget.checkable = True
        return _of_property(widget, "toggled", "checked")
    if kind is int and cls in (qt.QSlider, qt.QSpinBox):
        return _of_number(widget, annotations, lowest=-(2**31), highest=2**31 - 1, bounded=cls is qt.QSlider)
    if kind is float and cls in (qt.QDoubleSpinBox, ctk.ctkSliderWidget):
        bounded = cls is ctk.ctkSliderWidget
        return _of_number(widget, annotations, lowest=float("-inf"), highest=float("inf"), bounded=bounded)
    if cls is qt.QComboBox:
        return _of_choices(widget, kind, annotations)
    if kind is str and cls is qt.QLineEdit:
        return _of_property(widget, "textChanged", "text")
    if kind is str and cls is qt.QTextEdit:
        return Connector(widget, "textChanged", widget.toPlainText, widget.setPlainText)
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath) and cls is ctk.ctkPathLineEdit:
        return _of_property(widget, "currentPathChanged", "currentPath", kind, str)
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode) and cls is qMRMLNodeComboBox:
        widget.nodeTypes = [kind.__name__]
        return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    return None


def _of_property(widget, signal: str, name: str, from_widget=None, to_widget=None) -> Connector:
    def get():
        value = getattr(widget, name)
        return from_widget(value) if from_widget else value

    def put(value) -> None:
        setattr(widget, name, to_widget(value) if to_widget else value)

    return Connector(widget, signal, get, put)


def _of_number(widget, annotations: tuple, lowest, highest, bounded: bool) -> Connector:
    for annotation in annotations:
        match annotation:
            case WithinRange():
                lowest, highest, bounded = annotation.minimum, annotation.maximum, False
            case Minimum():
                lowest = annotation.minimum
            case Maximum():
                highest = annotation.maximum
            case Decimals():
                widget.decimals = annotation.value
            case SingleStep():
                widget.singleStep = annotation.value
    if bounded and not {Minimum, Maximum} <= {type(annotation) for annotation in annotations}:
        raise RuntimeError("A slider needs a parameter with limits.")
    widget.minimum, widget.maximum = lowest, highest
    return _of_property(widget, "valueChanged", "value")


def _of_choices(widget, kind, annotations: tuple) -> Connector | None:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        choices = list(kind)
        titles = [choice.label() if hasattr(choice, "label") else choice.name for choice in choices]
    elif kind in (int, float, str, bool):
        given = [annotation for annotation in annotations if isinstance(annotation, Choice)]
        if not given:
            raise RuntimeError("ComboBoxToStringableConnector requires the Choice annotation to be used.")
        choices = list(given[0].choices)
        titles = [str(choice) for choice in choices]
    else:
        return None
    widget.clear()
    widget.addItems(titles)

    def put(value) -> None:
        widget.setCurrentIndex(choices.index(value))

    return Connector(widget, "currentIndexChanged", lambda: choices[widget.currentIndex], put)
