"""The correction of a neighbourhood: the smallest and smoothest change of its scores that all clicks agree with.

Each click demands that, at its voxel, one class leads others by a margin. Among all corrections Σ αᵢ K(x, xᵢ) of the
scores, the one of least norm in the kernel's own space that meets the demands has weights αᵢ ≥ 0, which are the
solution of a small quadratic programme (the representer theorem: Schölkopf, Herbrich, Smola, A Generalized Representer
Theorem, COLT 2001). It is the same whatever order the clicks come in, and meets them to the point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from TransformerSegLib.interaction.class_field import ClassField
from TransformerSegLib.interaction.click import Click, Index
from TransformerSegLib.interaction.demands import Demand, demands_of, directions
from TransformerSegLib.interaction.kernel import Kernel
from TransformerSegLib.interaction.least_norm import least_norm
from TransformerSegLib.interaction.local_scores import LocalScores, base_scores
from TransformerSegLib.interaction.neighbourhood import Box, Neighbourhood

ModelScores = Callable[[Box], LocalScores | None]


def nothing_known(box: Box) -> None:
    """There is no model: labels must do."""


KERNEL = Kernel(parts=((0.4, 2.5), (0.6, 7.0)), own=0.1)
"""Gaussians of 2.5 and 7 mm: an error's own width, and what neighbouring errors have in common."""


@dataclass(frozen=True, eq=False)
class Situation:
    """What is known around a click when it has been answered by the kernel.

    Attributes:
        around: the click's neighbourhood.
        base: (rows, *box), float32: scores before any click.
        corrected: likewise, with all clicks.
        demands: of all clicks that bear upon the neighbourhood.
        numbers: (rows,): of the classes; the first is 0, “none”.
        before: (*box): the numbers before this click.
    """

    around: Neighbourhood
    base: np.ndarray
    corrected: np.ndarray
    demands: tuple[Demand, ...]
    numbers: np.ndarray
    before: np.ndarray

    def of_rows(self, rows: np.ndarray) -> Situation:
        """Of some classes alone, and of what was demanded of two of them.

        Args:
            rows: ascending.
        """
        own = {int(row): place for place, row in enumerate(rows)}
        demands = tuple(
            replace(demand, winner=own[demand.winner], loser=own[demand.loser])
            for demand in self.demands
            if demand.winner in own and demand.loser in own
        )
        base, corrected = self.base[rows], self.corrected[rows]
        return replace(self, base=base, corrected=corrected, demands=demands, numbers=self.numbers[rows])


Refine = Callable[[Situation], np.ndarray]
"""Gives scores like ``Situation.corrected``, in an array of its own."""


def corrected(
    field: ClassField,
    around: Neighbourhood,
    clicks: Sequence[Click],
    model: ModelScores = nothing_known,
    kernel: Kernel = KERNEL,
    refine: Refine | None = None,
) -> np.ndarray:
    """The numbers that a neighbourhood has with these clicks.

    Args:
        clicks: on the field's classes; those outside of the neighbourhood's box bear upon it too.
        model: tells the model's scores in any box, or that it knows none.
        refine: makes the corrected scores better ones; at the clicks' voxels they stay as they are.

    Returns:
        of the box's shape and the field's type. Voxels that are protected are not spared yet.
    """
    also = (0, *(field.number_of[click.position] for click in clicks))
    numbers, base = base_scores(field.base, around, also, model(around.box))
    scores = base.copy()
    demands = _correct(scores, field, around, numbers, clicks, model, kernel) if clicks else []
    if refine is not None and any(demand.voxel == around.centre for demand in demands):
        situation = Situation(around, base, scores, tuple(demands), np.array(numbers), field.now[around.box])
        scores = _obeying(refine(situation), situation)
    return np.array(numbers, field.now.dtype)[scores.argmax(axis=0)]


def _correct(
    scores: np.ndarray,
    field: ClassField,
    around: Neighbourhood,
    numbers: tuple[int, ...],
    clicks: Sequence[Click],
    model: ModelScores,
    kernel: Kernel,
) -> list[Demand]:
    """Add the correction to the scores (rows, *box), in place; what the clicks demanded."""
    said: dict[Index, dict[int, bool]] = {}
    for click in clicks:
        said.setdefault(click.voxel, {})[field.number_of[click.position]] = click.belongs
    demands: list[Demand] = []
    of_voxel: list[int] = []
    for place, (voxel, of_classes) in enumerate(said.items()):
        there = _scores_at(voxel, scores, field, around, numbers, model)
        found = demands_of(voxel, of_classes, numbers, there, field.closed)
        demands += found
        of_voxel += [place] * len(found)
    voxels = np.array(list(said))
    between = kernel.between(voxels, around.spacing)[np.ix_(of_voxel, of_voxel)]
    towards = directions(demands, len(numbers))
    weights = least_norm(between * (towards @ towards.T), np.array([demand.missing for demand in demands]))
    amounts = np.zeros((len(numbers), len(voxels)))
    np.add.at(amounts.T, of_voxel, weights[:, None] * towards)
    scores += kernel.spread(amounts, voxels, around.box, around.spacing)
    return demands


def _obeying(refined: np.ndarray, situation: Situation) -> np.ndarray:
    """At the clicks' own voxels, what they demand."""
    for demand in situation.demands:
        if (place := situation.around.place(demand.voxel)) is not None:
            refined[:, *place] = situation.corrected[:, *place]
    return refined


def _scores_at(
    voxel: Index,
    scores: np.ndarray,
    field: ClassField,
    around: Neighbourhood,
    numbers: tuple[int, ...],
    model: ModelScores,
) -> np.ndarray:
    """(rows,) before the correction; also of voxels outside of the box."""
    place = around.place(voxel)
    if place is not None:
        return scores[:, *place]
    there = Neighbourhood.of(voxel, field.base.shape, around.spacing, 0.0)
    known, alone = base_scores(field.base, there, numbers, model(there.box))
    return np.array([alone[known.index(number), 0, 0, 0] for number in numbers])
