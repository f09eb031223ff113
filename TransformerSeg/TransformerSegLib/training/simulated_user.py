"""Users who know the truth, and click until a segmentation is right: for training, and for measuring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.interaction.click import Click


@dataclass(frozen=True)
class Finding:
    """A voxel that is wrong.

    Attributes:
        voxel: index (i, j, k).
        truth: the number that it should have.
        radius: voxels from its centre to the nearest centre that is not of the same error.
    """

    voxel: tuple[int, int, int]
    truth: int
    radius: float


def click_for(finding: Finding, now: np.ndarray) -> Click:
    """What the user says of it: “belongs”, or “does not belong” where nothing is.

    Args:
        now: numbers; class n of a card has the number n + 1.
    """
    number = finding.truth or int(now[finding.voxel])
    return Click(finding.voxel, number - 1, belongs=finding.truth > 0)


class IdealUser:
    """Clicks at the centre of the largest error: a connected part of what should be of one number and is not.

    Of errors of the same size the first, in the order of numbers and then of memory; of voxels that lie equally deep
    the first in memory.
    """

    def finding(self, now: np.ndarray, truth: np.ndarray) -> Finding | None:
        """The next place to click; None where nothing is wrong."""
        errors = [
            (int(sizes.max()), number, parts == int(sizes.argmax())) for number, parts, sizes in _errors(now, truth)
        ]
        if not errors:
            return None
        _, number, error = max(errors, key=lambda found: found[0])
        depth = _depth(error)
        return _finding(int(depth.argmax()), depth, number)


class SloppyUser:
    """Clicks at a random place, rather deep than shallow, in a random error, rather a large than a small one."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def finding(self, now: np.ndarray, truth: np.ndarray) -> Finding | None:
        """As of the ideal user."""
        errors = []
        for number, parts, sizes in _errors(now, truth):
            chosen = int(self._random.choice(len(sizes), p=sizes / sizes.sum()))
            errors.append((sizes[chosen] * self._random.random(), number, parts == chosen))
        if not errors:
            return None
        _, number, error = max(errors, key=lambda found: found[0])
        depth = _depth(error)
        weights = depth.ravel() ** 2
        return _finding(int(self._random.choice(len(weights), p=weights / weights.sum())), depth, number)


def _errors(now: np.ndarray, truth: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each number that is missing somewhere: itself, its errors numbered from 1, and their sizes (0: none)."""
    from scipy.ndimage import label  # its usual neighbours are those that share a face

    for number in np.unique(truth[now != truth]).tolist():
        parts, _ = label((now != truth) & (truth == number))
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        yield number, parts, sizes


def _depth(error: np.ndarray) -> np.ndarray:
    """How deep a voxel lies in an error, in voxels; what is beyond the volume is not part of it."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1, 1:-1]


def _finding(place: int, depth: np.ndarray, number: int) -> Finding:
    voxel = tuple(int(index) for index in np.unravel_index(place, depth.shape))
    return Finding(voxel, number, float(depth[voxel]))
