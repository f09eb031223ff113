"""The one thread in which all work is done.

It lives as long as its queue: what torch keeps for each thread (cuDNN's plans, memory) is kept from job to job.
"""

from __future__ import annotations

import atexit
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from TransformerSegLib.inference.progress import CancelToken, OnProgress
from TransformerSegLib.jobs.diverting import diverted
from TransformerSegLib.jobs.freed_memory import give_back
from TransformerSegLib.jobs.inbox import Ended, Inbox, Told

LONGEST_EXIT_S = 10.0
"""How long the program's exit waits for a job to notice that it is cancelled: a thread that is killed within torch
takes the whole program with it."""

Work = Callable[[OnProgress, CancelToken], object]


@dataclass
class Task:
    """What the worker gets: ``work`` is taken out before it is called, so that the task does not keep it alive."""

    work: Work | None
    cancel: CancelToken


class Worker:
    """A thread, started with the first task. It tells ``inbox`` what happens: ``Told`` any number of times and then
    ``Ended`` for each task, and in between what the work logged, warned of and printed."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._cancel = CancelToken()

    def give(self, task: Task) -> None:
        """Have a task done after those that were given before."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=_work_off, args=(self._tasks, self._inbox), name="TransformerSeg worker", daemon=True
            )
            self._thread.start()
            atexit.register(self.end, LONGEST_EXIT_S)
        self._cancel = task.cancel
        self._tasks.put(task)

    def end(self, timeout: float) -> None:
        """Cancel what runs and end the thread; wait for that, but no longer than so many seconds."""
        self._cancel.cancel()
        self._tasks.put(None)
        if self._thread is not None:
            self._thread.join(max(timeout, 0.0))
            if not self._thread.is_alive():
                atexit.unregister(self.end)


def _work_off(tasks: SimpleQueue[Task | None], inbox: Inbox) -> None:
    while (task := tasks.get()) is not None:
        inbox.put(_outcome(task, inbox))


def _outcome(task: Task, inbox: Inbox) -> Ended:
    work, task.work = task.work, None
    result, raised, report = None, None, ""
    with diverted(inbox.put):
        try:
            result = work(lambda progress: inbox.put(Told(progress)), task.cancel)
        except BaseException as error:  # whatever it is, it is the job's, and the thread has more to do
            raised, report = error, traceback.format_exc()
        _drop_frames(raised)
        del work
        give_back()
    return Ended(result, raised, report, time.monotonic())


def _drop_frames(error: BaseException | None) -> None:
    """Of an error and those that led to it: the frames hold volumes and layers of the network."""
    errors, seen = [error], set()
    while errors:
        error = errors.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        error.__traceback__ = None
        errors += [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
