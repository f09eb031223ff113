"""How much of a class was probably found: what the probabilities of its voxels come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.inference.discretising import voxels_of_labels
from TransformerSegLib.interaction.confidence import probabilities, sure
from TransformerSegLib.interaction.kept_scores import KeptScores


@dataclass(frozen=True)
class ExpectedOverlap:
    """Of a class, voxels to expect.

    Attributes:
        right: of those that are labelled, how many are of the class.
        labelled: how many are.
        there: how many are of the class, labelled or not.
    """

    right: float
    labelled: int
    there: float

    @property
    def dice(self) -> float:
        """Twice the right voxels over those labelled and those that are of the class; 0 where nothing is labelled.

        The expected value of the quotient is taken to be the quotient's of these, which for thousands of voxels it
        nearly is. Errors of neighbouring voxels go together, so that a single case strays from it.
        """
        return 2.0 * self.right / (self.labelled + self.there) if self.labelled else 0.0

    @property
    def precision(self) -> float:
        """The share of the labelled voxels that is right; 0 where there are none."""
        return self.right / self.labelled if self.labelled else 0.0


def expected_overlaps(
    kept: KeptScores, labels: np.ndarray, numbers: Sequence[int], temperature: float
) -> list[ExpectedOverlap]:
    """What follows from each voxel's probabilities.

    Args:
        labels: (I, J, K): the model's numbers.
        numbers: of the classes, one at least.

    Returns:
        as many.
    """
    shares, at = probabilities(kept, temperature), labels.reshape(-1)[kept.places]
    certain = sure(kept, temperature)
    highest = max(int(labels.max(initial=0)), *numbers)
    sizes = voxels_of_labels(labels, highest)
    sizes_kept = np.bincount(at, minlength=highest + 1)
    expected = np.bincount(kept.numbers.ravel(), shares.ravel(), highest + 1)
    right = np.bincount(
        at[:, None].repeat(shares.shape[1], 1).ravel(), (shares * (kept.numbers == at[:, None])).ravel(), highest + 1
    )
    beyond = certain * (sizes - sizes_kept)
    return [
        ExpectedOverlap(
            float(right[number] + beyond[number]), int(sizes[number]), float(expected[number] + beyond[number])
        )
        for number in numbers
    ]
