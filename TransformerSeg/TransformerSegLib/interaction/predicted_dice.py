"""How well a class was probably found, told without the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from TransformerSegLib.inference.discretising import voxels_of_labels
from TransformerSegLib.interaction.confidence import probabilities, sure
from TransformerSegLib.interaction.kept_scores import KeptScores


def predicted_dice(kept: KeptScores, labels: np.ndarray, numbers: Sequence[int], temperature: float) -> list[float]:
    """Of each class, the Dice to expect: twice the right voxels over those labelled and those that are of the class.

    Both expected values follow from each voxel's probabilities; that of the quotient is taken to be the quotient's of
    these, which for thousands of voxels it nearly is. Errors of neighbouring voxels go together, so that a single
    case strays from it.

    Args:
        labels: (I, J, K): the model's numbers.
        numbers: of the classes, one at least.

    Returns:
        as many, 0…1; 0 for a class of which nothing was found.
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
    result = []
    for number in numbers:
        beyond = certain * (sizes[number] - sizes_kept[number])
        total = sizes[number] + expected[number] + beyond
        result.append(float(2.0 * (right[number] + beyond) / total) if sizes[number] else 0.0)
    return result
