"""What a run tells while it works, and how it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from TransformerSegLib.errors import Cancelled
from TransformerSegLib.inference.parts import Part


class Stage(Enum):
    """The stages of a run, in their order; and, outside of runs, a model on its way to or from this computer."""

    LOAD = "Loading the model"
    PREPARE = "Preparing"
    SEGMENT = "Segmenting"
    RESTORE = "Restoring"
    TRANSFER = "Transferring"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        stage: what is being done.
        done: steps of this stage that are finished; for ``Stage.SEGMENT``: windows, or slices;
            for ``Stage.TRANSFER``: bytes.
        total: steps of this stage; 0 where it is not known.
        seconds_left: until all of them are run, estimated; None while that cannot be told, and while what comes
            after them is still to be done; 0 at the end of the run.
        note: a sentence that the user should read once (a fallback to less memory, say), or an empty string.
        part: what is counted in ``Stage.SEGMENT``.
    """

    stage: Stage
    done: int
    total: int
    seconds_left: float | None = None
    note: str = ""
    part: Part = Part.WINDOW


OnProgress = Callable[[Progress], None]


class Pace:
    """How long the windows, or slices, that are left will take.

    Args:
        total: all of the run.

    Attributes:
        done: those that are finished.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.restart()

    def restart(self) -> None:
        """From here on the run goes at another speed."""
        self._done_before, self._since = self.done, time.monotonic()

    def seconds_left(self, done: int) -> float | None:
        """Estimated when another few are finished; None after the last one, since work other than theirs
        may follow."""
        self.done = done
        if done == self.total:
            return None
        return (time.monotonic() - self._since) / (done - self._done_before) * (self.total - done)


class CancelToken:
    """Set from any thread; asked by the run between its steps: before every layer of the network, and before every
    row or slab that is prepared or restored."""

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
