"""What a run's scores say of its result: where to look, and how well each class was probably found."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.bundles.card import Card, DiceScale, QualitySigns
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.interaction.confidence import confidence_map
from TransformerSegLib.interaction.dice_scale import scaled_dice
from TransformerSegLib.interaction.doubtful_places import DoubtfulPlace, doubtful_places
from TransformerSegLib.interaction.expected_overlap import expected_overlaps
from TransformerSegLib.interaction.kept_scores import KeptScores
from TransformerSegLib.interaction.quality_signs import quality_signs
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


def doubt_of(scores: RunScores, segmentation: Segmentation, image: np.ndarray, card: Card) -> Doubt:
    """Look through what was kept of a run.

    Args:
        scores: of the run.
        segmentation: what came of it; doubt is told of its classes, which may be some of the model's.
        image: (I, J, K): that was segmented, the first of several.
        card: of the model.
    """
    places = places_of(scores, segmentation, card.temperature)
    scale = card.dice_scale
    signs = signs_of(scores, segmentation, image, scale.usual) if scale is not None else {}
    return Doubt(card.temperature, places, told_dice(scores, segmentation, signs, card.temperature, scale))


def places_of(scores: RunScores, segmentation: Segmentation, temperature: float) -> tuple[DoubtfulPlace, ...]:
    """Where the segmentation's classes are in doubt, the worst place first."""
    fields, numbers = _wanted(scores, {segment.definition.name for segment in segmentation.segments})
    return tuple(doubtful_places(fields, temperature, segmentation.spacing, wanted=numbers))


def told_dice(
    scores: RunScores,
    segmentation: Segmentation,
    signs: Mapping[str, QualitySigns],
    temperature: float,
    scale: DiceScale | None,
) -> dict[str, float]:
    """The Dice to expect of the segmentation's classes: on the scale, where it knows them; else what follows from the
    probabilities.

    Args:
        signs: class name → of how well it was found.
        temperature: at which the model is as sure as it is right.
    """
    told = scaled_dice(scale, signs) if scale is not None else {}
    for field, labels, numbers in _labelled(scores, segmentation, told):
        overlaps = expected_overlaps(field, labels, tuple(numbers.values()), temperature)
        told |= {name: overlap.dice for name, overlap in zip(numbers, overlaps, strict=True)}
    return told


def signs_of(
    scores: RunScores, segmentation: Segmentation, image: np.ndarray, wanted: Collection[str]
) -> dict[str, QualitySigns]:
    """Of the segmentation's classes, of each that is wanted and was found.

    Args:
        image: as ``doubt_of``.
        wanted: class names.
    """
    result = {}
    for field, labels, numbers in _labelled(scores, segmentation, set(scores.names).difference(wanted)):
        signs = quality_signs(field, labels, tuple(numbers.values()), image, segmentation.spacing)
        result.update((name, each) for name, each in zip(numbers, signs, strict=True) if each is not None)
    return result


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


def _labelled(
    scores: RunScores, segmentation: Segmentation, but: Container[str]
) -> Iterator[tuple[KeptScores, np.ndarray, dict[str, int]]]:
    """Each field in which classes of the segmentation are scored, the labels (I, J, K) as it numbers them, and the
    numbers that these classes have, by name.

    Args:
        but: names of classes that are not wanted.
    """
    labels = {segment.definition.name: segment.definition.label for segment in segmentation.segments}
    names = [name for name in scores.names if name in labels and name not in but]
    if scores.exclusive and names:
        numbers = np.zeros(max(labels.values()) + 1, np.min_scalar_type(len(scores.names)))
        for number, name in enumerate(scores.names, start=1):
            if name in labels:
                numbers[labels[name]] = number
        yield scores.fields[0], numbers.take(segmentation.layers[0]), {name: scores.number_of(name) for name in names}
        return
    layers = {segment.definition.name: segmentation.layers[segment.layer] for segment in segmentation.segments}
    for name in names:
        yield scores.field_of(name), (layers[name] == labels[name]).view(np.uint8), {name: 1}
