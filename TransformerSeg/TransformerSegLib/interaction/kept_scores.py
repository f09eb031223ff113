"""A model's scores, kept where a click may want them: near boundaries, of the few best classes, in half precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.interaction.click import Index
from TransformerSegLib.interaction.local_scores import LocalScores
from TransformerSegLib.interaction.neighbourhood import Box

BEST_CLASSES = 3
"""Of a voxel, as many classes are kept; further ones are far behind."""

WIDEST_BOUND = 8.0
"""Voxels at which the best class leads by more than this, in logits, are not kept: the model was sure."""


@dataclass(frozen=True, eq=False)
class KeptScores:
    """Scores of the voxels where the model was less than sure.

    Attributes:
        shape: (I, J, K) of the whole grid.
        bound: voxels that are not kept lead by at least this, in logits.
        places: (n,), ascending: of each voxel, i·J·K + j·K + k.
        numbers: (n, best), unsigned: its best classes, the best one first; 0 is “none of them”.
        scores: (n, best), float16: logits, less that of the best.
    """

    shape: Index
    bound: float
    places: np.ndarray
    numbers: np.ndarray
    scores: np.ndarray

    @property
    def bytes(self) -> int:
        return self.places.nbytes + self.numbers.nbytes + self.scores.nbytes

    def local(self, box: Box) -> LocalScores:
        """What is kept in a box; classes of a voxel that were not among its best are behind by the bound."""
        rows = self._rows_in(box)
        i, j, k = np.unravel_index(self.places[rows], self.shape)
        at = tuple(index - extent.start for index, extent in zip((i, j, k), box, strict=True))
        best = self.numbers[rows]
        numbers = tuple(np.unique(best).tolist()) or (0,)
        shape = tuple(extent.stop - extent.start for extent in box)
        known = np.zeros(shape, bool)
        known[at] = True
        scores = np.zeros((len(numbers), *shape), np.float32)
        scores[:, known] = -self.bound
        row_of = np.zeros(max(numbers) + 1, np.intp)
        row_of[list(numbers)] = np.arange(len(numbers))
        for rank in range(best.shape[1] - 1, -1, -1):  # the best is written last: ranks that stand for none repeat it
            scores[row_of[best[:, rank]], *at] = np.maximum(self.scores[rows, rank], -self.bound)
        return LocalScores(numbers, scores, known, self.bound)

    def renewed(self, newer: KeptScores, box: Box) -> KeptScores:
        """These, but in a box what was kept newly."""
        outside = np.ones(len(self.places), bool)
        outside[self._rows_in(box)] = False
        inside = newer._rows_in(box)
        parts = []
        for name in ("places", "numbers", "scores"):
            old, new = getattr(self, name)[outside], getattr(newer, name)[inside]
            if old.ndim > 1 and not (len(old) and len(new)):
                old, new = (old, old[:0]) if len(old) else (new, new[:0])
            parts.append(np.concatenate([old, new]))
        order = np.argsort(parts[0], kind="stable")
        return KeptScores(self.shape, min(self.bound, newer.bound), *(part[order] for part in parts))

    def _rows_in(self, box: Box) -> np.ndarray:
        """Which of the kept voxels lie in a box."""
        lines = np.arange(box[0].start, box[0].stop)[:, None] * self.shape[1]
        lines = (lines + np.arange(box[1].start, box[1].stop)).ravel() * self.shape[2]
        wanted = self.places.dtype
        firsts = np.searchsorted(self.places, (lines + box[2].start).astype(wanted))
        lasts = np.searchsorted(self.places, (lines + box[2].stop).astype(wanted))
        parts = [np.arange(first, last) for first, last in zip(firsts, lasts, strict=True) if last > first]
        return np.concatenate(parts) if parts else np.zeros(0, np.intp)


@dataclass(frozen=True, eq=False)
class ScoresOfFields:
    """What is kept of each field: the corrector's source.

    Attributes:
        fields: in the corrector's order; None where nothing is known.
    """

    fields: Sequence[KeptScores | None]

    def local(self, field: int, box: Box) -> LocalScores | None:
        kept = self.fields[field]
        return None if kept is None else kept.local(box)
