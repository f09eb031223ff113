"""Lists and dictionaries that write themselves to the node whenever they are changed."""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSequence


class ObservedList(MutableSequence):
    def __init__(self, values: list, save):
        self._values = values
        self._save = save

    def _changed(self) -> None:
        self._values = self._save(self._values)

    def __getitem__(self, index):
        return self._values[index]

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, index, value) -> None:
        self._values[index] = value
        self._changed()

    def __delitem__(self, index) -> None:
        del self._values[index]
        self._changed()

    def insert(self, index, value) -> None:
        self._values.insert(index, value)
        self._changed()

    def sort(self, **keywords) -> None:
        self._values.sort(**keywords)
        self._changed()

    def __eq__(self, other) -> bool:
        return self._values == (other._values if isinstance(other, ObservedList) else other)

    __hash__ = None

    def __add__(self, _other):
        raise NotImplementedError("Slicer's ObservedList knows no +, only +=.")

    __radd__ = __mul__ = __rmul__ = __add__

    def __repr__(self) -> str:
        return f"ObservedList({self._values})"


class ObservedDict(MutableMapping):
    def __init__(self, values: dict, save):
        self._values = values
        self._save = save

    def _changed(self) -> None:
        self._values = self._save(self._values)

    def __getitem__(self, key):
        return self._values[key]

    def __iter__(self):
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, key, value) -> None:
        self._values[key] = value
        self._changed()

    def __delitem__(self, key) -> None:
        del self._values[key]
        self._changed()

    def get(self, key):
        """Without a second argument, as Slicer's own has none."""
        return self._values.get(key)

    def pop(self, key):
        value = self._values.pop(key)
        self._changed()
        return value

    def __eq__(self, other) -> bool:
        return self._values == (other._values if isinstance(other, ObservedDict) else other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"ObservedDict({self._values})"
