"""What a model says of its own doubt, beside the truth."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.bundles.card import DiceScale, DoubtCheck, QualitySigns
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.interaction.calibration import calibration_error
from TransformerSegLib.interaction.confidence import confidence_map
from TransformerSegLib.interaction.dice_scale import FoundClass
from TransformerSegLib.interaction.doubt import places_of, told_dice
from TransformerSegLib.interaction.doubtful_places import MOST_ACROSS_MM, DoubtfulPlace
from TransformerSegLib.interaction.neighbourhood import Index, Spacing, millimetres_between
from TransformerSegLib.interaction.run_scores import RunScores
from TransformerSegLib.training.simulated_user import Finding, IdealUser

NEAR_MM = 3.0
"""Voxels that lie nearer than this to a boundary of the model's labels: further away nearly all are right and sure."""

MOST_VOXELS = 100_000
"""Of a case and a field; drawn at random where there are more."""

FIRST_PLACES = 5
LEAST_PAIRS = 3
"""Fewer are in order by chance."""

DIGITS = 4


@dataclass(frozen=True, eq=False)
class DoubtedCase:
    """A case's answer, and what of the truth its doubt is compared with.

    Attributes:
        scores: of the run.
        segmentation: what came of it; of all classes.
        near: of each field: places of voxels near a boundary, as ``KeptScores`` counts them, and which are right.
        dice: class name → true Dice; of those that are in the labels or in the answer.
        error: the centre of the largest error; None where there is none.
        signs: class name → of how well it was found; of those that are in the answer.
    """

    scores: RunScores
    segmentation: Segmentation
    near: tuple[tuple[np.ndarray, np.ndarray], ...]
    dice: Mapping[str, float]
    error: Index | None
    signs: Mapping[str, QualitySigns]

    @property
    def found(self) -> dict[str, FoundClass]:
        """Of classes that are in the answer."""
        return {name: FoundClass(signs, self.dice[name]) for name, signs in self.signs.items()}


def doubted_case(
    scores: RunScores,
    segmentation: Segmentation,
    signs: Mapping[str, QualitySigns],
    reference: Mapping[str, np.ndarray],
    random: np.random.Generator,
) -> DoubtedCase:
    """Compare an answer with the truth.

    Args:
        signs: class name → of how well it was found, of those that are in the answer.
        reference: class name → boolean (I, J, K).
        random: draws voxels.
    """
    found = {segment.definition.name: segmentation.mask(segment) for segment in segmentation.segments}
    near, errors = [], []
    for names in [scores.names] if scores.exclusive else [(name,) for name in scores.names]:
        labels, truth = (_numbered(masks, names) for masks in (found, reference))
        places = np.flatnonzero(_near_boundary(labels, len(names), segmentation.spacing))
        places = np.sort(random.permutation(places)[:MOST_VOXELS])
        near.append((places, (labels == truth).reshape(-1)[places]))
        errors.append(IdealUser().finding(labels, truth))
    dice = {name: _dice(found[name], reference[name]) for name in scores.names}
    defined = {name: value for name, value in dice.items() if value is not None}
    return DoubtedCase(scores, segmentation, tuple(near), defined, _largest(errors), signs)


def doubt_check(
    cases: Sequence[DoubtedCase],
    temperature: float,
    of_others: Sequence[float],
    scale: DiceScale | None,
    data: str,
    weights_sha256: str,
) -> DoubtCheck:
    """How true it is, over cases.

    Args:
        temperature: of the model.
        of_others: for each case, that which was fitted without it: confidence is measured at these. (Places are
            compared by their order, which a single number can hardly be fitted to.)
        scale: of the model. It is fitted to these very cases, which flatters the order of predicted Dice a little: of
            90 and of 89 cases, 21 drawn at random, 150 times, Spearman's correlation was 0.04 and 0.01 higher on
            those than on the rest; the weights of the signs, which are the same for all, had been chosen on all these.
        data: what the cases are of.
        weights_sha256: of the model.
    """
    places = [places_of(case.scores, case.segmentation, temperature) for case in cases]
    told = [told_dice(case.scores, case.segmentation, case.signs, temperature, scale) for case in cases]
    pairs = [(dice[name], true) for case, dice in zip(cases, told, strict=True) for name, true in case.dice.items()]
    errors = [_calibration_error(cases, each) for each in ([1.0] * len(cases), of_others)]
    return DoubtCheck(
        calibration_error=_rounded(errors[1]),
        calibration_error_uncalibrated=_rounded(errors[0]),
        dice_correlation=_rounded(_spearman(pairs)),
        predicted_dice=_mean([predicted for predicted, _ in pairs]),
        true_dice=_mean([true for _, true in pairs]),
        errors_found=_mean(
            [_is_found(each, found) for each, found in zip(cases, places, strict=True) if each.error is not None]
        ),
        scaled=scale is not None,
        data=data,
        cases=len(cases),
        weights_sha256=weights_sha256,
    )


def _numbered(masks: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """(I, J, K): 0 is “none of them”, others count the names."""
    numbers = np.zeros(masks[names[0]].shape, np.uint16)
    for number, name in enumerate(names, start=1):
        numbers[masks[name]] = number
    return numbers


def _near_boundary(labels: np.ndarray, classes: int, spacing: Spacing) -> np.ndarray:
    """Boolean: where a voxel of another number is near."""
    from scipy.ndimage import distance_transform_edt

    near = np.zeros(labels.shape, bool)
    for number in range(1, classes + 1):
        mask = labels == number
        if mask.any() and not mask.all():
            away = [distance_transform_edt(side, sampling=spacing) for side in (mask, ~mask)]
            near |= np.maximum(*away) <= NEAR_MM
    return near


def _dice(found: np.ndarray, wanted: np.ndarray) -> float | None:
    size = np.count_nonzero(found) + np.count_nonzero(wanted)
    return 2.0 * np.count_nonzero(found & wanted) / size if size else None


def _largest(errors: Sequence[Finding | None]) -> Index | None:
    """Where classes overlap, the deepest of each one's largest."""
    found = [error for error in errors if error is not None]
    return max(found, key=lambda error: error.radius).voxel if found else None


def _is_found(case: DoubtedCase, places: Sequence[DoubtfulPlace]) -> bool:
    return any(
        millimetres_between(case.error, place.centre, case.segmentation.spacing) <= MOST_ACROSS_MM / 2.0
        for place in places[:FIRST_PLACES]
    )


def _calibration_error(cases: Sequence[DoubtedCase], temperatures: Sequence[float]) -> float | None:
    found = list(_told_and_true(cases, temperatures))
    confidence, right = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return calibration_error(confidence, right) if len(right) else None


def _told_and_true(
    cases: Sequence[DoubtedCase], temperatures: Sequence[float]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each field of each case: the confidence near boundaries, and where it was right."""
    for case, temperature in zip(cases, temperatures, strict=True):
        for kept, (places, right) in zip(case.scores.fields, case.near, strict=True):
            yield confidence_map(kept, temperature).reshape(-1)[places].astype(np.float64), right


def _spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation; None where there are too few, or all are alike."""
    from scipy.stats import rankdata

    if len(pairs) < LEAST_PAIRS:
        return None
    ranks = [rankdata(values) for values in zip(*pairs, strict=True)]
    return float(np.corrcoef(ranks)[0, 1]) if all(np.ptp(each) for each in ranks) else None


def _mean(values: Sequence[float]) -> float | None:
    return _rounded(statistics.fmean(values)) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
