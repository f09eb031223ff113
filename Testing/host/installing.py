"""What Slicer's installer and the PyTorch extension do when they are asked: nothing but note it, and let packages that
were hidden be found, or fail as a test says."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass

from packaging.requirements import Requirement

from host.hidden_packages import HiddenPackages


@dataclass(frozen=True)
class Installation:
    """One request: the requirements, as they were written, and through what it came ("pip" or "PyTorchUtils")."""

    requirements: tuple[str, ...]
    through: str
    skipped: tuple[str, ...] = ()


class Installing:
    """``host.packaging``. Consent is given, or not, in ``host.dialogs``, as everything that a dialog asks."""

    def __init__(self, hidden: HiddenPackages):
        self.asked: list[Installation] = []
        self._hidden = hidden
        self._failures: list[str] = []
        self._incomplete: list[str] = []

    def fail_next(self, message: str = "Could not connect to the package index") -> None:
        """Let the next installation fail, as pip does."""
        self._failures.append(message)

    def break_next(self, package: str) -> None:
        """Let the next installation succeed, and yet leave this package out, as a broken one does."""
        self._incomplete.append(package)

    def install(self, requirements: list[str], through: str, skipped: tuple[str, ...] = ()) -> None:
        """Called by the stand-ins.

        Raises:
            RuntimeError: Not on the main thread, where it has crashed Slicer.
            CalledProcessError: The test wanted a failure.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("Packages are installed on the main thread only.")
        self.asked.append(Installation(tuple(requirements), through, skipped))
        if self._failures:
            message = self._failures.pop(0)
            raise subprocess.CalledProcessError(1, ["pip", "install", *requirements], stderr=message)
        names = {Requirement(requirement).name for requirement in requirements if not requirement.startswith("-")}
        for name in names - set(skipped) - set(self._incomplete):
            self._hidden.show(name)
        self._incomplete.clear()


_current: list[Installing] = []


def installed_by(installing: Installing | None) -> None:
    _current[:] = [] if installing is None else [installing]


def current() -> Installing:
    return _current[0]
