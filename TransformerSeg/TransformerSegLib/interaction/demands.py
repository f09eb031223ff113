"""What clicks demand of the scores at their voxels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.interaction.click import Index

MARGIN = 3.0
"""By how much, in logits, a class shall lead where a click says that it is the one."""


@dataclass(frozen=True)
class Demand:
    """One number shall lead another at a voxel.

    Attributes:
        voxel: index (i, j, k).
        winner, loser: rows of the scores.
        missing: by how much the winner's lead falls short of the margin; negative where it does not.
    """

    voxel: Index
    winner: int
    loser: int
    missing: float


def demands_of(
    voxel: Index,
    said: Mapping[int, bool],
    numbers: Sequence[int],
    scores: np.ndarray,
    closed: Collection[int] = (),
) -> list[Demand]:
    """What the clicks on one voxel ask for.

    “Belongs” asks that its class leads every other. “Does not belong” asks that another leads it: none at all, if that
    is not far behind, since who means another class would have clicked for that one; else the best of the others. One
    that takes no voxels has to stand back, too.

    Args:
        said: number of a class → whether the voxel belongs to it; to one at most.
        numbers: of the rows of the scores; 0 is “none”.
        scores: (len(numbers),), at the voxel.
        closed: numbers of the classes that take no voxels.
    """
    wanted = [number for number, belongs in said.items() if belongs]
    if wanted:
        winner = numbers.index(wanted[0])
        losers = [row for row in range(len(numbers)) if row != winner]
    else:
        losers = [row for row, number in enumerate(numbers) if number in said or number in closed]
        winner = _instead([row for row in range(len(numbers)) if row not in losers], numbers, scores)
    return [Demand(voxel, winner, loser, _missing(scores, winner, loser)) for loser in losers]


def _instead(rows: Sequence[int], numbers: Sequence[int], scores: np.ndarray) -> int:
    """The row of what a voxel becomes that does not belong to the others."""
    best = max(rows, key=lambda row: scores[row])  # of equal ones the first
    none = numbers.index(0)
    return none if scores[none] >= scores[best] - MARGIN else best


def _missing(scores: np.ndarray, winner: int, loser: int) -> float:
    return MARGIN - (float(scores[winner]) - float(scores[loser]))


def directions(demands: Sequence[Demand], rows: int) -> np.ndarray:
    """(demands, rows): +1 for the winner of each, −1 for its loser."""
    result = np.zeros((len(demands), rows))
    places = np.arange(len(demands))
    result[places, [demand.winner for demand in demands]] += 1.0
    result[places, [demand.loser for demand in demands]] -= 1.0
    return result
