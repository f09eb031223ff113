"""How well a bundle does on labelled cases, through the same engine that users run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.training.data_list import Case


def dice(found: np.ndarray, reference: np.ndarray) -> float:
    """Dice's coefficient of two boolean masks of the same shape: 2 |A∩B| / (|A| + |B|) (Dice 1945).

    NaN where both are empty: then there is nothing to measure.
    """
    size = int(np.count_nonzero(found)) + int(np.count_nonzero(reference))
    return 2.0 * int(np.count_nonzero(found & reference)) / size if size else float("nan")


def measure_dice(bundle: Bundle, cases: Sequence[Case], device: str = "cpu") -> dict[str, list[float]]:
    """Segment every case and compare with its labels.

    Returns:
        For each class name, one Dice a case, in the order of ``cases``; NaN where a class is neither found nor there.
    """
    # The cases are what the model is for, whatever its card asks of a user's volumes.
    segmenter = Segmenter(bundle, device, SegmentOptions(accept_mismatch=True))
    measured: dict[str, list[float]] = {definition.name: [] for definition in bundle.card.classes}
    for case in cases:
        segmentation = segmenter.segment([read_volume(case.image)])
        reference = read_volume(case.label).array
        for segment in segmentation.segments:
            mask = reference == segment.definition.label
            measured[segment.definition.name].append(dice(segmentation.mask(segment), mask))
    return measured


def means(measured: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """What ``measure_dice`` found, averaged over the cases where it is a number; a class without any is left out."""
    finite = {name: [value for value in values if math.isfinite(value)] for name, values in measured.items()}
    return {name: statistics.fmean(values) for name, values in finite.items() if values}
