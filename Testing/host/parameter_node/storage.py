"""How a value of each type is kept on a ``vtkMRMLScriptedModuleNode``: under Slicer's own names, in Slicer's own form.

Not known here, as nothing in the project needs it: parameter packs, own serializers, MRML types other than nodes.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Iterable

import slicer
from slicer.util import NodeModify

from host.parameter_node.containers import ObservedDict, ObservedList
from host.parameter_node.validators import IsInstance, NotNone, Validator


class Storage(ABC):
    """Reads, writes and removes the values of one type, under a name."""

    validators: tuple[Validator, ...] = ()

    @abstractmethod
    def default(self): ...

    @abstractmethod
    def holds(self, node, name: str) -> bool: ...

    @abstractmethod
    def read(self, node, name: str): ...

    @abstractmethod
    def put(self, node, name: str, value) -> None:
        """Write what has been found valid."""

    @abstractmethod
    def remove(self, node, name: str) -> None: ...

    def write(self, node, name: str, value) -> None:
        """Raises ValueError or TypeError where the value is none for this type."""
        for validator in self.validators:
            validator.validate(value)
        self.put(node, name, value)


class TextStorage(Storage):
    """One parameter, as text."""

    def __init__(self, kind, default, validators: Iterable[Validator], to_text=str, from_text=None):
        self._default = default
        self._to_text = to_text
        self._from_text = from_text or kind
        self.validators = tuple(validators)

    def default(self):
        return self._default

    def holds(self, node, name: str) -> bool:
        return bool(node.HasParameter(name))

    def read(self, node, name: str):
        return self._from_text(node.GetParameter(name))

    def put(self, node, name: str, value) -> None:
        node.SetParameter(name, self._to_text(value))

    def remove(self, node, name: str) -> None:
        node.UnsetParameter(name)


class NodeStorage(Storage):
    """A node reference, beside an empty parameter that says that there is one: None is a value."""

    def __init__(self, kind: type):
        self.validators = (IsInstance(kind),)

    def default(self) -> None:
        return None

    def holds(self, node, name: str) -> bool:
        return bool(node.HasParameter(name))

    def read(self, node, name: str):
        return node.GetNodeReference(name)

    def put(self, node, name: str, value) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def remove(self, node, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class ListStorage(Storage):
    """``NAME_len``, ``NAME_0``, ``NAME_1``, …"""

    def __init__(self, element: Storage):
        self._element = element

    def default(self) -> list:
        return []

    def holds(self, node, name: str) -> bool:
        return bool(node.HasParameter(f"{name}_len"))

    def _length(self, node, name: str) -> int:
        return int(node.GetParameter(f"{name}_len")) if self.holds(node, name) else 0

    def plain(self, node, name: str) -> list:
        return [self._element.read(node, f"{name}_{index}") for index in range(self._length(node, name))]

    def read(self, node, name: str) -> ObservedList:
        def save(values: list) -> list:
            self.write(node, name, values)
            return self.plain(node, name)

        return ObservedList(self.plain(node, name), save)

    def put(self, node, name: str, value) -> None:
        """All or nothing: where one element is no good, what was there stays."""
        values = list(value)
        before = self.plain(node, name) if self.holds(node, name) else None
        with NodeModify(node):
            try:
                self._put(node, name, values)
            except Exception:
                if before is None:
                    self.remove(node, name)
                else:
                    self._put(node, name, before)
                raise

    def _put(self, node, name: str, values: list) -> None:
        for index, value in enumerate(values):
            self._element.write(node, f"{name}_{index}", value)
        for index in range(len(values), self._length(node, name)):
            self._element.remove(node, f"{name}_{index}")
        node.SetParameter(f"{name}_len", str(len(values)))

    def remove(self, node, name: str) -> None:
        with NodeModify(node):
            for index in range(self._length(node, name)):
                self._element.remove(node, f"{name}_{index}")
            node.UnsetParameter(f"{name}_len")


class TupleStorage(Storage):
    """``NAME_0``, ``NAME_1``, … of a type each."""

    def __init__(self, elements: list[Storage]):
        self._elements = elements

    def default(self) -> tuple:
        return tuple(element.default() for element in self._elements)

    def holds(self, node, name: str) -> bool:
        return self._elements[0].holds(node, f"{name}_0")

    def read(self, node, name: str) -> tuple:
        return tuple(element.read(node, f"{name}_{index}") for index, element in enumerate(self._elements))

    def put(self, node, name: str, value) -> None:
        with NodeModify(node):
            for index, (element, part) in enumerate(zip(self._elements, value, strict=True)):
                element.write(node, f"{name}_{index}", part)

    def remove(self, node, name: str) -> None:
        with NodeModify(node):
            for index, element in enumerate(self._elements):
                element.remove(node, f"{name}_{index}")


class DictStorage(Storage):
    """A list of (key, value), in the dictionary's order."""

    def __init__(self, key: Storage, value: Storage):
        self._pairs = ListStorage(TupleStorage([key, value]))

    def default(self) -> dict:
        return {}

    def holds(self, node, name: str) -> bool:
        return self._pairs.holds(node, name)

    def read(self, node, name: str) -> ObservedDict:
        def save(values: dict) -> dict:
            self.write(node, name, values)
            return dict(self._pairs.plain(node, name))

        return ObservedDict(dict(self._pairs.plain(node, name)), save)

    def put(self, node, name: str, value) -> None:
        self._pairs.put(node, name, value.items())

    def remove(self, node, name: str) -> None:
        self._pairs.remove(node, name)


