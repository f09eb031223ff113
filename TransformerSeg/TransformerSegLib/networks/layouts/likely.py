"""What shapes tell of a vision transformer's sizes, but not for certain."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from TransformerSegLib.networks.layouts.recognised import Recognised

OFFICIAL_HEADS = {768: 12, 1024: 16}
"""Features of the transformer → its heads, in the published configurations."""

COLOURS = 3
"""Channels of the images that the published networks of slices were first trained on."""

SIZES_SHOWN = 6

MAXIMUM_PATCHES_A_SIDE = 64
"""Longer images are built by nobody, and not proposed."""


@dataclass(frozen=True)
class Likely:
    """One argument of a network.

    Attributes:
        reason: why ``value`` is likely, empty where it is certain; where there is no value, what is known of it.
        value: None where the argument has to be asked for.
    """

    reason: str
    value: object = None


def image_size(tokens: int, patch_side: int) -> Likely:
    """Of an image of so many patches: a cube, if they can make one; else it is asked for."""
    side = round(tokens ** (1 / 3))
    if side**3 == tokens:
        return Likely(f"{tokens} patches of {patch_side}³ voxels make a cube", (side * patch_side,) * 3)
    return Likely(f"{tokens} patches of {patch_side}³ voxels: {_boxes(tokens, patch_side)}")


def heads(features: int) -> Likely:
    """Of a transformer of so many features: those of the published networks of as many; else they are asked for."""
    if features in OFFICIAL_HEADS:
        return Likely(f"the published networks of {features} features have as many", OFFICIAL_HEADS[features])
    return Likely(f"a divisor of {features}")


def volumes(stem_channels: int) -> Likely:
    """Input volumes of a network of slices whose first convolution takes so many channels: one, repeated, where these
    are a photograph's colours."""
    if stem_channels == COLOURS:
        return Likely(f"the official trainers give one volume, repeated to {COLOURS} channels", 1)
    return Likely("", stem_channels)


def recognised_with(
    architecture: str,
    layout: str,
    arguments: Mapping[str, object],
    likely: Mapping[str, Likely],
    ignored: Mapping[str, str] | None = None,
) -> Recognised:
    """What a checkpoint was recognised as.

    Args:
        architecture, layout, ignored: as ``Recognised`` has them.
        arguments: that are certain.
        likely: what is known of the others.
    """
    given = {name: argument for name, argument in likely.items() if argument.value is not None}
    asked_for = {name: argument for name, argument in likely.items() if argument.value is None}
    return Recognised(
        architecture,
        layout,
        {**arguments, **{name: argument.value for name, argument in given.items()}},
        open=tuple(asked_for),
        assumed={name: argument.reason for name, argument in given.items() if argument.reason},
        ignored=ignored or {},
        hints={name: argument.reason for name, argument in asked_for.items()},
    )


def _boxes(tokens: int, patch_side: int) -> str:
    """The images of so many patches, those that come closest to a cube first ("32×32×48, in any order")."""
    sides = [side for side in range(1, MAXIMUM_PATCHES_A_SIDE + 1) if tokens % side == 0]
    boxes = [box for box in itertools.combinations_with_replacement(sides, 3) if math.prod(box) == tokens]
    boxes.sort(key=lambda box: box[2] / box[0])
    shown = ["×".join(str(side * patch_side) for side in box) for box in boxes[:SIZES_SHOWN]]
    return f"{' or '.join(shown)}, with its sides in the order of the axes"
