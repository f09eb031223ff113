"""Catches threads that touch what only the main thread may touch: Qt, VTK and MRML objects.

    with record_calls() as calls:
        run_something_in_a_thread()
    assert not calls

Only threads that start inside the ``with`` are watched, since Python hands its profile hook to new threads alone.
Python does not report that an object is made (``vtkMatrix4x4()``), nor a static function of VTK: the first method that
is called on what was made is caught.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, ModuleType

from shiboken6 import Shiboken
from vtkmodules.vtkCommonCore import vtkObjectBase

_MODULES = ("vtkmodules", "slicer_core", "PySide6", "shiboken6")


@dataclass(frozen=True)
class Offence:
    """A call, in another thread than the main one, of a function of Qt's, VTK's or MRML's."""

    thread: str
    function: str
    file: str
    line: int


@dataclass
class Record:
    """What happened in other threads than the main one."""

    offences: list[Offence] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    """Those that were watched. A test looks here whether it watched what it meant to."""
    calls: int = 0
    """Of C functions altogether."""

    def __bool__(self) -> bool:
        return bool(self.offences)

    def __repr__(self) -> str:
        return "\n".join(str(offence) for offence in self.offences[:20]) or f"none in {sorted(self.threads)}"

    def note(self, frame: FrameType, event: str, function) -> None:
        """A profile hook (``threading.setprofile``)."""
        thread = threading.current_thread()
        if thread is threading.main_thread():
            return
        self.threads.add(thread.name)
        if event != "c_call":
            return
        self.calls += 1
        if belongs_to_main_thread(function):
            code = frame.f_code
            self.offences.append(Offence(thread.name, _described(function), code.co_filename, frame.f_lineno))


def belongs_to_main_thread(function) -> bool:
    """Whether a built-in function is a method of a Qt, VTK or MRML object or class, or belongs to their modules."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, ModuleType):
        return owner.__name__.startswith(_MODULES)
    cls = owner if isinstance(owner, type) else type(owner)
    return issubclass(cls, (vtkObjectBase, Shiboken.Object)) or cls.__module__.startswith(_MODULES)


@contextmanager
def record_calls() -> Iterator[Record]:
    record = Record()
    threading.setprofile(record.note)
    try:
        yield record
    finally:
        threading.setprofile(None)


def _described(function) -> str:
    owner = getattr(function, "__self__", None)
    owner_type = owner if isinstance(owner, type) else type(owner)
    return f"{owner_type.__name__}.{getattr(function, '__name__', function)}"
