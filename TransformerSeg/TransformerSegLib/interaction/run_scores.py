"""What is kept of all the scores of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from TransformerSegLib.interaction.kept_scores import KeptScores
from TransformerSegLib.interaction.local_scores import LocalScores
from TransformerSegLib.interaction.neighbourhood import Box


@dataclass(frozen=True, eq=False)
class RunScores:
    """Kept scores with what their numbers mean.

    Attributes:
        names: of the model's classes, in the order of its card.
        exclusive: the classes exclude each other: there is one field, in which class n has the number n + 1. Else
            each class has a field, in which it has the number 1.
        box: the part of the grid that was segmented.
        fields: as ``ScoreKeeper.kept`` gives them.
    """

    names: tuple[str, ...]
    exclusive: bool
    box: Box
    fields: tuple[KeptScores, ...]

    @property
    def bytes(self) -> int:
        return sum(kept.bytes for kept in self.fields)

    def field_of(self, name: str) -> KeptScores:
        """That in which a class is scored."""
        return self.fields[0 if self.exclusive else self.names.index(name)]

    def number_of(self, name: str) -> int:
        """Of a class, in its field."""
        return self.names.index(name) + 1 if self.exclusive else 1

    def holds(self, box: Box) -> bool:
        """Whether all of a box was segmented."""
        return all(own.start <= part.start and part.stop <= own.stop for own, part in zip(self.box, box, strict=True))

    def renewed(self, newer: RunScores, box: Box) -> RunScores:
        """These, but in a box that was segmented again, what was kept then."""
        fields = tuple(old.renewed(new, box) for old, new in zip(self.fields, newer.fields, strict=True))
        return replace(self, fields=fields)


def renumbered(scores: LocalScores, number_of: Mapping[int, int]) -> LocalScores:
    """Scores under other numbers.

    Args:
        number_of: old number → new number; 0, “none”, for those that it lacks.
    """
    numbers = tuple(sorted({0} | {number_of.get(number, 0) for number in scores.numbers}))
    result = np.full((len(numbers), *scores.known.shape), -scores.bound, np.float32)
    for number, values in zip(scores.numbers, scores.scores, strict=True):
        row = result[numbers.index(number_of.get(number, 0))]
        np.maximum(row, values, out=row)
    result *= scores.known
    return LocalScores(numbers, result, scores.known, scores.bound)
