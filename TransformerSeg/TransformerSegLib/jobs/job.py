"""One piece of background work, as the main thread sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from TransformerSegLib.inference.progress import Progress

T = TypeVar("T")


class JobState(Enum):
    """Where a job stands. It begins as QUEUED and ends as one of the last three."""

    QUEUED = "Waiting"
    RUNNING = "Running"
    CANCELLING = "Cancelling"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def finished(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(eq=False)
class Job(Generic[T]):
    """What is known of a job. Only the queue changes it, and only on the main thread.

    Whoever keeps a job keeps its result.

    Attributes:
        title: for people.
        progress: the newest that the work told; None before the first.
        notes: every note that came with its progress.
        result: what the work returned; None unless the state is DONE.
        error: what the work raised, without its frames; None unless it failed.
        report: the traceback of ``error``, as text; empty without one.
        started, ended: on the clock of ``time.monotonic``; None before.
    """

    title: str
    state: JobState = JobState.QUEUED
    progress: Progress | None = None
    notes: list[str] = field(default_factory=list)
    result: T | None = None
    error: BaseException | None = None
    report: str = ""
    started: float | None = None
    ended: float | None = None
