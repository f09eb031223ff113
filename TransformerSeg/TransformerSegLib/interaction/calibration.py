"""The temperature at which a model is as sure as it is right."""

from __future__ import annotations

import numpy as np

from TransformerSegLib.interaction.confidence import softmax

BINS = 15
COLDEST, HOTTEST = 0.1, 10.0
PRECISION = 1e-3
LEAST_PROBABILITY = 1e-6


def fitted_temperature(scores: np.ndarray, right: np.ndarray) -> float:
    """The temperature of the highest likelihood, on voxels of cases that the model was not trained on.

    Args:
        scores: (n, best): logits, less that of the best.
        right: (n,): which of the best is the truth; −1: none of them. Such voxels count as right with the least
            probability there is.

    Raises:
        ValueError: there are no voxels.
    """
    if not len(scores):
        raise ValueError("a temperature is fitted to voxels, and there are none")
    low, high = np.log(COLDEST), np.log(HOTTEST)
    golden = (np.sqrt(5.0) - 1.0) / 2.0  # golden-section search: the likelihood has one maximum
    while high - low > PRECISION:
        one, other = high - golden * (high - low), low + golden * (high - low)
        if _surprise(scores, right, np.exp(one)) <= _surprise(scores, right, np.exp(other)):
            high = other
        else:
            low = one
    return float(np.exp((low + high) / 2.0))


def _surprise(scores: np.ndarray, right: np.ndarray, temperature: float) -> float:
    """Mean negative logarithm of what the truth was given."""
    shares = softmax(scores, temperature)
    given = np.where(right >= 0, shares[np.arange(len(right)), np.maximum(right, 0)], 0.0)
    return float(-np.log(np.maximum(given, LEAST_PROBABILITY)).mean())


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error: how far confidence is from the share that is right, over bins of equal width.

    Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015.

    Args:
        confidence: (n,), 0…1.
        correct: (n,), boolean.
    """
    bins = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    claimed = np.bincount(bins, confidence, BINS)
    found = np.bincount(bins, correct, BINS)
    return float(np.abs(claimed - found).sum() / max(len(confidence), 1))
