"""Python packages that cannot be imported, as if they were not installed, until they are "installed"."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Collection, Iterator

from packaging.utils import canonicalize_name


class HiddenPackages:
    """Hides packages from ``import``, ``find_spec`` and ``importlib.metadata``.

    What was imported before is set aside and comes back with the package, since libraries in C cannot be loaded twice.
    Modules that imported it before keep it: a test of a first start is run in a process of its own.
    """

    def __init__(self, names: Collection[str]):
        self._names = set(names)
        self._set_aside: dict[str, object] = {}
        self._replaced: list[tuple[object, _Filter]] = []

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._names)

    def hide(self) -> None:
        for name in [name for name in sys.modules if name.split(".")[0] in self._names]:
            self._set_aside[name] = sys.modules.pop(name)
        for index, finder in enumerate(sys.meta_path):
            if hasattr(finder, "find_distributions"):
                sys.meta_path[index] = _Filter(finder, self)
                self._replaced.append((finder, sys.meta_path[index]))
        importlib.invalidate_caches()

    def show(self, name: str) -> None:
        """Let the package be found from now on."""
        self._names.discard(name)
        for module in [module for module in self._set_aside if module.split(".")[0] == name]:
            sys.modules[module] = self._set_aside.pop(module)
        importlib.invalidate_caches()

    def end(self) -> None:
        for name in list(self._names):
            self.show(name)
        for finder, filtered in self._replaced:
            sys.meta_path[sys.meta_path.index(filtered)] = finder
        self._replaced = []

    def hides_module(self, module: str) -> bool:
        return module.split(".")[0] in self._names

    def hides_distribution(self, name: str | None) -> bool:
        return name is not None and canonicalize_name(name) in {canonicalize_name(each) for each in self._names}


class _Filter:
    """A finder of Python's import system that does not find what is hidden."""

    def __init__(self, finder, hidden: HiddenPackages):
        self._finder = finder
        self._hidden = hidden

    def find_spec(self, name: str, path=None, target=None):
        return None if self._hidden.hides_module(name) else self._finder.find_spec(name, path, target)

    def find_distributions(self, context) -> Iterator[importlib.metadata.Distribution]:
        found = self._finder.find_distributions(context)
        return (each for each in found if not self._hidden.hides_distribution(each.metadata["Name"]))

    def invalidate_caches(self) -> None:
        if hasattr(self._finder, "invalidate_caches"):
            self._finder.invalidate_caches()
