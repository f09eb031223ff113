"""What happens beside a run's steps: its losses are gathered, its network measured, its files written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from TransformerSegLib.errors import TrainingDiverged
from TransformerSegLib.training.curve import Curve
from TransformerSegLib.training.learning_log import LearningLog
from TransformerSegLib.training.processes import gathered, is_first
from TransformerSegLib.training.progress_file import State
from TransformerSegLib.training.reports import EpochReport, Measured, StepReport, Watch
from TransformerSegLib.training.run_files import CURVE, LOG
from TransformerSegLib.training.tensorboard_log import TensorBoardLog

if TYPE_CHECKING:
    from monai.engines import SupervisedTrainer


class Teller:
    """Follows a trainer.

    Args:
        trainer: with its state taken up.
        folder: of the run.
        validation_interval: epochs between two measurements.
        validate: measures the network; None: it is not measured.
        loss_parts: gives the named parts of the last step's loss.
        learning_rate: gives the present one.
        watch: who is told; its ``progress`` is there.
    """

    def __init__(
        self,
        trainer: SupervisedTrainer,
        folder: Path,
        validation_interval: int,
        validate: Callable[[], Measured] | None,
        loss_parts: Callable[[], Mapping[str, float]],
        learning_rate: Callable[[], float],
        watch: Watch,
    ) -> None:
        self._trainer = trainer
        self._validation_interval = validation_interval
        self._validate = validate
        self._loss_parts = loss_parts
        self._learning_rate = learning_rate
        self._watch = watch
        self._first = is_first()
        self._log = LearningLog(folder / LOG, trainer.state.epoch)
        self._curve = Curve(folder / CURVE)
        self._tensorboard = TensorBoardLog(folder, trainer.state.epoch) if self._first else None
        self._losses: list[dict[str, float]] = []
        self._begun = self._epoch_begun = 0.0
        self._steps_before = 0

    def attach(self) -> None:
        """Be called by the trainer from now on."""
        from ignite.engine import Events

        for event, handler in (
            (Events.STARTED, self._start),
            (Events.EPOCH_STARTED, self._start_epoch),
            (Events.ITERATION_COMPLETED, self._end_step),
            (Events.EPOCH_COMPLETED, self._end_epoch),
        ):
            self._trainer.add_event_handler(event, handler)

    def close(self) -> None:
        """Let go of the files, and draw the last curve."""
        if self._first and self._log.rows:
            self._curve.show(self._log.rows, last=True)
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _start(self, engine) -> None:
        self._begun = time.monotonic()
        self._steps_before = engine.state.iteration
        self._watch.progress.tell(message="")

    def _start_epoch(self, engine) -> None:
        self._losses.clear()
        self._epoch_begun = time.monotonic()
        state = engine.state
        self._watch.progress.tell(
            state=State.TRAINING, epoch=state.epoch, epochs=state.max_epochs, step=0, steps=state.epoch_length
        )

    def _end_step(self, engine) -> None:
        state = engine.state
        loss = state.output["loss"].item()
        if math.isfinite(loss):
            self._losses.append({"": loss, **self._loss_parts()})
        elif engine.scaler is None:
            raise _diverged(state.epoch)
        if self._first:
            step = state.iteration - (state.epoch - 1) * state.epoch_length
            left = self._seconds_left()
            self._watch.progress.tell(step=step, loss=loss, seconds_left=left)
            self._watch.on_step(StepReport(state.epoch, state.max_epochs, step, state.epoch_length, loss, left))

    def _end_epoch(self, engine) -> None:
        epoch, epochs = engine.state.epoch, engine.state.max_epochs
        if not self._losses:  # the scaler of half precision leaves such steps out, but not all of an epoch
            raise _diverged(epoch)
        due = epoch % self._validation_interval == 0 or epoch == epochs
        measured = self._validate() if self._validate and due else None
        mean_dice = measured.mean_dice if measured and math.isfinite(measured.mean_dice) else None
        losses = _means(gathered(_means(self._losses)))
        if not self._first:
            return
        report = EpochReport(
            epoch,
            epochs,
            losses.pop(""),
            self._learning_rate(),
            time.monotonic() - self._epoch_begun,
            self._seconds_left(),
            mean_dice,
            measured.dice if measured else {},
            losses,
        )
        self._log.add(report.row)
        self._curve.show(self._log.rows)
        if self._tensorboard is not None:
            self._tensorboard.add(report)
        told = {} if mean_dice is None else {"mean_dice": mean_dice}
        self._watch.progress.tell(seconds_left=report.seconds_left, **told)
        self._watch.on_epoch(report)

    def _seconds_left(self) -> float:
        """As long as the steps until now took, with all that lies between them, each of the others takes."""
        state = self._trainer.state
        done = state.iteration - self._steps_before
        left = state.max_epochs * state.epoch_length - state.iteration
        return (time.monotonic() - self._begun) / done * left


def _diverged(epoch: int) -> TrainingDiverged:
    return TrainingDiverged(
        f"The loss is no number any more in epoch {epoch}",
        why="a step was too large, and a training does not come back from that",
        remedy="Lower “learning_rate” in the recipe, and name another folder for the run",
    )


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: fmean(row[name] for row in rows) for name in rows[0]}
