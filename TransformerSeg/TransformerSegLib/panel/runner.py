"""Carries runs out, one after the other, while the scene goes on changing."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from TransformerSegLib.inference.devices import AUTO
from TransformerSegLib.jobs.job import Job, JobState
from TransformerSegLib.panel.placing import put_result
from TransformerSegLib.panel.remedies import Unexpected, for_panel
from TransformerSegLib.panel.report import report_text, weights_fact
from TransformerSegLib.panel.run import Run, RunState
from TransformerSegLib.panel.scene_events import SceneEvents
from TransformerSegLib.panel.settings import AUTO_DEVICE_USED, Settings, remember_pace
from TransformerSegLib.panel.telling import cancelled_words, done_words, progress_words
from TransformerSegLib.panel.undertaking import Undertaking
from TransformerSegLib.panel.work import Engine, Finished, Work

if TYPE_CHECKING:
    import slicer

    from TransformerSegLib.jobs.queue import JobQueue

RUN_STATES = {
    JobState.QUEUED: RunState.WAITING,
    JobState.RUNNING: RunState.RUNNING,
    JobState.CANCELLING: RunState.CANCELLING,
}


class Runner:
    """Brings undertakings through the queue, and their results into the scene.

    Args:
        scene, queue, settings, keep_pumping: as for ``Session``.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        queue: JobQueue,
        settings: Settings,
        keep_pumping: Callable[[], None],
    ) -> None:
        self._scene = scene
        self._queue = queue
        self._settings = settings
        self._keep_pumping = keep_pumping
        self._engine = Engine()
        self._undertakings: list[Undertaking] = []
        self._events = SceneEvents(scene, self._on_node_removed, self._on_scene_closing)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Those not finished: the running one first, then the waiting ones in their order."""
        places = {id(job): place for place, job in enumerate(self._queue.jobs)}
        ordered = sorted(self._undertakings, key=lambda undertaking: places.get(id(undertaking.job), len(places)))
        return tuple(undertaking.run for undertaking in ordered)

    def start(self, undertaking: Undertaking, prepare: Callable[[Undertaking], None]) -> None:
        """Prepare an undertaking and queue it; an error of either is told by its run."""
        self._undertakings.append(undertaking)
        try:
            prepare(undertaking)
            self._queue_next(undertaking)
        except Exception as error:  # what nobody thought of is told like the rest, with a report
            if undertaking.cancelled_because:  # while it was prepared: its nodes are gone, which is no news
                self._end(undertaking, RunState.CANCELLED, cancelled_words(undertaking))
            else:
                self._fail(undertaking, error)

    def wait(self, run: Run) -> None:
        """Return when a run is finished."""
        while (undertaking := self._undertaking_of(run)) is not None:
            self._queue.wait(undertaking.job)

    def cancel(self, run: Run) -> None:
        """Ask for an end; nothing for a finished one."""
        undertaking = self._undertaking_of(run)
        if undertaking is not None:
            self._cancel(undertaking, _("Cancelled"))

    def close(self) -> None:
        """Cancel all, end the worker, let go of the scene."""
        self._events.close()
        for undertaking in reversed(self._undertakings):
            self._cancel(undertaking, _("Cancelled, since the module was closed"))
        self._queue.close()
        self._engine.close()

    def _queue_next(self, undertaking: Undertaking) -> None:
        """Queue the only volume, or the next frame; unless the run was cancelled meanwhile."""
        if undertaking.cancelled_because:
            self._end(undertaking, RunState.CANCELLED, cancelled_words(undertaking))
            return
        work = Work(
            self._engine,
            undertaking.bundle,
            undertaking.request.device,
            undertaking.options(),
            undertaking.volumes(self._scene),
        )
        run = undertaking.run
        run.state, run.progress = RunState.WAITING, None
        run.words = progress_words(run)
        undertaking.job = self._queue.submit(run.title, work, lambda job: self._on_job(undertaking, job))
        self._keep_pumping()
        undertaking.tell()

    def _on_job(self, undertaking: Undertaking, job: Job) -> None:
        """Something of the job changed."""
        if undertaking.run.finished:
            return
        try:
            self._follow(undertaking, job)
        except Exception as error:  # the scene is not what it was, or a fault: told like the rest
            self._fail(undertaking, error)

    def _follow(self, undertaking: Undertaking, job: Job) -> None:
        run = undertaking.run
        if job.state is JobState.CANCELLED or (job.state.finished and undertaking.cancelled_because):
            self._end(undertaking, RunState.CANCELLED, cancelled_words(undertaking))
        elif job.state is JobState.FAILED:
            self._fail(undertaking, job.error, job.report)
        elif job.state is JobState.DONE:
            self._finish(undertaking, job.result)
        else:
            run.state, run.progress = RUN_STATES[job.state], job.progress
            run.words = progress_words(run)
            undertaking.tell()

    def _finish(self, undertaking: Undertaking, finished: Finished) -> None:
        """A job is done: into the scene with it, and on to the next frame if there is one."""
        run, begun = undertaking.run, time.monotonic()
        put_result(self._scene, undertaking, finished)
        run.add_seconds({**finished.segmentation.provenance["stages"], "build segments": time.monotonic() - begun})
        self._remember(undertaking, finished)
        if run.frame < run.frames:
            run.frame += 1
            self._queue_next(undertaking)
        else:
            self._end(undertaking, RunState.DONE, done_words(run, finished.segmentation))

    def _remember(self, undertaking: Undertaking, finished: Finished) -> None:
        provenance = finished.segmentation.provenance
        if undertaking.request.device == AUTO:
            self._settings.setValue(AUTO_DEVICE_USED, provenance["device"])
        preset = undertaking.request.preset
        if finished.seconds_per_window is not None and not preset.halves:  # else the exact ones would be promised it
            pace = finished.seconds_per_window / preset.passes(undertaking.bundle.card)
            remember_pace(self._settings, undertaking.bundle, provenance["device"], pace)

    def _fail(self, undertaking: Undertaking, error: BaseException, trace: str = "") -> None:
        run = undertaking.run
        run.error = for_panel(error)
        trace = trace or "".join(traceback.format_exception(error))
        if isinstance(run.error, Unexpected):
            run.error.add_note(trace)  # for a script; the panel has its report
        undertaking.redaction.collect(self._scene)
        facts = (*undertaking.facts, *weights_fact(undertaking.bundle))
        run.report = report_text(error, facts, trace, undertaking.redaction)
        _drop_frames(run.error)
        self._end(undertaking, RunState.FAILED, run.error.what)

    def _cancel(self, undertaking: Undertaking, because: str) -> None:
        undertaking.cancelled_because = undertaking.cancelled_because or because
        if undertaking.job is not None:
            self._queue.cancel(undertaking.job)
            self._keep_pumping()

    def _end(self, undertaking: Undertaking, state: RunState, words: str) -> None:
        undertaking.run.state, undertaking.run.words = state, words
        self._undertakings.remove(undertaking)
        undertaking.tell()
        undertaking.let_go()

    def _undertaking_of(self, run: Run) -> Undertaking | None:
        return next((undertaking for undertaking in self._undertakings if undertaking.run is run), None)

    def _on_node_removed(self, node_id: str) -> None:
        for undertaking in list(self._undertakings):
            if node_id in undertaking.needed_ids:
                name = self._scene.GetNodeByID(node_id).GetName()
                self._cancel(undertaking, _("Cancelled, since “{name}” was deleted").format(name=name))

    def _on_scene_closing(self) -> None:
        for undertaking in reversed(self._undertakings):
            self._cancel(undertaking, _("Cancelled, since the scene was closed"))


def _drop_frames(error: BaseException | None) -> None:
    """They hold copies of the voxels, and the run keeps its error."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
