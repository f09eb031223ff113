"""Cubic interpolation of one axis: ``scipy.ndimage.zoom(order=3)``, written as a matrix.

A cubic spline goes through the samples: it is a sum of one B-spline a sample, with coefficients that follow from the
samples, both mirrored about the first and the last one (Unser, Aldroubi, Eden, B-spline signal processing, IEEE
Transactions on Signal Processing 41, 1993). All that is linear in the samples, and an image's axes are independent
of each other: an image is zoomed by a matrix product an axis.
"""

from __future__ import annotations

import numpy as np

from TransformerSegLib.inference.zoomed_axis import zoomed_positions


def cubic_zoom(old: int, new: int) -> np.ndarray:
    """(new, old) float64: the matrix that makes ``new`` samples of ``old`` ones; zeros where scipy fills in zeros."""
    positions = zoomed_positions(old, new)
    outside = np.isnan(positions)
    values = _spline_values(np.where(outside, 0.0, positions), old)
    at_samples = _spline_values(np.arange(old, dtype=np.float64), old)
    matrix = np.linalg.solve(at_samples.T, values.T).T
    matrix[outside] = 0.0
    return matrix


def _spline_values(positions: np.ndarray, size: int) -> np.ndarray:
    """(positions, size): the value of every sample's B-spline at every position, those beyond the ends mirrored."""
    below = np.floor(positions)
    after = positions - below
    before = 1.0 - after
    nearest_two = (4.0 - 3.0 * after**2 * (2.0 - after)) / 6.0, (4.0 - 3.0 * before**2 * (2.0 - before)) / 6.0
    weights = before**3 / 6.0, *nearest_two, after**3 / 6.0
    values = np.zeros((len(positions), size))
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        np.add.at(values, (np.arange(len(positions)), _mirrored(below.astype(np.int64) + offset, size)), weight)
    return values


def _mirrored(indices: np.ndarray, size: int) -> np.ndarray:
    """Indices beyond the ends, mirrored about the centre of the first and of the last sample."""
    period = max(2 * (size - 1), 1)
    inside = indices % period
    return np.minimum(inside, period - inside) if size > 1 else np.zeros_like(indices)
