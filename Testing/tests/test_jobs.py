"""Work in the background: one thread, one job after the other, and everything else on the thread that asked."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import io
import json
import logging
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.errors import WrongNumberOfInputs
from TransformerSegLib.inference.progress import CancelToken, OnProgress, Progress, Stage
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.jobs.inbox import Inbox, Told
from TransformerSegLib.jobs.job import Job, JobState
from TransformerSegLib.jobs.queue import SHORTEST_SILENCE_S, JobQueue
from TransformerSegLib.resources import resources_folder

SAMPLE = resources_folder() / "SampleData" / "hippocampus_297.nii.gz"

PATIENCE_S = 60.0
"""After which a test gives up waiting."""

LOADING_PATIENCE_S = 600.0
"""For a program of its own that loads torch first: on a computer that does much else, that alone takes minutes."""


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue()
    yield queue
    queue.close()


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(find_bundle(), "cpu")


@pytest.fixture(scope="module")
def sample() -> Volume:
    return read_volume(SAMPLE)


class Listener:
    """Remembers what it was called with, and where."""

    def __init__(self) -> None:
        self.states: list[JobState] = []
        self.progress: list[Progress] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, job: Job) -> None:
        self.threads.add(threading.current_thread())
        if not self.states or self.states[-1] is not job.state:
            self.states.append(job.state)
        if job.progress is not None and job.progress not in self.progress[-1:]:
            self.progress.append(job.progress)


def ignore(job: Job) -> None:
    pass


def several_windows(volume: Volume, times: int = 4) -> Volume:
    """The sample, so many times side by side along each of two axes."""
    return replace(volume, array=np.tile(volume.array, (times, times, 1)))


def until_cancelled(on_progress: OnProgress, cancel: CancelToken) -> None:
    while True:
        cancel.raise_if_cancelled()
        time.sleep(0.001)


def worker_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "TransformerSeg worker"]


def test_a_volume_is_segmented_in_the_worker_and_told_on_the_thread_that_asked(queue, segmenter, sample):
    listener, workers = Listener(), []

    def work(on_progress: OnProgress, cancel: CancelToken):
        workers.append(threading.current_thread())
        return segmenter.segment([sample], on_progress, cancel)

    job = queue.submit("Hippocampus", work, listener)
    assert queue.busy
    queue.wait(job, PATIENCE_S)
    assert listener.states == [JobState.RUNNING, JobState.DONE]
    assert listener.threads == {threading.current_thread()}
    assert workers[0] not in listener.threads
    assert job.progress == Progress(Stage.RESTORE, 1, 1, seconds_left=0.0)
    assert job.started < job.ended
    assert [job.error, job.report, queue.busy, queue.jobs] == [None, "", False, ()]
    assert np.array_equal(job.result.layers[0], segmenter.segment([sample]).layers[0])
    assert any("windows, about" in note for note in job.notes)


def test_a_cancel_takes_effect_before_the_next_layer_of_the_network(queue, segmenter, sample):
    """The work is held up after its first windows, until it was cancelled: none comes after that."""
    large = several_windows(sample)
    patient = segmenter.with_options(SegmentOptions(accept_mismatch=True, batch_size=1))
    reached, go_on, seen = threading.Event(), threading.Event(), []

    def work(on_progress: OnProgress, cancel: CancelToken):
        def tell(progress: Progress) -> None:
            seen.append(progress)
            on_progress(progress)
            if progress.stage is Stage.SEGMENT and progress.done == 2:
                reached.set()
                go_on.wait(PATIENCE_S)

        return patient.segment([large], tell, cancel)

    listener = Listener()
    job = queue.submit("Large", work, listener)
    while not reached.is_set():
        queue.pump()
    queue.cancel(job)
    assert job.state is JobState.CANCELLING
    go_on.set()
    queue.wait(job, PATIENCE_S)
    assert seen[-1].done == 2 < seen[-1].total
    assert listener.states == [JobState.RUNNING, JobState.CANCELLING, JobState.CANCELLED]
    assert [job.result, job.error, job.report] == [None, None, ""]


def test_a_waiting_job_that_is_cancelled_never_runs_and_the_others_do(queue):
    ran, listener = [], Listener()
    release = threading.Event()
    first = queue.submit("first", lambda *_: release.wait(PATIENCE_S), ignore)
    second = queue.submit("second", lambda *_: ran.append("second"), listener)
    third = queue.submit("third", lambda *_: ran.append("third"), ignore)
    queue.cancel(second)
    assert second.state is JobState.CANCELLED
    assert queue.jobs == (first, third)
    assert listener.states == []
    release.set()
    queue.wait(third, PATIENCE_S)
    assert ran == ["third"]
    assert listener.states == [JobState.CANCELLED]


def test_jobs_run_in_their_order_and_are_listed_the_running_one_first(queue):
    ran, gates = [], [threading.Event() for _ in range(3)]

    def work(number: int, on_progress: OnProgress, cancel: CancelToken) -> int:
        gates[number].wait(PATIENCE_S)
        ran.append(number)
        return number

    jobs = [queue.submit(f"{number}", partial(work, number), ignore) for number in range(3)]
    for number, gate in enumerate(gates):
        assert queue.jobs == tuple(jobs[number:])
        assert [job.state for job in queue.jobs] == [JobState.RUNNING] + [JobState.QUEUED] * (2 - number)
        gate.set()
        queue.wait(jobs[number], PATIENCE_S)
    assert ran == [0, 1, 2]
    assert [job.result for job in jobs] == [0, 1, 2]
    assert len(worker_threads()) == 1


def test_an_error_of_the_engine_comes_with_its_traceback_as_text_and_without_frames(queue, segmenter, sample):
    job = queue.submit("Too many", partial(segment_with, segmenter, [sample, sample]), ignore)
    queue.wait(job, PATIENCE_S)
    assert job.state is JobState.FAILED
    assert isinstance(job.error, WrongNumberOfInputs)
    assert job.error.__traceback__ is None
    assert "check_number_of_inputs" in job.report
    assert "needs 1" in job.report
    assert job.result is None


def segment_with(segmenter: Segmenter, volumes: list[Volume], on_progress: OnProgress, cancel: CancelToken):
    return segmenter.segment(volumes, on_progress, cancel)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), MemoryError(), GeneratorExit()])
def test_whatever_the_work_raises_the_worker_goes_on(queue, error: BaseException):
    def work(on_progress: OnProgress, cancel: CancelToken) -> None:
        try:
            raise ValueError("first")
        except ValueError:
            raise error from None

    failed = queue.submit("fails", work, ignore)
    fine = queue.submit("fine", lambda *_: "done", ignore)
    queue.wait(fine, PATIENCE_S)
    assert [failed.state, failed.error, fine.result] == [JobState.FAILED, error, "done"]
    assert failed.error.__context__.__traceback__ is None


def test_a_work_that_ended_before_it_noticed_its_cancel_is_cancelled_all_the_same(queue):
    started, release = threading.Event(), threading.Event()

    def work(on_progress: OnProgress, cancel: CancelToken) -> str:
        started.set()
        release.wait(PATIENCE_S)
        return "result"

    job = queue.submit("deaf", work, ignore)
    while not started.is_set():
        queue.pump()
    queue.cancel(job)
    release.set()
    queue.wait(job, PATIENCE_S)
    assert [job.state, job.result] == [JobState.CANCELLED, None]


def test_closing_while_a_volume_is_segmented_cancels_it_and_ends_the_thread(segmenter, sample):
    queue, listener, waiting = JobQueue(), Listener(), Listener()
    patient = segmenter.with_options(SegmentOptions(accept_mismatch=True))
    job = queue.submit("Large", partial(segment_with, patient, [several_windows(sample)]), listener)
    queue.submit("Never", until_cancelled, waiting)
    while job.progress is None or job.progress.stage is not Stage.SEGMENT:
        queue.pump()
    queue.close(PATIENCE_S)
    assert listener.states == [JobState.RUNNING, JobState.CANCELLING, JobState.CANCELLED]
    assert waiting.states == [JobState.CANCELLED]
    assert worker_threads() == []
    assert [queue.busy, queue.jobs] == [False, ()]
    queue.close()
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit("late", until_cancelled, ignore)


def test_a_queue_that_was_never_used_has_no_thread_and_closes():
    queue = JobQueue()
    assert worker_threads() == []
    queue.close()


def test_work_that_does_not_stop_in_time_is_left_to_itself_and_not_heard_of_again():
    queue, listener, release = JobQueue(), Listener(), threading.Event()
    before = sys.stdout

    def deaf(on_progress: OnProgress, cancel: CancelToken) -> None:
        release.wait(PATIENCE_S)
        on_progress(Progress(Stage.SEGMENT, 1, 2, note="still here"))
        print("still here")

    job = queue.submit("deaf", deaf, listener)
    queue.pump()
    queue.close(timeout=0.05)
    assert listener.states == [JobState.RUNNING, JobState.CANCELLING, JobState.CANCELLED]
    assert not queue.busy
    (thread,) = worker_threads()
    release.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert [job.notes, queue.busy] == [[], False]
    assert sys.stdout is before


def test_a_callback_that_raises_is_logged_and_holds_up_nothing(queue, caplog: pytest.LogCaptureFixture):
    def fail(job: Job) -> None:
        raise ValueError("no such widget")

    broken = queue.submit("broken", lambda *_: 1, fail)
    fine = queue.submit("fine", lambda *_: 2, ignore)
    queue.wait(fine, PATIENCE_S)
    assert [broken.result, fine.result] == [1, 2]
    assert {record.exc_info[1].args[0] for record in caplog.records} == {"no such widget"}
    assert "“broken”" in caplog.text


def test_a_callback_may_submit_the_next_job(queue):
    jobs = []

    def on_first(job: Job) -> None:
        if job.state is JobState.DONE:
            jobs.append(queue.submit("second", lambda *_: job.result + 1, ignore))

    queue.wait(queue.submit("first", lambda *_: 1, on_first), PATIENCE_S)
    queue.wait(jobs[0], PATIENCE_S)
    assert jobs[0].result == 2


def test_a_callback_may_close_the_queue():
    queue, second = JobQueue(), Listener()
    first = queue.submit("first", lambda *_: 1, lambda job: queue.close() if job.state.finished else None)
    queue.submit("second", until_cancelled, second)
    queue.wait(first, PATIENCE_S)
    assert second.states == [JobState.CANCELLED]
    assert worker_threads() == []


def test_a_callback_may_wait_in_an_event_loop_of_its_own(queue):
    """As a dialog does: the timer behind ``pump`` goes on in it, and so do the jobs."""
    heard = []

    def on_first(job: Job) -> None:
        heard.append(("first", job.state))
        if job.state.finished:
            queue.wait(second, PATIENCE_S)

    first = queue.submit("first", lambda *_: 1, on_first)
    second = queue.submit("second", lambda *_: 2, lambda job: heard.append(("second", job.state)))
    queue.wait(first, PATIENCE_S)
    assert heard == [
        ("first", JobState.RUNNING),
        ("first", JobState.DONE),
        ("second", JobState.RUNNING),
        ("second", JobState.DONE),
    ]


def test_of_progress_that_comes_faster_than_it_is_read_only_the_newest_is_told_but_every_note(queue):
    told, sent = [], threading.Event()

    def work(on_progress: OnProgress, cancel: CancelToken) -> None:
        for done in range(1000):
            on_progress(Progress(Stage.SEGMENT, done, 1000, note="read me" if done in (10, 500) else ""))
            if done % 100 == 0:
                print(end=f"{done} ")
        sent.set()
        release.wait(PATIENCE_S)

    release = threading.Event()
    job = queue.submit("talks", work, lambda job: told.append(job.progress and job.progress.done))
    sent.wait(PATIENCE_S)
    assert told == []
    queue.pump()
    assert told == [None, 10, 500, 999]
    assert job.notes == ["read me", "read me"]
    release.set()
    queue.wait(job, PATIENCE_S)


def test_progress_is_told_ten_times_a_second_at_most_and_the_newest_without_waiting_for_more(queue):
    told, read, go_on = [], threading.Event(), threading.Event()

    def work(on_progress: OnProgress, cancel: CancelToken) -> None:
        on_progress(Progress(Stage.PREPARE, 0, 1))
        read.wait(PATIENCE_S)
        for done in range(40):
            on_progress(Progress(Stage.SEGMENT, done, 40))
            time.sleep(0.01)
        go_on.wait(PATIENCE_S)

    def on_change(job: Job) -> None:
        if job.progress is not None:
            told.append(job.progress)
            read.set()

    begun = time.monotonic()
    job = queue.submit("talks", work, on_change)
    while told[-1:] != [Progress(Stage.SEGMENT, 39, 40)] and time.monotonic() < begun + PATIENCE_S:
        queue.pump()
    assert told[-1].done == 39
    assert told[0].stage is Stage.PREPARE
    assert told[1].stage is Stage.SEGMENT
    assert len(told) <= (time.monotonic() - begun) / SHORTEST_SILENCE_S + 2
    go_on.set()
    queue.wait(job, PATIENCE_S)


def test_progress_that_nobody_reads_does_not_pile_up():
    inbox = Inbox()
    for done in range(1000):
        inbox.put(Told(Progress(Stage.SEGMENT, done, 1000, note="read me" if done == 500 else "")))
    taken = list(iter(inbox.take, None))
    assert [told.progress.done for told in taken] == [500, 999]


def test_pumping_returns_as_soon_as_there_is_something_to_tell(queue):
    said = threading.Event()

    def work(on_progress: OnProgress, cancel: CancelToken) -> None:
        said.wait(PATIENCE_S)

    job = queue.submit("quick", work, ignore)
    queue.pump()
    said.set()
    before = time.monotonic()
    queue.pump(seconds=PATIENCE_S)
    assert time.monotonic() - before < PATIENCE_S / 2
    assert job.state is JobState.DONE


def test_a_work_that_talks_without_end_lets_the_main_thread_go(queue):
    def work(on_progress: OnProgress, cancel: CancelToken) -> None:
        while not cancel.cancelled:
            logging.getLogger("chatter").warning("again")

    chatter = logging.getLogger("chatter")
    slow = logging.Handler()
    slow.emit = lambda record: time.sleep(0.005)
    chatter.addHandler(slow)
    chatter.propagate = False
    try:
        queue.submit("chatter", work, ignore)
        for _ in range(5):
            queue.pump()
        queue.cancel_all()
    finally:
        chatter.removeHandler(slow)
        chatter.propagate = True


@pytest.mark.parametrize("call", ["pump", "cancel_all", "close"])
def test_a_queue_is_not_for_other_threads(queue, call: str):
    refused = []

    def from_elsewhere() -> None:
        try:
            getattr(queue, call)()
        except RuntimeError as error:
            refused.append(str(error))

    queue.submit("runs", until_cancelled, ignore)
    thread = threading.Thread(target=from_elsewhere)
    thread.start()
    thread.join(PATIENCE_S)
    assert refused == ["a queue belongs to the thread that made it"]


def test_a_wait_that_is_too_long_is_told(queue):
    job = queue.submit("endless", until_cancelled, ignore)
    with pytest.raises(TimeoutError, match="endless"):
        queue.wait(job, 0.01)
    assert job.state is JobState.RUNNING


def test_nothing_of_a_job_is_kept_alive(queue, segmenter, sample):
    """Neither by the queue nor by the worker, which waits for the next job."""
    volume = replace(sample, array=sample.array.copy())
    watched = [weakref.ref(volume), weakref.ref(volume.array)]
    job = queue.submit("Hippocampus", partial(segment_with, segmenter, [volume]), ignore)
    del volume
    queue.wait(job, PATIENCE_S)
    watched += [weakref.ref(job.result), weakref.ref(job.result.layers[0]), weakref.ref(job)]
    gc.disable()
    try:
        del job
        assert [reference() for reference in watched] == [None] * 5
    finally:
        gc.enable()


def test_nothing_of_a_failed_a_cancelled_and_a_waiting_job_is_kept_alive(queue, sample):
    watched = []

    def copy_of_the_volume() -> Volume:
        volume = replace(sample, array=sample.array.copy())
        watched.append(weakref.ref(volume))
        return volume

    def fail(volume: Volume, on_progress: OnProgress, cancel: CancelToken) -> None:
        copy_of_the_volume().array / volume.array.sum()
        raise ValueError("fails")

    def wait(volume: Volume, on_progress: OnProgress, cancel: CancelToken) -> None:
        until_cancelled(on_progress, cancel)

    jobs = [queue.submit("job", partial(work, copy_of_the_volume()), ignore) for work in (fail, wait, wait)]
    queue.wait(jobs[0], PATIENCE_S)
    queue.cancel_all()
    queue.wait(jobs[1], PATIENCE_S)
    assert [job.state for job in jobs] == [JobState.FAILED, JobState.CANCELLED, JobState.CANCELLED]
    gc.collect()
    assert [reference() for reference in watched] == [None] * 4


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory that is in use from /proc")
def test_twenty_runs_leave_the_memory_as_it_was_after_the_third(queue, segmenter, sample):
    in_use = []
    for _ in range(20):
        queue.wait(queue.submit("again", partial(segment_with, segmenter, [sample]), ignore), PATIENCE_S)
        gc.collect()
        in_use.append(resident_bytes())
    assert max(in_use[3:]) < 1.05 * in_use[2]
    assert len(worker_threads()) == 1


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


class Heard(logging.Handler):
    """Remembers records, and in which thread they came."""

    def __init__(self, *loggers: str) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.threads: set[threading.Thread] = set()
        self._loggers = loggers

    def filter(self, record: logging.LogRecord) -> bool:
        self.threads.add(threading.current_thread())
        return True

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@contextlib.contextmanager
def listening(*names: str) -> Iterator[Heard]:
    """A handler on the loggers of these names."""
    handler = Heard()
    for name in names:
        logging.getLogger(name).addHandler(handler)
    try:
        yield handler
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)


def logging_work(go_on: threading.Event, on_progress: OnProgress, cancel: CancelToken) -> None:
    for name in ("root", "far.away", "alone"):
        logging.getLogger(name).warning("of %s: %d", name, 1, extra={"study": 7})
    go_on.wait(PATIENCE_S)
    try:
        raise ValueError("at fault")
    except ValueError:
        logging.getLogger("far.away").exception("failed: %s", np.zeros(2))
    logging.getLogger("alone").handle(logging.makeLogRecord({"name": "alone", "levelno": 50, "msg": "made elsewhere"}))
    logging.getLogger("alone").error("wrong %d", "arguments")
    logging.getLogger("far.away").debug("below the level")


def test_what_the_worker_logs_reaches_every_handler_but_only_on_the_main_thread(queue):
    """Handlers on the root and on other loggers, there before the job or added while it runs."""
    alone, far = logging.getLogger("alone"), logging.getLogger("far.away")
    alone.propagate = False
    go_on = threading.Event()
    try:
        with listening("root") as early, listening("alone") as of_alone, listening("far", "far.away") as of_far:
            job = queue.submit("logs", partial(logging_work, go_on), ignore)
            while len(of_alone.messages) < 1:
                queue.pump()
            with listening("root", "alone") as late:
                go_on.set()
                queue.wait(job, PATIENCE_S)
    finally:
        alone.propagate = True
    assert job.error is None
    (failed,) = [record for record in early.records if record.levelno == logging.ERROR]
    assert early.messages == ["of root: 1", "of far.away: 1", "failed: [0. 0.]"]
    assert of_far.messages == ["of far.away: 1", "of far.away: 1", "failed: [0. 0.]", "failed: [0. 0.]"]
    assert of_alone.messages == ["of alone: 1", "made elsewhere", "wrong %d ('arguments',)"]
    assert late.messages == ["failed: [0. 0.]", "made elsewhere", "wrong %d ('arguments',)"]
    assert early.records[0].study == 7
    assert failed.exc_info is None
    assert "ValueError: at fault" in logging.Formatter().format(failed)
    assert far.name == failed.name
    for handler in (early, late, of_far, of_alone):
        assert handler.threads == {threading.current_thread()}


def test_what_a_thread_of_the_works_own_logs_in_its_context_reaches_the_main_thread_too(queue):
    def work(on_progress: OnProgress, cancel: CancelToken) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(logging.getLogger().warning, "from further away"))
        thread.start()
        thread.join()

    with listening("root") as heard:
        queue.wait(queue.submit("logs", work, ignore), PATIENCE_S)
    assert heard.messages == ["from further away"]
    assert heard.threads == {threading.current_thread()}


def test_a_logger_without_handlers_does_not_fall_back_to_standard_error_in_the_worker(queue, monkeypatch):
    last, lonely = Heard(), logging.getLogger("lonely")
    monkeypatch.setattr(logging, "lastResort", last)
    monkeypatch.setattr(lonely, "propagate", False)
    queue.wait(queue.submit("logs", lambda *_: lonely.warning("anyone?"), ignore), PATIENCE_S)
    assert last.messages == ["anyone?"]
    assert last.threads == {threading.current_thread()}


@pytest.mark.parametrize("captured", [False, True])
def test_warnings_of_the_worker_are_shown_on_the_main_thread(queue, captured: bool, monkeypatch):
    shown = []

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        shown.append((str(message), category, Path(filename).name, threading.current_thread()))

    with warnings.catch_warnings(), listening("py.warnings") as handler:
        warnings.simplefilter("always")
        if captured:
            logging.captureWarnings(True)
        else:
            warnings.showwarning = show
        try:
            queue.wait(queue.submit("warns", lambda *_: warnings.warn("careful", stacklevel=1), ignore), PATIENCE_S)
        finally:
            logging.captureWarnings(False)
    here = threading.current_thread()
    if captured:
        assert handler.threads == {here}
        assert "UserWarning: careful" in handler.messages[0]
    else:
        assert shown == [("careful", UserWarning, "test_jobs.py", here)]


def test_warnings_that_are_errors_are_errors_of_the_job(queue):
    job = queue.submit("warns", lambda *_: warnings.warn("careful", stacklevel=1), ignore)
    queue.wait(job, PATIENCE_S)
    assert isinstance(job.error, UserWarning)


class Console(io.StringIO):
    """Allows only one thread, as Slicer's does."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.current_thread()

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("__") and threading.current_thread() is not object.__getattribute__(self, "thread"):
            raise AssertionError(f"{name} was asked for in another thread")
        return super().__getattribute__(name)


