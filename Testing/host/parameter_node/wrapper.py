"""``@parameterNodeWrapper``: typed attributes kept on a ``vtkMRMLScriptedModuleNode``, and bound to widgets."""

from __future__ import annotations

import typing
import weakref
from dataclasses import dataclass

import vtk
from slicer.util import NodeModify

from host import qt
from host.parameter_node.connectors import Connector, connector_for
from host.parameter_node.storage import Storage, storage_for
from host.parameter_node.validators import Default

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclass(frozen=True)
class _Parameter:
    name: str
    storage: Storage
    default: Default
    annotated: object

    def read(self, node):
        if not self.storage.holds(node, self.name):
            self.storage.write(node, self.name, self.default.value)
        return self.storage.read(node, self.name)


class _Wrapped:
    """What the decorator adds to a class. Values are cached, as in Slicer, and read anew when the node is modified."""

    allParameters: dict[str, _Parameter]

    def __init__(self, parameterNode, prefix: str | None = None):
        if prefix:
            raise NotImplementedError("The stand-in keeps one set of parameters to a node.")
        self.parameterNode = parameterNode
        self._guis: dict[int, dict[str, Connector]] = {}
        self._updating_gui = False
        self._writing = False
        self._values = {name: parameter.read(parameterNode) for name, parameter in self.allParameters.items()}
        this = weakref.ref(self)
        tag = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_event: this() and this()._read_all())
        weakref.finalize(self, parameterNode.RemoveObserver, tag).atexit = False

    def _read_all(self) -> None:
        if not self._writing:
            self._values = {name: each.read(self.parameterNode) for name, each in self.allParameters.items()}

    def _parameter(self, name: str) -> _Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}. There are {list(self.allParameters)}.")
        return self.allParameters[name]

    def getValue(self, name: str):
        self._parameter(name)
        return self._values[name]

    def setValue(self, name: str, value) -> None:
        """Observers of the node are called once, and find the new value."""
        parameter = self._parameter(name)
        with NodeModify(self.parameterNode):
            self._writing = True
            try:
                parameter.storage.write(self.parameterNode, name, value)
            finally:
                self._values[name] = parameter.read(self.parameterNode)
                self._writing = False

    def default(self, name: str) -> Default:
        return self._parameter(name).default

    def dataType(self, name: str):
        return self._parameter(name).annotated

    def isCached(self, name: str) -> bool:
        self._parameter(name)
        return True

    def connectGui(self, gui) -> None:
        """Bind the widgets that carry the dynamic property ``SlicerParameterName``: the children of a widget, or what
        ``childWidgetVariables`` gave. Answers no tag, as Slicer's own."""
        widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "isWidgetType") else list(vars(gui).values())
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict) -> int:
        """Bind widgets by name. Answers a tag for ``disconnectGui``."""
        connectors = {name: connector_for(widget, self.dataType(name)) for name, widget in mapping.items()}
        tag = max(self._guis, default=-1) + 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.set(self.getValue(name))
            connector.on_changed(self._from_gui(name, connector))
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_event: self._update_gui())
        return tag

    def _from_gui(self, name: str, connector: Connector):
        def changed() -> None:
            with NodeModify(self):
                if not self._updating_gui:
                    self.setValue(name, connector.get())

        return changed

    def _update_gui(self) -> None:
        if self._updating_gui:
            return
        self._updating_gui = True
        try:
            with NodeModify(self):
                for connectors in self._guis.values():
                    for name, connector in connectors.items():
                        connector.set(self.getValue(name))
        finally:
            self._updating_gui = False

    def disconnectGui(self, tag: int) -> None:
        for connector in self._guis.pop(tag, {}).values():
            connector.off()

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(cls=None):
    """Class decorator.

    Raises:
        TypeError: A member is of a type that Slicer cannot keep on a node.
        ValueError: A member is named as something that the wrapper itself needs.
    """
    if cls is None:
        return parameterNodeWrapper
    parameters = {}
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        if hasattr(_Wrapped, name) or name == "parameterNode":
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        parameters[name] = _parameter(cls, name, annotated)
        setattr(cls, name, _attribute(name))
    members = {key: value for key, value in vars(_Wrapped).items() if key not in ("__dict__", "__weakref__", "__doc__")}
    for key, value in members.items():
        setattr(cls, key, value)
    cls.allParameters = parameters
    cls._is_parameter_node_wrapper = True
    return cls


def _parameter(cls: type, name: str, annotated) -> _Parameter:
    try:
        storage, rest = storage_for(annotated)
    except Exception as error:
        raise TypeError(f"Unable to create serializer for {cls} member {name}") from error
    given = [each for each in rest if isinstance(each, Default)]
    if hasattr(cls, name):
        given = [Default(getattr(cls, name))]
    return _Parameter(name, storage, given[0] if given else Default(storage.default()), annotated)


def _attribute(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def isParameterNodeWrapper(thing) -> bool:
    return getattr(thing, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget, parameter: str):
    found = (
        each for each in widget.findChildren(qt.QWidget) if each.property(SlicerParameterNamePropertyName) == parameter
    )
    return next(found, None)
