"""What a run's scores say of its result: where to look, and how well each class was probably found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.interaction.confidence import confidence_map
from TransformerSegLib.interaction.doubtful_places import DoubtfulPlace, doubtful_places
from TransformerSegLib.interaction.kept_scores import KeptScores
from TransformerSegLib.interaction.predicted_dice import predicted_dice
from TransformerSegLib.interaction.run_scores import RunScores


@dataclass(frozen=True)
class Doubt:
    """About one segmentation.

    Attributes:
        temperature: at which the model is as sure as it is right.
        places: the worst first.
        dice: class name → the Dice to expect.
    """

    temperature: float
    places: tuple[DoubtfulPlace, ...]
    dice: Mapping[str, float]


def doubt_of(scores: RunScores, segmentation: Segmentation, temperature: float) -> Doubt:
    """Look through what was kept of a run.

    Args:
        scores: of the run.
        segmentation: what came of it; doubt is told of its classes, which may be some of the model's.
        temperature: of the model's card.
    """
    spacing = tuple(float(length) for length in np.linalg.norm(segmentation.affine[:3, :3], axis=0))
    fields, numbers = _wanted(scores, {segment.definition.name for segment in segmentation.segments})
    places = doubtful_places(fields, temperature, spacing, wanted=numbers)
    return Doubt(temperature, tuple(places), _dice(scores, segmentation, temperature))


def confidence(scores: RunScores, temperature: float) -> np.ndarray:
    """(I, J, K), float16: the probability of the label; where classes overlap, of that which is least sure."""
    maps = (confidence_map(kept, temperature) for kept in scores.fields)
    result = next(maps)
    for other in maps:
        np.minimum(result, other, out=result)
    return result


def _wanted(scores: RunScores, wanted: AbstractSet[str]) -> tuple[Sequence[KeptScores], list[int] | None]:
    """The fields in which classes are scored, and the numbers that these have; None: all."""
    if wanted.issuperset(scores.names):
        return scores.fields, None
    names = [name for name in scores.names if name in wanted]
    fields = scores.fields if scores.exclusive else [scores.field_of(name) for name in names]
    return fields, [scores.number_of(name) for name in names]


def _dice(scores: RunScores, segmentation: Segmentation, temperature: float) -> dict[str, float]:
    """Of the classes that the segmentation has."""
    labels = {segment.definition.name: segment.definition.label for segment in segmentation.segments}
    names = [name for name in scores.names if name in labels]
    if scores.exclusive:
        numbers = np.zeros(max(labels.values()) + 1, np.min_scalar_type(len(scores.names)))
        for name in names:
            numbers[labels[name]] = scores.number_of(name)
        found = numbers.take(segmentation.layers[0])
        wanted = [scores.number_of(name) for name in names]
        return dict(zip(names, predicted_dice(scores.fields[0], found, wanted, temperature), strict=True))
    layers = {segment.definition.name: segmentation.layers[segment.layer] for segment in segmentation.segments}
    return {
        name: predicted_dice(scores.field_of(name), (layers[name] == labels[name]).view(np.uint8), (1,), temperature)[0]
        for name in names
    }
