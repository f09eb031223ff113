"""Scores of the classes in a box, as a model gave them or as labels suggest them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TransformerSegLib.interaction.nearness import distance_to, distances_from
from TransformerSegLib.interaction.neighbourhood import Box, Neighbourhood, Spacing

NEARNESS_MM = 4.0
"""Distances to a class count up to here."""

SCORE_PER_MM = 1.2
"""How much further from a class, in mm, costs it in score, beside what the model says."""

SCORE_PER_MM_OF_LABELS_ALONE = 2.0
"""The same in addition, where no model says anything: trained networks' logits rise about as fast from a boundary."""


@dataclass(frozen=True, eq=False)
class LocalScores:
    """What a model says in a box.

    Attributes:
        numbers: of the classes that are scored, ascending; 0 is “none of them”.
        scores: (len(numbers), *box), float32: logits, less that of the best: at most 0.
        known: boolean, (*box): where the model said something; elsewhere all scores are 0.
        bound: by how much, at least, the best class leads wherever scores are not known.
    """

    numbers: tuple[int, ...]
    scores: np.ndarray
    known: np.ndarray
    bound: float


def base_scores(
    labels: np.ndarray,
    around: Neighbourhood,
    also: tuple[int, ...],
    model: LocalScores | None,
) -> tuple[tuple[int, ...], np.ndarray]:
    """Scores whose highest is the label, everywhere in a neighbourhood.

    The model's scores, where it gave any that agree with the label; where nothing was kept it was sure, and the label
    leads by the bound; where the label is another, since a person set it, or where there is no model, scores fall
    with the distance to each class. Everywhere distances count a little, so that a correction moves boundaries
    rather than making islands.

    Args:
        labels: the whole grid's numbers (I, J, K): 0 is “none”.
        also: numbers that are scored although they may not occur here.
        model: of the neighbourhood's box; None: nothing is known but the labels.

    Returns:
        numbers, ascending, and their scores (len(numbers), *box), float32.
    """
    outer, inner = around.grown(NEARNESS_MM, labels.shape)
    near = labels[outer]
    here = near[inner]
    occurring = set(np.unique(near).tolist()) | {*also, *(model.numbers if model else ())}
    numbers = tuple(sorted(occurring))
    away = _distances(near, inner, numbers, around.spacing)
    is_label = np.stack([here == number for number in numbers])
    scores = -SCORE_PER_MM_OF_LABELS_ALONE * away
    if model is not None:
        scores = _with_model(scores, is_label, numbers, model)
    scores -= SCORE_PER_MM * away
    return numbers, scores


def _distances(near: np.ndarray, inner: Box, numbers: tuple[int, ...], spacing: Spacing) -> np.ndarray:
    """(numbers, *inner), float32, in mm."""
    if all(extent.stop - extent.start == 1 for extent in inner):
        place = tuple(extent.start for extent in inner)
        found = distances_from(place, near, spacing, NEARNESS_MM)
        away = [found[number] if number < len(found) else NEARNESS_MM for number in numbers]
        return np.array(away, np.float32).reshape(-1, 1, 1, 1)
    return np.stack([distance_to(near == number, spacing, NEARNESS_MM)[inner] for number in numbers])


def _with_model(scores: np.ndarray, is_label: np.ndarray, numbers: tuple[int, ...], model: LocalScores) -> np.ndarray:
    """The model's scores where they agree with the labels; where it was sure, its bound."""
    told = np.where(is_label, np.float32(0.0), np.float32(-model.bound))
    for row, number in enumerate(numbers):
        of_model = model.scores[model.numbers.index(number)] if number in model.numbers else np.float32(-model.bound)
        np.copyto(told[row], of_model, where=model.known)
    others = np.where(is_label, -np.inf, told).max(axis=0)
    label = np.where(is_label, told, -np.inf).max(axis=0)
    return np.where(label >= others, told, scores)
