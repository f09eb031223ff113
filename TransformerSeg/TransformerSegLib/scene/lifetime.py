"""Things that are remembered about a node or labelmap for as long as it exists, and not saved with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from vtkmodules.vtkCommonCore import vtkObject

Kept = TypeVar("Kept")


class PerObject(Generic[Kept]):
    """A value for each VTK object, made when it is first asked for and dropped when the object is destroyed.

    (Python's wrapper of an object comes and goes, so that neither its attributes nor weak references serve.)

    Args:
        make: gives the first value.
    """

    def __init__(self, make: Callable[[], Kept]) -> None:
        self._make = make
        self._kept: dict[str, Kept] = {}
        self._forgetters: dict[str, Callable[..., None]] = {}

    def __getitem__(self, owner: vtkObject) -> Kept:
        address = owner.GetAddressAsString("vtkObject")
        if address not in self._kept:
            self._kept[address] = self._make()
            owner.AddObserver("DeleteEvent", self._forgetter(address))
        return self._kept[address]

    def __len__(self) -> int:
        return len(self._kept)

    def _forgetter(self, address: str) -> Callable[..., None]:
        """Held here as well: of a node that the garbage collector destroys it has cleared the observers before, unless
        somebody else holds them, and calling a cleared function ends the process."""

        def forget(*_event: object) -> None:
            self._kept.pop(address, None)
            self._forgetters.pop(address, None)

        self._forgetters[address] = forget
        return forget
