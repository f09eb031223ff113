"""Mean and variance of a feature map that comes plane by plane. Imports torch: only modules of networks import it.

Within planes the variance is that around their own mean (two passes, while they are in the cache), and planes are put
together as Chan, Golub and LeVeque do ("Updating formulae and a pairwise algorithm for computing sample variances",
1979, equation 2.1), in float64. A difference of two large sums, which loses a small variance, does not occur.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn.functional import leaky_relu_

NORM_EPSILON = 1e-5
"""Of every instance norm."""

NEGATIVE_SLOPE = 0.01
"""Of every leaky ReLU."""

ROWS_AT_ONCE = 4096
"""Rows whose squares are added in float32."""

ROW_MULTIPLE = 64
"""Length of rows: a few of the widest processors' registers. Shorter rows, and other lengths, take several times
longer."""


class Moments:
    """Of each feature, over all voxels: what an instance norm wants."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._measured: list[torch.Tensor] = []

    def add(self, planes: torch.Tensor) -> None:
        """Planes (N, H, W, C), contiguous."""
        features = planes.shape[-1]
        for some in _suitable_rows(planes).split(ROWS_AT_ONCE):
            self._counts += [len(some)] * (some.shape[1] // features)
            _, variance = torch.batch_norm_update_stats(some, None, None, 0.0)
            self._measured.append(torch.stack([some.mean(0), variance]).view(2, -1, features))

    def mean_and_variance(self) -> tuple[np.ndarray, np.ndarray]:
        """(C,), (C,), float64; of so many voxels, not of one less."""
        means, variances = torch.cat(self._measured, dim=1).double().numpy()  # each (parts, C)
        weights = np.array(self._counts, np.float64)[:, None] / sum(self._counts)
        mean = (weights * means).sum(0)
        return mean, (weights * (variances + (means - mean) ** 2)).sum(0)

    def scale_and_shift(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(C,), (C,): normalised features are ``features * scale + shift``."""
        mean, variance = self.mean_and_variance()
        scale = 1.0 / np.sqrt(variance + NORM_EPSILON)
        scale, shift = torch.from_numpy(np.stack([scale, -mean * scale])).float()
        return scale, shift


def normalise(planes: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Planes (N, H, W, C), contiguous, in place."""
    rows = _suitable_rows(planes)
    voxels = rows.shape[1] // len(scale)
    torch.addcmul(shift.repeat(voxels), rows, scale.repeat(voxels), out=rows)
    return planes


def activate(planes: torch.Tensor) -> torch.Tensor:
    """In place."""
    return leaky_relu_(planes, NEGATIVE_SLOPE)


def _suitable_rows(planes: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C) → rows of one voxel or, where they come out even, of as many as suit the processor; a view."""
    features = planes.shape[-1]
    voxels = ROW_MULTIPLE // math.gcd(features, ROW_MULTIPLE)
    return planes.view(-1, features * (voxels if planes.numel() // features % voxels == 0 else 1))
