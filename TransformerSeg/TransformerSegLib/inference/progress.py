"""What a run tells while it works, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from TransformerSegLib.errors import Cancelled


class Stage(Enum):
    """The stages of a run, in their order."""

    LOAD = "Loading the model"
    PREPARE = "Preparing"
    SEGMENT = "Segmenting"
    RESTORE = "Restoring"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        stage: what is being done.
        done: steps of this stage that are finished; for ``Stage.SEGMENT``: windows.
        total: steps of this stage; 0 where it is not known.
        seconds_left: of the whole run, estimated; None while it cannot be.
        note: a sentence that the user should read once (a fallback to less memory, say), or an empty string.
    """

    stage: Stage
    done: int
    total: int
    seconds_left: float | None = None
    note: str = ""


OnProgress = Callable[[Progress], None]


class CancelToken:
    """Set from any thread; asked by the run after every window."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the run to stop."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raises:
        Cancelled: if ``cancel`` was called.
        """
        if self._event.is_set():
            raise Cancelled
