"""How a segmentation gets better, click by click, when a simulated user corrects it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from TransformerSegLib.interaction.corrector import Corrector
from TransformerSegLib.interaction.refiner_card import ClicksMeasured
from TransformerSegLib.training.simulated_user import Finding, IdealUser, SloppyUser, click_for

MOST_CLICKS = 20
WANTED_DICE = 0.90
AFTER = (0, 1, 3, 5, 10)
"""Clicks, after which figures are told."""

DIGITS = 4


class Correcting(Protocol):
    """Answers findings.

    Attributes:
        now: the labels, (I, J, K).
    """

    @property
    def now(self) -> np.ndarray: ...

    def put_right(self, finding: Finding) -> None: ...


class ByClicks:
    """Clicks “belongs”, or “does not belong” where nothing is.

    Args:
        corrector: of one field, in which class n of a card has the number n + 1.
    """

    def __init__(self, corrector: Corrector) -> None:
        self._corrector = corrector

    @property
    def now(self) -> np.ndarray:
        return self._corrector.fields[0].now

    def put_right(self, finding: Finding) -> None:
        self._corrector.click(click_for(finding, self.now))


@dataclass(frozen=True, eq=False)
class Curves:
    """What came of the clicks.

    Attributes:
        dice: (cases, MOST_CLICKS + 1), float64: mean over the classes of the truth, after each click.
        milliseconds: (clicks,), that each took.
    """

    dice: np.ndarray
    milliseconds: np.ndarray

    def measured(self) -> ClicksMeasured:
        reached = self.dice >= WANTED_DICE
        clicks = np.where(reached.any(axis=1), reached.argmax(axis=1), MOST_CLICKS)
        return ClicksMeasured(
            dice={number: round(float(self.dice[:, number].mean()), DIGITS) for number in AFTER},
            clicks=round(float(clicks.mean()), 2),
            never=int((~reached.any(axis=1)).sum()),
            worsening=round(float((np.diff(self.dice, axis=1) < 0).mean()), DIGITS),
        )


def curves(cases: Iterable[tuple[Correcting, np.ndarray]], sloppy: bool = False) -> Curves:
    """Let a user click until nothing is wrong any longer, or ``MOST_CLICKS`` times.

    Args:
        cases: each with its truth, (I, J, K).
        sloppy: which user does.
    """
    dices, milliseconds = [], []
    for seed, (correcting, truth) in enumerate(cases):
        user = SloppyUser(seed) if sloppy else IdealUser()
        curve = np.ones(MOST_CLICKS + 1)
        dices.append(curve)
        for clicks in range(MOST_CLICKS + 1):
            curve[clicks] = dice(correcting.now, truth)
            finding = user.finding(correcting.now, truth) if clicks < MOST_CLICKS else None
            if finding is None:
                break
            started = time.perf_counter()
            correcting.put_right(finding)
            milliseconds.append(1000.0 * (time.perf_counter() - started))
    return Curves(np.array(dices), np.array(milliseconds))


def dice(labels: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the classes of the truth."""
    scores = []
    for number in np.unique(truth[truth > 0]):
        found, wanted = labels == number, truth == number
        scores.append(2 * np.count_nonzero(found & wanted) / (np.count_nonzero(found) + np.count_nonzero(wanted)))
    return float(np.mean(scores))
