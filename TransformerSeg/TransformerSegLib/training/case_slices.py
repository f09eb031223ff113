"""Three slices through a case, with its labels: small enough to be kept of every case of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.inference.orientation import reorientation
from TransformerSegLib.inference.volume import Volume

AXIAL, CORONAL, SAGITTAL = 2, 1, 0
"""Axes of a volume whose indices run to the left, to the back and up, across which slices lie."""

LONGEST_SIDE = 240
"""Pixels; of longer sides every second or third voxel is shown."""

SAMPLED_VOXELS = 200_000
SHOWN_PERCENTILES = (0.5, 99.5)
"""Of a volume's intensities: black and white."""


@dataclass(frozen=True, eq=False)
class SliceView:
    """One slice, as radiologists see it: the patient's right, or his front, on the left.

    Attributes:
        image: grey values, (rows, columns), uint8; the first row is the uppermost.
        labels: (rows, columns), unsigned integers; 0 where there are none.
        size_mm: height and width.
    """

    image: np.ndarray
    labels: np.ndarray
    size_mm: tuple[float, float]


def slice_views(images: Sequence[Volume], labels: Volume | None) -> tuple[SliceView, ...]:
    """An axial, a coronal and a sagittal slice of the first image, and an axial one of each further image.

    The slices go through the middle of the labels, or of the image where there are none. Labels are shown where they
    lie in space, whatever grid they are on, so that a wrong one is seen.

    Args:
        images: with an affine that places them, and a voxel at least.
        labels: whole numbers; its affine leads to the same space.
    """
    axes = (AXIAL, CORONAL, SAGITTAL, *(AXIAL for _ in images[1:]))
    shown = (images[0], images[0], images[0], *images[1:])
    middle = _middle_of(labels)
    return tuple(_view(image, axis, labels, middle) for image, axis in zip(shown, axes, strict=True))


def grey_range(volume: Volume) -> tuple[float, float]:
    """The intensities that are shown black and white: percentiles of a sample of the voxels."""
    sample = volume.array.reshape(-1)[:: max(1, volume.array.size // SAMPLED_VOXELS)]
    finite = sample[np.isfinite(sample)]
    low, high = np.percentile(finite.astype(np.float64), SHOWN_PERCENTILES) if finite.size else (0.0, 0.0)
    return float(low), float(high)


def _middle_of(labels: Volume | None) -> np.ndarray | None:
    """The mean place of all labelled voxels, RAS in mm; None where there are none."""
    if labels is None or not labels.array.any():
        return None
    labelled = labels.array > 0
    along = [labelled.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    index = [np.average(np.arange(len(counts)), weights=counts) for counts in along]
    return (labels.affine @ (*index, 1.0))[:3]


def _view(image: Volume, axis: int, labels: Volume | None, middle: np.ndarray | None) -> SliceView:
    turn = reorientation(image.affine, "LPS")
    array, affine = turn.view(image.array), turn.affine(image.affine, image.array.shape)
    at = (np.array(array.shape) - 1) / 2 if middle is None else (np.linalg.inv(affine) @ (*middle, 1.0))[:3]
    position = int(np.clip(np.rint(at[axis]), 0, array.shape[axis] - 1))
    column_axis, row_axis = (other for other in range(3) if other != axis)
    step = -(-max(array.shape[column_axis], array.shape[row_axis]) // LONGEST_SIDE)
    index = np.empty((3, *(len(range(0, array.shape[side], step)) for side in (row_axis, column_axis))), int)
    index[axis] = position
    index[row_axis], index[column_axis] = np.meshgrid(
        np.arange(0, array.shape[row_axis], step), np.arange(0, array.shape[column_axis], step), indexing="ij"
    )
    if row_axis == AXIAL:  # the third axis runs up, rows run down
        index = index[:, ::-1]
    low, high = grey_range(image)
    seen = np.nan_to_num(array[tuple(index)].astype(np.float64), nan=low)
    grey = np.clip((seen - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    size = tuple(float(array.shape[side] * spacing[side]) for side in (row_axis, column_axis))
    return SliceView((255 * grey).astype(np.uint8), _labels_at(index, affine, labels), size)


def _labels_at(index: np.ndarray, affine: np.ndarray, labels: Volume | None) -> np.ndarray:
    """The labels nearest to voxels of a grid, (rows, columns)."""
    if labels is None:
        return np.zeros(index.shape[1:], np.uint8)
    onto = np.linalg.inv(labels.affine) @ affine
    places = np.rint(np.tensordot(onto[:3, :3], index, 1) + onto[:3, 3, None, None]).astype(int)
    bounds = np.array(labels.array.shape)[:, None, None]
    inside = ((places >= 0) & (places < bounds)).all(axis=0)
    return np.where(inside, labels.array[tuple(np.clip(places, 0, bounds - 1))], 0)
