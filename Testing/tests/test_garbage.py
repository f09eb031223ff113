"""Objects of VTK that nobody needs any longer are destroyed on the main thread, also while a job runs."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest
from vtkmodules.vtkCommonCore import vtkObject

from TransformerSegLib.inference.progress import Progress, Stage
from TransformerSegLib.jobs.queue import JobQueue

CYCLES = 200
ENOUGH_TO_COLLECT = 200_000

destroyed_in: set[int] = set()


def on_delete(caller: object, event: str) -> None:
    destroyed_in.add(threading.get_ident())


class InACycle:
    def __init__(self) -> None:
        self.itself = self
        self.held = vtkObject()
        self.held.AddObserver("DeleteEvent", on_delete)


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    destroyed_in.clear()
    queue = JobQueue()
    yield queue
    queue.close()


def make_garbage() -> None:
    for _ in range(ENOUGH_TO_COLLECT):
        cycle: list = []
        cycle.append(cycle)


def test_the_worker_destroys_nothing_that_belongs_to_the_main_thread(queue):
    started = threading.Event()

    def work(on_progress, cancel) -> None:
        started.set()
        for step in range(20):
            on_progress(Progress(Stage.SEGMENT, step, 20))
            make_garbage()

    job = queue.submit("Allocating", work, lambda job: None)
    started.wait()
    gc.collect()
    for _ in range(CYCLES):
        InACycle()
    queue.wait(job)
    gc.collect()
    assert destroyed_in == {threading.get_ident()}


@pytest.mark.parametrize("fails", [False, True])
def test_pythons_own_collector_works_again_after_a_job(queue, fails):
    def work(on_progress, cancel) -> None:
        assert not gc.isenabled()
        if fails:
            raise ValueError

    assert gc.isenabled()
    job = queue.submit("Looking", work, lambda job: None)
    queue.wait(job)
    assert isinstance(job.error, ValueError) == fails
    assert gc.isenabled()


def test_a_collector_that_somebody_else_switched_off_stays_off(queue):
    gc.disable()
    try:
        queue.wait(queue.submit("Nothing", lambda on_progress, cancel: None, lambda job: None))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_of_two_queues_the_last_one_switches_it_on_again(queue):
    other, go_on = JobQueue(), threading.Event()
    try:
        first = queue.submit("Long", lambda on_progress, cancel: go_on.wait(), lambda job: None)
        other.wait(other.submit("Short", lambda on_progress, cancel: None, lambda job: None))
        assert not gc.isenabled()
        go_on.set()
        queue.wait(first)
        assert gc.isenabled()
    finally:
        go_on.set()
        other.close()
