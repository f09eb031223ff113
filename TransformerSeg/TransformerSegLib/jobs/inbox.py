"""The way from the worker to the main thread."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from TransformerSegLib.inference.progress import Progress


@dataclass(frozen=True)
class Told:
    """The work that runs told its progress."""

    progress: Progress


@dataclass
class Ended:
    """The work that ran has ended. It is emptied by whoever takes it out, since the worker may hold it a moment longer.

    Attributes:
        error: what was raised, without its frames; None where the work returned.
        report: the traceback, as text.
        at: on the clock of ``time.monotonic``.
    """

    result: object
    error: BaseException | None
    report: str
    at: float


class Emission(Protocol):
    """Something that the work logged, warned of or printed."""

    def emit(self) -> None:
        """Do that, in this thread."""


class Inbox:
    """Messages in their order. Progress that was not read before newer came is replaced by that; notes are kept."""

    def __init__(self) -> None:
        self._messages: deque[object] = deque()
        self._arrival = threading.Condition()
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self._messages)

    def put(self, message: object) -> None:
        """Add a message; from any thread."""
        with self._arrival:
            if self._closed:
                return
            if isinstance(message, Told) and self._messages and _is_silent(self._messages[-1]):
                self._messages.pop()
            self._messages.append(message)
            self._arrival.notify()

    def wait(self, seconds: float) -> None:
        """Return when there is a message, and at the latest after so long. Other threads run meanwhile."""
        with self._arrival:
            self._arrival.wait_for(self._messages.__len__, seconds)

    def take(self) -> object | None:
        """The oldest message, or None."""
        with self._arrival:
            return self._messages.popleft() if self._messages else None

    def close(self) -> None:
        """Forget all messages, and take no more."""
        with self._arrival:
            self._closed = True
            self._messages.clear()


def _is_silent(message: object) -> bool:
    return isinstance(message, Told) and not message.progress.note