def test_what_the_worker_prints_is_printed_on_the_main_thread_and_touches_no_stream_before(queue, monkeypatch):
    out, err = Console(), Console()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    inside = []

    def work(on_progress: OnProgress, cancel: CancelToken) -> None:
        print("to", "out", flush=True)
        print("to err", file=sys.stderr)
        sys.stdout.writelines(["a", "b\n"])
        inside.extend([sys.stdout.isatty(), sys.stdout.encoding, sys.stderr.writable()])

    job = queue.submit("prints", work, ignore)
    while "b" not in out.getvalue() and not job.state.finished:
        print("main", end=" ")
        queue.pump()
    queue.wait(job, PATIENCE_S)
    assert job.error is None
    assert out.getvalue().replace("main ", "") == "to out\nab\n"
    assert "main " in out.getvalue()
    assert err.getvalue() == "to err\n"
    assert inside == [False, "utf-8", True]
    assert [sys.stdout, sys.stderr] == [out, err]


def test_what_stands_in_for_a_stream_outlives_the_job_since_print_may_still_be_writing_to_it(queue, monkeypatch):
    out = Console()
    monkeypatch.setattr(sys, "stdout", out)
    seen = []
    for _ in range(2):
        started, release = threading.Event(), threading.Event()
        job = queue.submit("waits", lambda *_, go=release, here=started: (here.set(), go.wait(PATIENCE_S)), ignore)
        started.wait(PATIENCE_S)
        seen.append(weakref.ref(sys.stdout))
        release.set()
        queue.wait(job, PATIENCE_S)
        gc.collect()
    first, second = (switch() for switch in seen)
    assert first is second is not None
    assert sys.stdout is out


