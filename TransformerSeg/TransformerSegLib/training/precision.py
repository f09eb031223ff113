"""A model's results in bfloat16 beside its own exact ones."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.card import PrecisionCheck
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.inference.devices import CPU
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.training.cases import DataList
from TransformerSegLib.training.input_order import in_card_order

DIGITS = 5


def compared(
    bundle: Bundle, data: DataList, say: Callable[[str], None], cancel: CancelToken | None = None
) -> PrecisionCheck:
    """Segment all cases, or those kept out of training where the data say which, both ways on the CPU.

    Args:
        say: shows one line to the user.

    Raises:
        PresetUnavailable: this computer's processor has no such instructions, or the model sees slices.
        TrainingDataRejected: no class was found in any case.
        Cancelled: on the token's demand.
    """
    data = in_card_order(data, bundle.card)
    cases = data.validation or data.training
    exact = Segmenter(bundle, CPU, SegmentOptions(accept_mismatch=True))
    halved = exact.with_options(SegmentOptions(accept_mismatch=True, preset=Preset.FASTER_CPU, unchecked=True))
    measured: dict[str, list[float]] = {definition.name: [] for definition in bundle.card.classes}
    for number, case in enumerate(cases, 1):
        volumes = [read_volume(path) for path in case.images]
        found, expected = (segmenter.segment(volumes, cancel=cancel) for segmenter in (halved, exact))
        dice = agreement(found, expected)
        for name, value in dice.items():
            measured[name].append(value)
        lowest = min((value for value in dice.values() if not math.isnan(value)), default=math.nan)
        say(f"{number}/{len(cases)} {case.name}: lowest Dice {lowest:.5f}")
    defined = {name: [value for value in values if not math.isnan(value)] for name, values in measured.items()}
    means = {name: round(statistics.fmean(values), DIGITS) for name, values in defined.items() if values}
    if not means:
        raise TrainingDataRejected(
            "The model found none of its classes in any case",
            why="then there is nothing to compare",
            remedy="Give cases like those that the model is for",
        )
    return PrecisionCheck(
        dice=means, data=data.name or "unnamed data", cases=len(cases), weights_sha256=bundle.weights_sha256
    )


def agreement(found: Segmentation, expected: Segmentation) -> dict[str, float]:
    """Dice of each class between two results on one grid; NaN where neither has it."""
    dice = {}
    for one, other in zip(found.segments, expected.segments, strict=True):
        first, second = found.mask(one), expected.mask(other)
        size = int(first.sum()) + int(second.sum())
        dice[one.definition.name] = 2.0 * int((first & second).sum()) / size if size else math.nan
    return dice
