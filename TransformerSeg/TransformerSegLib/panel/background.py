"""One job at a time beside the window, for a part of the panel."""

from __future__ import annotations

from collections.abc import Callable

from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.jobs.job import Job
from TransformerSegLib.jobs.queue import JobQueue
from TransformerSegLib.panel.pump import Pump


class Background:
    """A worker of its own, so that a short job does not wait for a run. For the main thread."""

    def __init__(self) -> None:
        self._queue = JobQueue()
        self._pump = Pump(self._queue)
        self._job: Job | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a job goes on."""
        return self._job is not None

    def start(self, title: str, work: Callable[[CancelToken], object], on_end: Callable[[Job], None]) -> None:
        """Start a job; none may go on.

        Args:
            work: is called in the worker: no Qt, no MRML, no VTK.
            on_end: is called when it is done, failed or cancelled, but not after ``close``.
        """

        def on_change(job: Job) -> None:
            if job.state.finished:
                self._job = None
                on_end(job)

        self._job = self._queue.submit(title, lambda on_progress, cancel: work(cancel), on_change)
        self._pump.start()

    def cancel(self) -> None:
        """Ask it to stop; nothing where none goes on."""
        if self._job is not None:
            self._queue.cancel(self._job)
            self._pump.start()

    def close(self) -> None:
        """Cancel, and end the worker. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._queue.close()
            self._pump.close()
