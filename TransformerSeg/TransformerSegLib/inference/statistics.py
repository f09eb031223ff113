"""How large the segments of a result are, and how bright the image is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.inference.slabs import slabs

if TYPE_CHECKING:
    from TransformerSegLib.inference.segmentation import Segmentation
    from TransformerSegLib.inference.volume import Volume

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class Statistics:
    """Of one segment.

    Attributes:
        volume_ml: in millilitres.
        mean_intensity: of the image's voxels in it; None where it is empty.
        voxels: how many.
    """

    volume_ml: float
    mean_intensity: float | None
    voxels: int


def segment_statistics(segmentation: Segmentation, volume: Volume) -> dict[int, Statistics]:
    """Measure every segment in one pass over the voxels.

    Args:
        volume: on the grid of the segmentation; usually its first input.

    Returns:
        by the label of the class, in the order of ``segmentation.segments``, the empty ones included.

    Raises:
        ValueError: the volume has another shape.
    """
    if any(layer.shape != volume.array.shape for layer in segmentation.layers):
        raise ValueError(f"the volume has {volume.array.shape} voxels, the labels have another number")
    voxel_ml = abs(float(np.linalg.det(segmentation.affine[:3, :3]))) / MM3_PER_ML
    highest = max((segment.definition.label for segment in segmentation.segments), default=0)
    measured = [_counts_and_sums(layer, volume.array, highest) for layer in segmentation.layers]
    statistics = {}
    for segment in segmentation.segments:
        label, (counts, sums) = segment.definition.label, measured[segment.layer]
        voxels = int(counts[label])
        mean = float(sums[label] / voxels) if voxels else None
        statistics[label] = Statistics(voxels * voxel_ml, mean, voxels)
    return statistics


def _counts_and_sums(layer: np.ndarray, image: np.ndarray, highest: int) -> tuple[np.ndarray, np.ndarray]:
    counts, sums = np.zeros(highest + 1, np.int64), np.zeros(highest + 1, np.float64)
    for rows in slabs(layer.shape):
        labels = layer[rows]
        inside = labels > 0
        labels = labels[inside]
        counts += np.bincount(labels, minlength=highest + 1)
        sums += np.bincount(labels, weights=image[rows][inside], minlength=highest + 1)
    return counts, sums
