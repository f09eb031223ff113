"""How likely a model's labels are right, voxel by voxel."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from TransformerSegLib.interaction.kept_scores import KeptScores

_ROUNDING = 1e-6


def probabilities(kept: KeptScores, temperature: float) -> np.ndarray:
    """Of each kept voxel's best classes: (n, best), float32, falling along the second axis.

    Softmax of logits divided by a temperature (Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks,
    ICML 2017); classes that were not kept are too far behind to count.
    """
    return softmax(kept.scores, temperature)


def doubts(kept: KeptScores, temperature: float, wanted: Collection[int] | None = None) -> np.ndarray:
    """How likely the label of each kept voxel is wrong: (n,), float32.

    Args:
        wanted: numbers of the classes that count: all others pass for “none of them”, so that it does not matter which
            of those a voxel is. None: all.
    """
    shares = probabilities(kept, temperature)
    if wanted is None:
        return 1.0 - shares[:, 0]
    numbers = np.where(np.isin(kept.numbers, list(wanted)), kept.numbers, 0)
    result = 1.0 - (shares * (numbers == numbers[:, :1])).sum(axis=1)
    result[result < _ROUNDING] = 0.0
    return result


def softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """(n, best): logits, less that of the best → float32."""
    shares = np.exp(scores.astype(np.float32) / np.float32(temperature))
    return shares / shares.sum(axis=1, keepdims=True)


def sure(kept: KeptScores, temperature: float) -> float:
    """The confidence where nothing was kept: what the bound makes of it."""
    return float(1.0 / (1.0 + np.exp(-kept.bound / temperature)))


def confidence_map(kept: KeptScores, temperature: float) -> np.ndarray:
    """The probability of the model's own label.

    Returns:
        (I, J, K), float16, 0…1: a voxel that might as well be one of two classes has 0.5.
    """
    result = np.full(kept.shape, sure(kept, temperature), np.float16)
    if len(kept.places):
        result.reshape(-1)[kept.places] = probabilities(kept, temperature)[:, 0]
    return result
