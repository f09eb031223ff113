"""What a training says to a person: a line an epoch, and within long epochs one now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from TransformerSegLib.training.reports import EpochReport, StepReport

SECONDS_BETWEEN = 30.0
"""Two lines within an epoch, and an epoch's beginning and its first such line."""

SECONDS_BETWEEN_CASES = 5.0
"""Two lines while cases are measured, and the beginning of that and its first line."""


class Lines:
    """Says how far a training is.

    Args:
        say: shows one line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = time.monotonic()

    def epoch(self, report: EpochReport) -> None:
        """Say what an epoch came to."""
        parts = ", ".join(f"{name} {loss:.4f}" for name, loss in report.losses.items())
        measured = "" if report.mean_dice is None else f", Dice {report.mean_dice:.4f}"
        self._line(
            f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.4f}{f' ({parts})' if parts else ''}{measured}",
            report.seconds_left,
        )

    def step(self, report: StepReport) -> None:
        """Say how far the epoch is, where nothing was said for a while."""
        if time.monotonic() - self._said >= SECONDS_BETWEEN:
            self._line(
                f"epoch {report.epoch}/{report.epochs}, step {report.step}/{report.steps}: loss {report.loss:.4f}",
                report.seconds_left,
            )

    def measured(self, done: int, cases: int, seconds_left: float) -> None:
        """Say how many cases are measured, where that takes a while."""
        if done < cases and time.monotonic() - self._said >= SECONDS_BETWEEN_CASES:
            self._line(f"measured {done}/{cases} cases", seconds_left)

    def _line(self, told: str, seconds_left: float) -> None:
        self._say(f"{told}, {timedelta(seconds=round(seconds_left))} left")
        self._said = time.monotonic()
