"""What a run says of itself, one sentence at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from TransformerSegLib.inference.progress import Stage
from TransformerSegLib.panel.phrases import counted_parts
from TransformerSegLib.panel.run import Run, RunState

if TYPE_CHECKING:
    from TransformerSegLib.inference.segmentation import Segmentation
    from TransformerSegLib.panel.undertaking import Undertaking

_MOST_NAMED = 3

_LEAST_TOLD, _LEAST_SECONDS = 0.05, 0.05
"""Share of all the time that a run took, and seconds: a stage that took less is not worth a person's while."""


def progress_words(run: Run) -> str:
    """ "Segmenting, 3 of 27 windows"."""
    if run.state is RunState.WAITING:
        return _("Waiting for its turn")
    if run.state is RunState.CANCELLING:
        return _("Cancelling …")
    progress = run.progress
    if progress is None:
        return _("Starting")
    words = _(progress.stage.value)
    if progress.stage is Stage.SEGMENT and progress.total:
        total = counted_parts(progress.total, progress.part)
        words = _("{stage}, {done} of {total}").format(stage=words, done=progress.done, total=total)
    if run.frames > 1:
        words = _("Frame {number} of {count}: {words}").format(number=run.frame, count=run.frames, words=words)
    return words


def done_words(run: Run, segmentation: Segmentation) -> str:
    """How long it took, and what was not found."""
    seconds = _("Done in {seconds} s").format(seconds=f"{segmentation.provenance['seconds']:.1f}")
    if run.frames > 1:
        return _("Done: {count} frames").format(count=run.frames)
    missing = [segment.definition.name for segment in segmentation.empty_segments]
    if not missing:
        return seconds
    if len(missing) == len(segmentation.segments):
        return _("{done}, but nothing was found in this volume").format(done=seconds)
    if len(missing) > _MOST_NAMED:
        return _("{done}. Not found in this volume: {number} of {all} structures").format(
            done=seconds, number=len(missing), all=len(segmentation.segments)
        )
    return _("{done}. Not found in this volume: {names}").format(done=seconds, names=", ".join(missing))


def time_words(run: Run) -> str:
    """ "Time: prepare 0.2 s, segment 3.1 s": the stages that took a share worth telling; "" before a run is done."""
    told = [
        _("{stage} {seconds} s").format(stage=_(stage), seconds=f"{seconds:.1f}")
        for stage, seconds in run.seconds.items()
        if seconds >= max(_LEAST_TOLD * sum(run.seconds.values()), _LEAST_SECONDS)
    ]
    return _("Time: {stages}").format(stages=", ".join(told)) if told else ""


def cancelled_words(undertaking: Undertaking) -> str:
    """Why it was cancelled, and what is left of it."""
    because = undertaking.cancelled_because or _("Cancelled")
    finished_frames = undertaking.run.frame - 1
    if finished_frames:
        return _("{because}: the first {count} of {all} frames are segmented").format(
            because=because, count=finished_frames, all=undertaking.run.frames
        )
    return _("{because}: nothing was changed").format(because=because)
