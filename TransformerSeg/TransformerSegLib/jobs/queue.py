"""Jobs one after the other, in one background thread; everything but their work on the thread that made the queue.

3D Slicer holds Python's global lock while its event loop idles, so that a plain thread starves there. ``pump``, called
again and again while the queue is busy, is what lets the worker run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from TransformerSegLib.errors import Cancelled
from TransformerSegLib.inference.progress import CancelToken, OnProgress, Stage
from TransformerSegLib.jobs.garbage import MainThreadCollector
from TransformerSegLib.jobs.inbox import Ended, Inbox, Told
from TransformerSegLib.jobs.job import Job, JobState
from TransformerSegLib.jobs.worker import Task, Worker

T = TypeVar("T")

LONGEST_TURN_S = 0.020
"""How long one call of ``pump`` goes on with messages; a work that talks much must not hold up the window."""

BLOCKING_TURN_S = 0.1

SHORTEST_SILENCE_S = 0.1
"""Between two tellings of progress in one stage, without a note: nobody reads faster, and a window that paints itself
holds up the worker."""

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Order:
    job: Job
    task: Task
    on_change: Callable[[Job], None]


class JobQueue:
    """A queue of jobs and the worker that does them.

    All methods are called on the thread that made the queue, and ``on_change`` is called there too, only from within
    ``pump``, ``wait`` and ``close``; it may call any of the methods. What it raises is logged.

    When ``on_change`` was called for the last time (``job.state.finished``), the queue has forgotten the job, its
    work and all that this refers to.

    Example:
        >>> queue = JobQueue()
        >>> job = queue.submit("Adding", lambda on_progress, cancel: 1 + 1, lambda job: None)
        >>> queue.wait(job)
        >>> job.result
        2
        >>> queue.close()
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._inbox = Inbox()
        self._worker = Worker(self._inbox)
        self._collector = MainThreadCollector()
        self._running: _Order | None = None
        self._waiting: deque[_Order] = deque()
        self._untold: deque[_Order] = deque()  # whose state the queue itself changed
        self._has_moved = False  # the running job has, and that is yet to be told
        self._told: Stage | None = None  # the one that its progress was last told of, and when
        self._told_at = 0.0
        self._closed = False

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Those that are not finished: the running one first, then those that wait, in their order."""
        running = [] if self._running is None else [self._running]
        return tuple(order.job for order in (*running, *self._waiting))

    @property
    def busy(self) -> bool:
        """Whether ``pump`` has to be called: something runs or waits, or is yet to be told."""
        return bool(self._running is not None or self._waiting or self._untold or self._inbox)

    def submit(
        self, title: str, work: Callable[[OnProgress, CancelToken], T], on_change: Callable[[Job[T]], None]
    ) -> Job[T]:
        """Have some work done when everything before it is.

        Args:
            title: for people.
            work: called in the worker with a function that takes its progress, and with the token that tells it to
                stop, upon which it raises ``Cancelled``. It must not touch Qt, MRML or VTK objects.
            on_change: called with the job whenever something of it changed. Of progress that comes faster than ten
                times a second, or than it is read, only the newest is told; but each with a note is, and a new stage
                at once.

        Raises:
            RuntimeError: the queue is closed.
        """
        self._check_thread()
        if self._closed:
            raise RuntimeError("the queue is closed")
        job: Job[T] = Job(title)
        self._waiting.append(_Order(job, Task(work, CancelToken()), on_change))
        self._start_next()
        return job

    def cancel(self, job: Job) -> None:
        """Ask a job to stop. One that waits is cancelled at once; one that is finished stays as it is."""
        self._check_thread()
        for order in list(self._waiting):
            if order.job is job:
                self._waiting.remove(order)
                job.ended = time.monotonic()
                self._change(order, JobState.CANCELLED)
        if self._running is not None and self._running.job is job:
            self._running.task.cancel.cancel()
            if job.state is not JobState.CANCELLING:
                self._change(self._running, JobState.CANCELLING)

    def cancel_all(self) -> None:
        """Ask all jobs to stop."""
        for job in self.jobs:
            self.cancel(job)

    def pump(self, seconds: float = 0.010) -> None:
        """Let the worker run until it has something to tell, but at most so long; then tell it."""
        self._check_thread()
        if not self._untold:
            self._inbox.wait(seconds)
        self._collector.collect_if_due()
        self._tell_messages()
        self._start_next()

    def wait(self, job: Job, timeout: float | None = None) -> None:
        """Return when a job is finished; for scripts.

        Raises:
            TimeoutError: it takes longer than ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not job.state.finished or any(order.job is job for order in self._untold):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"“{job.title}” is not finished after {timeout:g} s")
            self.pump(BLOCKING_TURN_S)

    def close(self, timeout: float = 5.0) -> None:
        """Cancel all jobs, tell that, and end the worker. A job that does not stop in time is left to itself, and
        nothing more is heard of it. Safe to call twice."""
        self._check_thread()
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + timeout
        self.cancel_all()
        while self.busy and time.monotonic() < deadline:
            self.pump(BLOCKING_TURN_S)
        self._inbox.close()
        self._worker.end(deadline - time.monotonic())
        self._collector.resume()
        if self._running is not None:
            order, self._running = self._running, None
            order.job.state, order.job.ended = JobState.CANCELLED, time.monotonic()
            _tell(order)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("a queue belongs to the thread that made it")

    def _change(self, order: _Order, state: JobState) -> None:
        order.job.state = state
        if order not in self._untold:
            self._untold.append(order)

    def _start_next(self) -> None:
        if self._running is None and self._waiting:
            self._running = self._waiting.popleft()
            self._told = None
            self._running.job.started = time.monotonic()
            self._change(self._running, JobState.RUNNING)
            self._collector.pause()
            self._worker.give(self._running.task)

    def _tell_messages(self) -> None:
        while self._untold:
            _tell(self._untold.popleft())
        deadline = time.monotonic() + LONGEST_TURN_S
        while time.monotonic() < deadline and (message := self._inbox.take()) is not None:
            match message:
                case Told(progress) if not progress.note:
                    self._has_moved = True
                    self._running.job.progress = progress
                case Told(progress):
                    self._has_moved = False
                    self._running.job.progress = progress
                    self._running.job.notes.append(progress.note)
                    _tell(self._running)
                case Ended():
                    self._has_moved = False
                    self._end(message)
                case _:
                    _emit(message)
        if self._has_moved and self._running is not None:
            self._tell_progress(self._running)

    def _tell_progress(self, order: _Order) -> None:
        """Without a note: if it is time."""
        stage, now = order.job.progress.stage, time.monotonic()
        if stage is not self._told or now - self._told_at >= SHORTEST_SILENCE_S:
            self._has_moved, self._told, self._told_at = False, stage, now
            _tell(order)

    def _end(self, ended: Ended) -> None:
        order, self._running = self._running, None
        self._collector.resume()
        job = order.job
        job.ended = ended.at
        was_cancelled = job.state is JobState.CANCELLING or isinstance(ended.error, Cancelled)
        if not isinstance(ended.error, Cancelled):
            job.error, job.report = ended.error, ended.report
        if was_cancelled:
            job.state = JobState.CANCELLED
        elif ended.error is not None:
            job.state = JobState.FAILED
        else:
            job.state, job.result = JobState.DONE, ended.result
        ended.result = ended.error = None
        _tell(order)


def _tell(order: _Order) -> None:
    try:
        order.on_change(order.job)
    except Exception:
        _logger.exception("What follows a change of the job “%s” failed", order.job.title)


def _emit(message: object) -> None:
    try:
        message.emit()
    except Exception:
        _logger.exception("What a job said could not be handed on")
