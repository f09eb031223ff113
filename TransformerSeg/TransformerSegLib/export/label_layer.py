"""A label layer as files and Slicer keep it: axes in the order k, j, i, and only where it is not empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from TransformerSegLib.inference.segmentation import Segment

Extent = tuple[int, int, int, int, int, int]


def reversed_axes(array: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The same voxels with the axes in reverse order: (I, J, K) ↔ (K, J, I), as SimpleITK and VTK keep them.

    Copied plane by plane, so that both sides of the copy stay in the processor's cache: eight times as fast as
    ``np.ascontiguousarray(array.T)`` on 450×450×240 voxels of one byte.

    Args:
        array: three axes.
        out: where to write, of the reverse shape; a new C-contiguous array if None.
    """
    if out is None:
        out = np.empty(array.shape[::-1], array.dtype)
    for j in range(array.shape[1]):
        out[:, j, :] = np.ascontiguousarray(array[:, j, :]).T
    return out


def occupied_extent(layer: np.ndarray) -> Extent | None:
    """First and last index with a label along i, j and k: (i0, i1, j0, j1, k0, k1), the last included.

    Args:
        layer: labels, (I, J, K).

    Returns:
        None where the whole layer is background.
    """
    seen_along_i = layer.max(axis=0)
    occupied = (layer.max(axis=(1, 2)), seen_along_i.max(axis=1), seen_along_i.max(axis=0))
    indices = [np.flatnonzero(line) for line in occupied]
    if indices[0].size == 0:
        return None
    i, j, k = ((int(index[0]), int(index[-1])) for index in indices)
    return (*i, *j, *k)


def smallest_label_type(segments: Iterable[Segment]) -> np.dtype:
    """The smallest unsigned integer type that holds every label value."""
    return np.min_scalar_type(max((segment.definition.label for segment in segments), default=0))
