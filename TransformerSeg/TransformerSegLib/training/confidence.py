"""How sure a mean over cases is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
LEVEL_IN_WORDS = f"{100 * LEVEL:.0f} %"
SEED = 0
FEW_CASES = 10
"""With fewer cases than that, intervals by resampling are too narrow."""

_AT_A_TIME = 500

METHOD = (
    f"{LEVEL_IN_WORDS} confidence intervals of means by the percentile bootstrap over cases (Efron 1979; {RESAMPLES} "
    f"resamples, seed {SEED}); cases count as independent, as two scans of one person are not"
)


@dataclass(frozen=True)
class Estimate:
    """A mean over cases.

    Attributes:
        mean: NaN where nothing was measured.
        low, high: its confidence interval; NaN with fewer than two cases.
        median, smallest, largest: of the cases.
        cases: over which it was taken.
    """

    mean: float
    low: float
    high: float
    median: float
    smallest: float
    largest: float
    cases: int


def estimate(values: Iterable[float]) -> Estimate:
    """The mean of one value a case, with its confidence interval; NaN values are left out.

    The interval is the percentile bootstrap's (Efron 1979, Bootstrap methods: another look at the jackknife): the
    middle ``LEVEL`` of the means of ``RESAMPLES`` draws of as many cases with replacement. The same values give the
    same interval.
    """
    measured = np.array([value for value in values if math.isfinite(value)], np.float64)
    if not measured.size:
        return Estimate(*[float("nan")] * 6, 0)
    low, high = _interval(measured) if measured.size > 1 else (float("nan"),) * 2
    numbers = (measured.mean(), low, high, np.median(measured), measured.min(), measured.max())
    return Estimate(*map(float, numbers), measured.size)


def _interval(measured: np.ndarray) -> tuple[float, float]:
    random = np.random.default_rng(SEED)
    means = [
        measured[random.integers(0, measured.size, (_AT_A_TIME, measured.size))].mean(axis=1)
        for _ in range(RESAMPLES // _AT_A_TIME)
    ]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return low, high
