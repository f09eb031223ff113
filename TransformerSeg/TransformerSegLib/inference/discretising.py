"""How the scores of voxels become label values: the highest class, or every class above a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from TransformerSegLib.bundles.card import SegmentClass
from TransformerSegLib.bundles.plan import OutputPlan
from TransformerSegLib.errors import ScoresNotFinite
from TransformerSegLib.inference.layering import fewest_layers
from TransformerSegLib.inference.progress import CancelToken

if TYPE_CHECKING:
    import torch

ROWS_AT_A_TIME = 16
"""Rows of the first axis that are looked through together where labels are counted or unpacked."""


class Discretiser(Protocol):
    """Turns scores into numbers, and in the end these numbers into label layers.

    Attributes:
        planes: how many numbers a voxel has.
        dtype: of the numbers.
    """

    planes: int
    dtype: np.dtype

    def numbers(self, scores: torch.Tensor) -> np.ndarray:
        """(classes, …) float32 → (planes, …)."""

    def layers(self, numbers: np.ndarray, cancel: CancelToken | None = None) -> tuple[np.ndarray, ...]:
        """(planes, I, J, K), all of the volume's → label layers, each (I, J, K).

        Raises:
            Cancelled: on the token's demand.
        """

    def layer_of(self, position: int) -> int:
        """In which layer the class at this position lies; known once the layers are made."""


def discretiser(output: OutputPlan, classes: Sequence[SegmentClass]) -> Discretiser:
    """What the plan asks for, with the classes of the model's card."""
    if output.threshold is None:
        return HighestScore(classes)
    return AboveThreshold(classes, output.threshold)


def label_dtype(classes: Sequence[SegmentClass]) -> np.dtype:
    """The smallest unsigned type that holds every label value."""
    return np.min_scalar_type(max(definition.label for definition in classes))


class HighestScore:
    """Each voxel takes the class of the highest score; of equal ones the first, as ``torch.argmax`` does."""

    planes = 1

    def __init__(self, classes: Sequence[SegmentClass]) -> None:
        self.dtype = label_dtype(classes)
        self._label_of_channel = {definition.channel: definition.label for definition in classes}

    def numbers(self, scores: torch.Tensor) -> np.ndarray:
        labels = np.zeros(len(scores), self.dtype)
        for channel, label in self._label_of_channel.items():
            labels[channel] = label
        return labels.take(_highest(scores))[np.newaxis]

    def layers(self, numbers: np.ndarray, cancel: CancelToken | None = None) -> tuple[np.ndarray, ...]:
        return (numbers[0],)

    def layer_of(self, position: int) -> int:
        return 0


def _highest(scores: torch.Tensor) -> np.ndarray:
    import torch

    if scores.device.type != "cpu":
        best, index = scores.max(dim=0)
        _refuse_nan(best)
        return index.cpu().numpy()
    values = scores.numpy()
    best = values[0].copy()
    index = np.zeros(best.shape, np.min_scalar_type(len(values)))
    for channel in range(1, len(values)):  # forty times faster than argmax along the first axis
        np.maximum(index, (values[channel] > best) * index.dtype.type(channel), out=index)
        np.maximum(best, values[channel], out=best)
    _refuse_nan(torch.from_numpy(best))
    return index


class AboveThreshold:
    """Each voxel belongs to every class whose score is at least the threshold, so that classes may overlap.

    While scores come in, each class is one bit of a voxel's numbers; in the end, classes that overlap nowhere share
    a layer, so that there are as few as possible.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, classes: Sequence[SegmentClass], threshold: float) -> None:
        self.planes = -(-len(classes) // 8)
        self._classes = tuple(classes)
        self._channels = [definition.channel for definition in classes]
        self._threshold = threshold
        self._overlap = np.zeros((len(classes), len(classes)), bool)
        self._layer_of: list[int] = []

    def numbers(self, scores: torch.Tensor) -> np.ndarray:
        scores = scores[self._channels]
        _refuse_nan(scores)
        masks = (scores >= self._threshold).cpu().numpy()
        several = masks[:, np.count_nonzero(masks, axis=0) > 1].astype(np.float32)
        self._overlap |= several @ several.T > 0
        return np.packbits(masks, axis=0, bitorder="little")

    def layers(self, numbers: np.ndarray, cancel: CancelToken | None = None) -> tuple[np.ndarray, ...]:
        cancel = cancel or CancelToken()
        self._layer_of = fewest_layers(self._overlap)
        number = max(self._layer_of) + 1
        layers = tuple(np.zeros(numbers.shape[1:], label_dtype(self._classes)) for _ in range(number))
        for start in range(0, numbers.shape[1], ROWS_AT_A_TIME):
            slab = slice(start, start + ROWS_AT_A_TIME)
            for position, definition in enumerate(self._classes):
                cancel.raise_if_cancelled()
                mask = numbers[position // 8, slab] & np.uint8(1 << position % 8) > 0
                layers[self._layer_of[position]][slab][mask] = definition.label
        return layers

    def layer_of(self, position: int) -> int:
        return self._layer_of[position]


def _refuse_nan(values: torch.Tensor) -> None:
    if values.isnan().any():
        raise ScoresNotFinite(
            "The model's scores are not numbers",
            why="no labels follow from them",
            remedy="Try another device (--device cpu); if that does not help, the model's weights are damaged",
        )


def voxels_of_labels(layer: np.ndarray, highest_label: int) -> np.ndarray:
    """How many voxels of a layer hold each value 0…highest_label."""
    counts = np.zeros(highest_label + 1, np.int64)
    for start in range(0, layer.shape[0], ROWS_AT_A_TIME):
        counts += np.bincount(layer[start : start + ROWS_AT_A_TIME].ravel(), minlength=highest_label + 1)
    return counts
