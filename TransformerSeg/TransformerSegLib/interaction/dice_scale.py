"""From signs of how well a class was found to the Dice to expect: by what they were in cases whose truth is known."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.bundles.card import DiceScale, QualitySigns, UsualClass

LEAST_CASES = 10
"""Of a class: of fewer nothing is said."""

WEIGHTS = {"expected_dice": 1.0, "expected_precision": 0.4, "unevenness": -0.3, "graininess": -0.3}
"""Of each sign, in deviations. They are the same for every model, so that a model's own few cases have to tell no more
than where its signs lie and how much they are worth. (Chosen on what three networks that do not ship, and the one that
does, answered to 200 hippocampus cases that they were not trained on.)"""

OF_THE_IMAGE = {"unevenness", "graininess"}

MOST_BETTER = 3.0
"""Deviations by which doubt can speak for a class. Against it there is no bound."""

MOST_TELLING = 2.0
"""Deviations by which an image can speak for a class or against it. What is calmer still is unlike the cases that the
scale was fitted to, as an image that was smoothed, and speaks for the class less and less, and then against it."""

SHARED, MOST_SHARED = 0.3, 5.0
"""Of what is said of a class, that which all classes of the image have in common: what makes it hard to see one, as
noise or an unusual patient, does so with others. One class that is all wrong counts, in that, no more than so much."""

LEAST_SURE = 2.0
"""By so many standard errors signs have to tell Dice, or there is no scale: probabilities alone say more."""

_DIGITS = 5


@dataclass(frozen=True)
class FoundClass:
    """A class in one case.

    Attributes:
        signs: of how well it was found.
        dice: how well it was.
    """

    signs: QualitySigns
    dice: float


def scaled_dice(scale: DiceScale, signs: Mapping[str, QualitySigns]) -> dict[str, float]:
    """The Dice to expect of the classes of one image, 0…1.

    Args:
        signs: class name → of how well it was found.

    Returns:
        likewise; without the classes that the scale does not know.
    """
    leads = _leads(signs, scale.usual, scale.spread)
    return {name: float(np.clip(scale.usual[name].dice + scale.slope * lead, 0.0, 1.0)) for name, lead in leads.items()}


def fitted_scale(cases: Sequence[Mapping[str, FoundClass]]) -> DiceScale | None:
    """The means of each class, the signs' deviation from them, and Dice over signs by least squares.

    Args:
        cases: that the model was not trained on: of each, class name → how it was found.

    Returns:
        None where no class was found in enough cases, or where its signs say nothing of its Dice.
    """
    by_name: dict[str, list[FoundClass]] = {}
    for case in cases:
        for name, found in case.items():
            by_name.setdefault(name, []).append(found)
    by_name = {name: found for name, found in by_name.items() if len(found) >= LEAST_CASES}
    if not by_name:
        return None
    usual = {
        name: UsualClass(signs=_mean([each.signs for each in found]), dice=_rounded([each.dice for each in found]))
        for name, found in by_name.items()
    }
    spread = _deviation([(each.signs, usual[name].signs) for name, found in by_name.items() for each in found])
    leads, better = [], []
    for case in cases:
        for name, lead in _leads({name: found.signs for name, found in case.items()}, usual, spread).items():
            leads.append(lead)
            better.append(case[name].dice - usual[name].dice)
    slope = _slope(np.array(leads), np.array(better))
    return None if slope is None else DiceScale(usual=usual, spread=spread, slope=slope)


def _slope(leads: np.ndarray, better: np.ndarray) -> float | None:
    """Through the origin, by least squares; None where it might as well be nought."""
    squares = float(leads @ leads)
    if not squares:
        return None
    slope = float(leads @ better) / squares
    rest = better - slope * leads
    error = np.sqrt(float(rest @ rest) / (len(leads) - 1) / squares)
    rounded = round(slope, _DIGITS)
    return rounded if rounded > 0.0 and slope >= LEAST_SURE * error else None


def _leads(
    signs: Mapping[str, QualitySigns], usual: Mapping[str, UsualClass], spread: QualitySigns
) -> dict[str, float]:
    """By how much each class that is known, and in part all of them, have better signs than is usual."""
    own = {name: _lead(each, usual[name].signs, spread) for name, each in signs.items() if name in usual}
    common = statistics.fmean(np.clip(list(own.values()), -MOST_SHARED, MOST_SHARED)) if own else 0.0
    return {name: (1.0 - SHARED) * lead + SHARED * common for name, lead in own.items()}


def _lead(signs: QualitySigns, usual: QualitySigns, spread: QualitySigns) -> float:
    """By how many deviations, weighted, signs are better than is usual; one that is not known says nothing."""
    total = 0.0
    for sign, weight in WEIGHTS.items():
        value, mean, deviation = (getattr(each, sign) for each in (signs, usual, spread))
        if value is not None and mean is not None and deviation:
            better = (value - mean) / deviation * np.sign(weight)
            if sign in OF_THE_IMAGE:
                better = np.clip(min(better, 2.0 * MOST_TELLING - better), -MOST_TELLING, MOST_TELLING)
            total += abs(weight) * min(better, MOST_BETTER)
    return float(total)


def _mean(signs: Sequence[QualitySigns]) -> QualitySigns:
    means = {}
    for sign in WEIGHTS:
        values = [value for each in signs if (value := getattr(each, sign)) is not None]
        means[sign] = _rounded(values) if values else None
    return QualitySigns(**means)


def _deviation(pairs: Sequence[tuple[QualitySigns, QualitySigns]]) -> QualitySigns:
    """Root mean square of the differences in each sign."""
    deviations = {}
    for sign in WEIGHTS:
        both = [(getattr(one, sign), getattr(other, sign)) for one, other in pairs]
        off = [value - mean for value, mean in both if value is not None and mean is not None]
        deviations[sign] = round(float(np.sqrt(np.mean(np.square(off)))), _DIGITS) if off else None
    return QualitySigns(**deviations)


def _rounded(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), _DIGITS)
