"""Lets the worker run while Slicer's window waits for its user."""

from __future__ import annotations

import qt

from TransformerSegLib.jobs.queue import JobQueue


class Pump:
    """A timer that calls ``queue.pump()`` in every round of Qt's loop, for as long as there are jobs.

    Slicer holds Python's global lock while its event loop waits; a plain thread would stand still. The queue's pump
    waits for the worker, and so hands the lock over to it, 10 ms at a time.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._tick)

    def start(self) -> None:
        """To be called whenever a job was submitted; more often does no harm."""
        if not self._timer.isActive():
            self._timer.start()

    def close(self) -> None:
        """Stop for good."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self._tick)

    @property
    def running(self) -> bool:
        return self._timer.isActive()

    def _tick(self) -> None:
        self._queue.pump()
        if not self._queue.busy:
            self._timer.stop()
