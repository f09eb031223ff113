"""Takes what a click may want out of the scores that pass by while a run restores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.bundles.card import SegmentClass
from TransformerSegLib.bundles.plan import Activation, OutputPlan
from TransformerSegLib.interaction.click import Index
from TransformerSegLib.interaction.kept_scores import BEST_CLASSES, WIDEST_BOUND, KeptScores
from TransformerSegLib.interaction.neighbourhood import Box
from TransformerSegLib.interaction.run_scores import RunScores

if TYPE_CHECKING:
    import torch

    from TransformerSegLib.inference.model_grid import ModelGrid

DEFAULT_BUDGET = 512 * 10**6
"""Bytes, for all fields of a segmentation together."""

LEAST_PROBABILITY = 1e-7
"""Smaller ones, and what lies as near to 1, are rounding."""


class ScoreKeeper:
    """An observer of a run's scores (``ScoreObserver``), for one run.

    Where all that is less than sure would not fit into the budget, the bound of what counts as sure is lowered to
    the median of what is kept, again and again.

    Args:
        output: of the model's plan.
        classes: of its card.
        budget: bytes.
    """

    def __init__(self, output: OutputPlan, classes: Sequence[SegmentClass], budget: int = DEFAULT_BUDGET) -> None:
        self._output = output
        self._channels = [definition.channel for definition in classes]
        fields = 1 if output.threshold is None else len(classes)
        self._fields = [_Collected(budget // fields, len(classes)) for _ in range(fields)]
        self._names = tuple(definition.name for definition in classes)
        self._shape: Index = (0, 0, 0)
        self._box: Box = (slice(0, 0),) * 3
        self._seen = False

    def begin(self, grid: ModelGrid, shape: Index, box: Box) -> None:
        """Before the first scores.

        Args:
            grid: on which the scores come.
            shape: (I, J, K) of the whole input.
            box: the part of it that the grid lies on.
        """
        self._shape, self._box = shape, box
        self._line = _PlacesOfLines(grid, shape, box)

    def take(self, row: int, columns: slice, scores: torch.Tensor) -> None:
        """Scores of some columns of a row, seen along the model's axes.

        Args:
            scores: (channels, columns, depth), activated.
        """
        values = self._logits(scores.cpu().numpy().astype(np.float32, copy=False))
        self._seen = True
        places = self._line.of(row, columns, values.shape[2])
        if self._output.threshold is None:
            self._fields[0].take_best(places, self._numbered(values))
            return
        for field, channel in zip(self._fields, self._channels, strict=True):
            field.take_best(places, np.stack([np.zeros_like(values[channel]), values[channel]]))

    def thin(self, budget: int) -> None:
        """Let go of what does not fit into a smaller budget, in bytes."""
        for field in self._fields:
            field.thin(budget // len(self._fields))

    def kept(self) -> tuple[KeptScores, ...]:
        """One for classes that exclude each other; else one a class."""
        return tuple(field.kept(self._shape) for field in self._fields)

    def scores(self) -> RunScores | None:
        """All that was kept; None where no scores came by: they were discretised on another grid."""
        if not self._seen:
            return None
        return RunScores(self._names, self._output.threshold is None, self._box, self.kept())

    def _logits(self, values: np.ndarray) -> np.ndarray:
        """Up to a constant that all classes share; 0 at the threshold of a class that may overlap."""
        match self._output.activation:
            case Activation.SOFTMAX:
                logits = np.log(np.maximum(values, LEAST_PROBABILITY))
            case Activation.SIGMOID:
                logits = _log_odds(values)
            case _:
                logits = values
        if self._output.threshold is None:
            return logits
        threshold = np.float32(self._output.threshold)
        return logits - (_log_odds(threshold) if self._output.activation is Activation.SIGMOID else threshold)

    def _numbered(self, values: np.ndarray) -> np.ndarray:
        """(classes + 1, …): those of the card in its order, and before them the best of all other channels."""
        others = [channel for channel in range(len(values)) if channel not in self._channels]
        none = values[others].max(axis=0) if others else np.full(values.shape[1:], -np.inf, np.float32)
        return np.concatenate([none[np.newaxis], values[self._channels]])


def _log_odds(probability: np.ndarray) -> np.ndarray:
    inside = np.clip(probability, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return np.log(inside) - np.log1p(-inside)


class _PlacesOfLines:
    """Where the voxels of a line of the model's grid lie on the whole input."""

    def __init__(self, grid: ModelGrid, shape: Index, box: Box) -> None:
        whole = np.empty(shape, np.uint8)  # never written to, so that it takes no memory
        seen = grid.onto_input(whole[box])
        self._first = seen.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        self._strides = seen.strides
        self.dtype = np.uint32 if whole.size < 2**32 else np.uint64

    def of(self, row: int, columns: slice, depth: int) -> np.ndarray:
        """(columns, depth)."""
        along_columns = np.arange(columns.start, columns.stop, dtype=np.int64)[:, None] * self._strides[1]
        along_depth = np.arange(depth, dtype=np.int64) * self._strides[2]
        return (self._first + row * self._strides[0] + along_columns + along_depth).astype(self.dtype)


class _Collected:
    """What has been kept of one field so far."""

    def __init__(self, budget: int, classes: int) -> None:
        self.bound = WIDEST_BOUND
        self._budget = budget
        self._dtype = np.min_scalar_type(classes)
        self._pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._bytes = 0

    def take_best(self, places: np.ndarray, values: np.ndarray) -> None:
        """Of values (numbers, …) at these places, those of which the best does not lead by the bound."""
        best = values[0].copy()
        second = np.full_like(best, -np.inf)
        for value in values[1:]:
            np.maximum(second, np.minimum(best, value), out=second)
            np.maximum(best, value, out=best)
        unsure = best - second < self.bound
        if not unsure.any():
            return
        values, count = values[:, unsure], min(BEST_CLASSES, len(values))
        order = np.argsort(-values, axis=0, kind="stable")[:count]
        lead = np.take_along_axis(values, order, axis=0) - best[unsure]
        lead = np.maximum(lead, -2 * WIDEST_BOUND).astype(np.float16)
        self._add((places[unsure], order.T.astype(self._dtype), np.ascontiguousarray(lead.T)))

    def kept(self, shape: Index) -> KeptScores:
        if not self._pieces:
            none = np.zeros((0, 1))
            return KeptScores(shape, self.bound, np.zeros(0, np.uint32), none.astype(self._dtype), none.astype("f2"))
        places, numbers, scores = (np.concatenate(parts) for parts in zip(*self._pieces, strict=True))
        order = np.argsort(places, kind="stable")
        places = places[order]
        first = np.ones(len(places), bool)
        first[1:] = places[1:] != places[:-1]  # lines come twice where memory ran out between
        order = order[first]
        return KeptScores(shape, self.bound, places[first], numbers[order], scores[order])

    def _add(self, piece: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        self._pieces.append(piece)
        self._bytes += sum(part.nbytes for part in piece)
        self.thin(self._budget)

    def thin(self, budget: int) -> None:
        self._budget = budget
        while self._bytes > budget:
            self._lower_the_bound()

    def _lower_the_bound(self) -> None:
        leads = np.concatenate([-scores[:, 1] for _, _, scores in self._pieces])
        self.bound = min(float(np.median(leads)), self.bound / 2)
        self._pieces = [
            tuple(part[scores[:, 1] > -self.bound] for part in (places, numbers, scores))
            for places, numbers, scores in self._pieces
        ]
        self._bytes = sum(part.nbytes for piece in self._pieces for part in piece)
