"""Slices as large as a network wants them: what ``inference.slices`` does at inference, done to a whole volume.

Images are zoomed with cubic interpolation, labels to the nearest voxel, and a network's scores back to the nearest one.
Slices lie across the first axis of a volume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.inference.cubic_zoom import cubic_zoom
from TransformerSegLib.inference.nearest_zoom import OUTSIDE, nearest_zoom
from TransformerSegLib.inference.slices import CERTAIN

if TYPE_CHECKING:
    import torch


def zoomed_images(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(C, S, H, W) float32 → (C, S, *size); computed in float64, slice by slice."""
    import torch

    if tuple(image.shape[2:]) == tuple(size):
        return image
    rows, columns = (torch.from_numpy(cubic_zoom(old, new)) for old, new in zip(image.shape[2:], size, strict=True))
    zoomed = [(rows @ image[:, row].double() @ columns.T).float() for row in range(image.shape[1])]
    return torch.stack(zoomed, dim=1)


def zoomed_labels(labels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(C, S, H, W) → (C, S, *size), 0 in the seam that the zoom leaves."""
    for axis, new in zip((2, 3), size, strict=True):
        labels = _nearest(labels, axis, nearest_zoom(labels.shape[axis], new), 0.0)
    return labels


def zoomed_back(scores: torch.Tensor, size: tuple[int, int], overlapping: bool) -> torch.Tensor:
    """(S, classes, h, w) → (S, classes, *size); the seam is background, or none of the classes where they overlap."""
    seam = np.full(scores.shape[1], -CERTAIN)
    if not overlapping:
        seam[0] = CERTAIN
    for axis, new in zip((2, 3), size, strict=True):
        scores = _nearest(scores, axis, nearest_zoom(scores.shape[axis], new), seam)
    return scores


def _nearest(values: torch.Tensor, axis: int, indices: np.ndarray, outside: float | np.ndarray) -> torch.Tensor:
    """Take voxels along an axis of (A, B, H, W); those that lie outside get a number, or one for each B."""
    import torch

    taken = values.index_select(axis, torch.from_numpy(np.maximum(indices, 0)).to(values.device))
    where = torch.from_numpy(indices == OUTSIDE).to(values.device)
    fill = torch.as_tensor(outside, dtype=values.dtype, device=values.device).reshape(-1, 1, 1)
    return torch.where(where if axis == 3 else where[:, None], fill, taken)
