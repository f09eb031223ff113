"""What a training says of itself."""

from __future__ import annotations

from slicer.i18n import tr as _

from TransformerSegLib.panel.phrases import DOUBTFUL, GOOD, breakable, duration, escaped, explained, sign
from TransformerSegLib.panel.training_run import TrainingRun, TrainingState
from TransformerSegLib.training.progress_file import State, Told

MOST_DETAILS = 5
"""Of an error's further lines, those that are shown."""


def training_words(run: TrainingRun) -> str:
    """How a training stands, as rich text."""
    title = f"<b>{breakable(escaped(run.plan.title))}</b>"
    match run.state:
        case TrainingState.FAILED:
            return _failed(run)
        case TrainingState.DONE:
            lines = [f"{sign(GOOD)} {title}", _("Trained. {figures}").format(figures=_measured(run.told))]
        case TrainingState.STOPPED if run.has_model:
            lines = [f"{sign(GOOD)} {title}", _("Trained. It was stopped before it was measured.")]
        case TrainingState.STOPPED:
            lines = [f"{sign(DOUBTFUL)} {title}", _stopped(run)]
        case TrainingState.STOPPING:
            lines = [title, _("Stopping …")]
        case TrainingState.STARTING:
            lines = [title, _("Starting …")]
        case TrainingState.RUNNING:
            lines = [title, _stage(run.told), _figures(run.told), _time_left(run.told)]
    return "<br>".join(line.strip() for line in lines if line.strip())


def heading(run: TrainingRun | None) -> str:
    """Of the section: what goes on is to be seen where it is closed, too."""
    if run is None or run.state.finished:
        return _("Train")
    in_epoch = run.told and run.told.epoch and run.told.state is State.TRAINING
    if not in_epoch:
        return _("Train (running)")
    return _("Train (epoch {epoch} of {epochs})").format(epoch=run.told.epoch, epochs=run.told.epochs)


def _stage(told: Told) -> str:
    match told.state:
        case State.CHECKING:
            return _("Checking the cases …")
        case State.TRAINING if not told.epoch:
            return _("Reading the cases …")
        case State.TRAINING:
            return _("Epoch {epoch} of {epochs}").format(epoch=told.epoch, epochs=told.epochs)
        case State.EXPORTING:
            return _("Writing the model …")
        case State.MEASURING:
            if not told.steps:
                return _("Measuring it on the cases that were kept out …")
            return _("Measuring it on the cases that were kept out: {done} of {total}").format(
                done=told.step, total=told.steps
            )
    return _("Ending …")


def _figures(told: Told | None) -> str:
    """ "Loss 0.412, Dice 0.871"."""
    figures = []
    if told is not None and told.loss is not None:
        figures.append(_("Loss {loss}").format(loss=f"{told.loss:.3f}"))
    if told is not None and told.mean_dice is not None:
        figures.append(_("Dice {dice}").format(dice=f"{told.mean_dice:.3f}"))
    return ", ".join(figures)


def _measured(told: Told | None) -> str:
    if told is None or told.mean_dice is None:
        return _("It was not measured: no cases were kept out.")
    return _("Dice {dice} on the cases that were kept out.").format(dice=f"{told.mean_dice:.3f}")


def _time_left(told: Told) -> str:
    if told.state not in (State.TRAINING, State.MEASURING):
        return ""
    if told.seconds_left is None:
        return _("How long it takes is being measured")
    if told.seconds_left < 1:
        return ""
    return _("About {time} left").format(time=duration(told.seconds_left))


def _stopped(run: TrainingRun) -> str:
    finished = run.finished_epochs
    if not finished:
        return _("Stopped. Continue starts with the first epoch.")
    return _("Stopped after epoch {epoch} of {epochs}; what is finished is kept.").format(
        epoch=finished, epochs=run.plan.epochs
    )


def _failed(run: TrainingRun) -> str:
    details = [f"• {breakable(escaped(line))}" for line in run.error.details]
    left = len(details) - MOST_DETAILS
    more = [_("… and {number} more").format(number=left)] if left > 0 else []
    what = _("“{title}” is trained, but not measured") if run.has_model else _("“{title}” is not trained")
    title = what.format(title=run.plan.title)
    return "<br>".join([escaped(title), explained(run.error), *details[:MOST_DETAILS], *more])