def test_a_program_without_streams_runs_jobs_that_print(queue, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    job = queue.submit("prints", lambda *_: print("nowhere"), ignore)
    queue.wait(job, PATIENCE_S)
    assert [job.state, sys.stdout] == [JobState.DONE, None]


def ways_out() -> list[Callable[..., object] | object]:
    return [sys.stdout, sys.stderr, logging.getLogRecordFactory(), logging.Logger.handle, warnings.showwarning]


def test_once_idle_logging_warnings_and_streams_are_what_they_were(queue):
    before = ways_out()
    jobs = [queue.submit("fails", lambda *_: 1 / 0, ignore) for _ in range(3)]
    queue.wait(jobs[-1], PATIENCE_S)
    assert all(now is then for now, then in zip(ways_out(), before, strict=True))


def test_two_queues_do_not_undo_each_others_diversion(queue, monkeypatch):
    out = Console()
    monkeypatch.setattr(sys, "stdout", out)
    other, first_ended, started = JobQueue(), threading.Event(), threading.Event()

    def long(on_progress: OnProgress, cancel: CancelToken) -> None:
        started.set()
        first_ended.wait(PATIENCE_S)
        print("long")

    try:
        job = queue.submit("long", long, ignore)
        started.wait(PATIENCE_S)
        other.wait(other.submit("short", lambda *_: print("short"), ignore), PATIENCE_S)
        first_ended.set()
        queue.wait(job, PATIENCE_S)
    finally:
        other.close()
    assert [job.error, out.getvalue(), sys.stdout] == [None, "short\nlong\n", out]


def test_a_stream_that_someone_else_puts_in_place_meanwhile_stays(queue, monkeypatch):
    started, release = threading.Event(), threading.Event()

    def work(on_progress: OnProgress, cancel: CancelToken) -> None:
        started.set()
        release.wait(PATIENCE_S)

    original = sys.stdout
    job = queue.submit("waits", work, ignore)
    started.wait(PATIENCE_S)
    with contextlib.redirect_stdout(io.StringIO()) as mine:
        release.set()
        queue.wait(job, PATIENCE_S)
        assert sys.stdout is mine
    print("after", end="")  # through what redirect_stdout has put back
    queue.wait(queue.submit("next", lambda *_: None, ignore), PATIENCE_S)
    assert sys.stdout is original


def test_importing_jobs_loads_neither_torch_nor_anything_of_slicer():
    script = (
        "import json, sys, pkgutil, importlib, TransformerSegLib.jobs as jobs\n"
        "for module in pkgutil.iter_modules(jobs.__path__):\n"
        "    importlib.import_module(f'{jobs.__name__}.{module.name}')\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "TransformerSegLib.jobs.queue" in loaded
    assert not loaded & {"torch", "monai", "numpy", "pydantic", "slicer", "qt", "vtk", "ctk", "PySide6"}
    ours = {name for name in loaded if name.startswith("TransformerSegLib.") and ".jobs" not in name}
    engine = "TransformerSegLib.inference"
    assert ours == {"TransformerSegLib.errors", engine, f"{engine}.progress", f"{engine}.parts"}


@pytest.mark.parametrize("how", ["while it runs", "while idle", "closed"])
def test_a_program_that_ends_is_not_held_up_and_does_not_crash(how: str):
    script = f"""
import threading, time, torch
from TransformerSegLib.jobs.queue import JobQueue
queue, started = JobQueue(), threading.Event()
def work(on_progress, cancel):
    while not cancel.cancelled:
        torch.nn.functional.conv3d(torch.rand(1, 4, 32, 32, 32), torch.rand(4, 4, 3, 3, 3))
        started.set()
        if {how == "while idle"}:
            return
job = queue.submit("work", work, lambda job: None)
started.wait()
if {how == "closed"}:
    queue.close()
print(time.time())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=LOADING_PATIENCE_S)
    assert [done.returncode, done.stderr] == [0, ""]
    assert time.time() - float(done.stdout) < PATIENCE_S


def test_a_work_that_is_cancelled_by_a_token_of_its_own_is_cancelled(queue):
    own = CancelToken()
    own.cancel()

    def work(on_progress: OnProgress, cancel: CancelToken) -> None:
        own.raise_if_cancelled()

    job = queue.submit("own token", work, ignore)
    queue.wait(job, PATIENCE_S)
    assert [job.state, job.error] == [JobState.CANCELLED, None]