class LimitedStorage(Storage):
    """Another storage, whose values must also pass the validators that were annotated."""

    def __init__(self, inner: Storage, validators: list[Validator]):
        self._inner = inner
        self.validators = tuple(validators)

    def default(self):
        return self._inner.default()

    def holds(self, node, name: str) -> bool:
        return self._inner.holds(node, name)

    def read(self, node, name: str):
        return self._inner.read(node, name)

    def put(self, node, name: str, value) -> None:
        self._inner.write(node, name, value)

    def remove(self, node, name: str) -> None:
        self._inner.remove(node, name)


def storage_for(annotated) -> tuple[Storage, list]:
    """The storage for a type, and what else was annotated.

    Raises:
        TypeError: Slicer has none for it. (``X | None`` is among these: nodes may be None anyway, and Slicer knows
            ``Optional[X]`` alone.)
    """
    kind, annotations = split(annotated)
    limits = [each for each in annotations if isinstance(each, Validator)]
    rest = [each for each in annotations if not isinstance(each, Validator)]
    inner = _plain_storage(kind)
    return (LimitedStorage(inner, limits) if limits else inner), rest


def split(annotated) -> tuple[type, tuple]:
    """The type, and what is annotated to it."""
    if typing.get_origin(annotated) is typing.Annotated:
        kind, *annotations = typing.get_args(annotated)
        return kind, tuple(annotations)
    return annotated, ()


def _plain_storage(kind) -> Storage:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return ListStorage(storage_for(arguments[0])[0])
    if origin is tuple:
        return TupleStorage([storage_for(argument)[0] for argument in arguments])
    if origin is dict:
        return DictStorage(storage_for(arguments[0])[0], storage_for(arguments[1])[0])
    if isinstance(kind, type) and not isinstance(kind, types.GenericAlias):
        return _storage_of_class(kind)
    raise TypeError(f"Unable to create serializer for type: {kind}")


def _storage_of_class(kind: type) -> Storage:
    if kind is bool:
        return TextStorage(bool, False, (NotNone(), IsInstance(bool)), from_text="True".__eq__)
    if kind is int:
        return TextStorage(int, 0, (NotNone(), IsInstance(int)))
    if kind is float:
        return TextStorage(float, 0, (NotNone(), IsInstance((int, float))))
    if kind is str:
        return TextStorage(str, "", (NotNone(), IsInstance(str)))
    if issubclass(kind, pathlib.PurePath):
        return TextStorage(kind, kind(), (NotNone(), IsInstance(kind)))
    if issubclass(kind, enum.Enum):
        first = next(iter(kind))
        return TextStorage(kind, first, (IsInstance(kind),), to_text=lambda each: each.name, from_text=kind.__getitem__)
    if issubclass(kind, slicer.vtkMRMLNode):
        return NodeStorage(kind)
    raise TypeError(f"Unable to create serializer for type: {kind}")
