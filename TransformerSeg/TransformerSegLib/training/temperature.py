"""By what a model's doubt is told, from cases that it was not trained on; and how true is what it then says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.card import DiceScale, DoubtCheck
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.interaction.calibration import fitted_temperature
from TransformerSegLib.interaction.dice_scale import fitted_scale
from TransformerSegLib.interaction.doubt import signs_of
from TransformerSegLib.interaction.run_scores import RunScores
from TransformerSegLib.interaction.score_keeper import DEFAULT_BUDGET, ScoreKeeper
from TransformerSegLib.training.cases import DataList
from TransformerSegLib.training.doubt_check import MOST_VOXELS, DoubtedCase, doubt_check, doubted_case
from TransformerSegLib.training.evaluation import references

Drawn = tuple[np.ndarray, np.ndarray]
"""Scores of voxels (n, best), and which of the best is the truth (n,), −1 where none is."""


@dataclass(frozen=True)
class Calibration:
    """What came of it.

    Attributes:
        temperature: of the highest likelihood, over all cases.
        dice_scale: how Dice is predicted; None where there are too few cases.
        check: how true is what the model then says of its doubt.
    """

    temperature: float
    dice_scale: DiceScale | None
    check: DoubtCheck


def calibrated(
    bundle: Bundle, data: DataList, device: str, say: Callable[[str], None], cancel: CancelToken | None = None
) -> Calibration:
    """Segment all cases, or those kept out of training where the data say which, and fit the temperature and the scale.

    Args:
        say: shows one line to the user.

    Raises:
        TrainingDataRejected: there is nothing to fit it to.
        TransformerSegError: a case cannot be read or segmented.
        Cancelled: on the token's demand.
    """
    cases = data.validation or data.training
    segmenter, random = Segmenter(bundle, device, SegmentOptions(accept_mismatch=True)), np.random.default_rng(0)
    doubted: list[DoubtedCase] = []
    drawn: list[Drawn] = []
    for number, case in enumerate(cases, start=1):
        keeper = ScoreKeeper(bundle.plan.output, bundle.card.classes)
        volumes = [read_volume(image) for image in case.images]
        segmentation, reference = segmenter.segment(volumes, cancel=cancel, observer=keeper), references(case, bundle)
        if (whole := keeper.scores()) is not None:
            signs = signs_of(whole, segmentation, volumes[0].array, reference)  # as a run will see them, before
            keeper.thin(DEFAULT_BUDGET // len(cases))
            kept = keeper.scores()
            doubted.append(doubted_case(kept, segmentation, signs, reference, random))
            drawn.append(_drawn(kept, reference, random))
        say(f"{number}/{len(cases)} {case.name}")
    if not sum(len(right) for _, right in drawn):
        raise TrainingDataRejected(
            "There is nothing to fit a temperature to",
            why="the model gave no scores on the images' own voxels, or was sure of each",
            remedy="Leave the temperature at 1",
        )
    name = data.name or "unnamed data"
    temperature = _fitted(drawn)
    scale = fitted_scale([case.found for case in doubted])
    check = doubt_check(doubted, temperature, _of_other_halves(drawn), scale, name, bundle.weights_sha256)
    return Calibration(temperature, scale, check)


def _drawn(kept: RunScores, reference: dict[str, np.ndarray], random: np.random.Generator) -> Drawn:
    """Of voxels where the model was less than sure; of all fields of a case."""
    best = max(field.scores.shape[1] for field in kept.fields)
    scores, right = [], []
    for number, field in enumerate(kept.fields):
        names = kept.names if kept.exclusive else (kept.names[number],)
        truth = np.zeros(len(field.places), np.intp)
        for own, name in enumerate(names, start=1):
            truth[reference[name].reshape(-1)[field.places]] = own
        is_truth = field.numbers == truth[:, None]
        rows = random.permutation(len(truth))[:MOST_VOXELS]
        missing = ((0, 0), (0, best - field.scores.shape[1]))
        scores.append(np.pad(field.scores[rows], missing, constant_values=-np.inf))
        right.append(np.where(is_truth.any(axis=1), is_truth.argmax(axis=1), -1)[rows])
    return np.concatenate(scores), np.concatenate(right)


def _fitted(drawn: Sequence[Drawn]) -> float:
    best = max(scores.shape[1] for scores, _ in drawn)
    padded = [np.pad(scores, ((0, 0), (0, best - scores.shape[1])), constant_values=-np.inf) for scores, _ in drawn]
    return fitted_temperature(np.concatenate(padded), np.concatenate([right for _, right in drawn]))


def _of_other_halves(drawn: Sequence[Drawn]) -> list[float]:
    """The temperature of each case, fitted to the half of the cases that it is not in; neighbours, which may be of one
    person, are in one half. Of a single case there is no other."""
    middle = len(drawn) // 2
    halves = [half for half in (drawn[:middle], drawn[middle:]) if sum(len(right) for _, right in half)]
    if len(halves) < 2:
        return [_fitted(drawn)] * len(drawn)
    first, second = map(_fitted, halves)
    return [second] * middle + [first] * (len(drawn) - middle)
