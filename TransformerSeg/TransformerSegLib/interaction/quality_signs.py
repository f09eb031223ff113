"""Signs of how well a class was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from TransformerSegLib.bundles.card import QualitySigns
from TransformerSegLib.interaction.expected_overlap import expected_overlaps
from TransformerSegLib.interaction.kept_scores import KeptScores
from TransformerSegLib.interaction.neighbourhood import Spacing

AROUND_MM = 15.0
"""An image's deviation in a structure's box, and so far around it, is what that inside it is compared with."""

LEAST_INTERIOR = 20
"""Voxels; where fewer have neighbours of their own class alone, all of the class count."""

MOST_LOOKED_AT = 2_000_000
"""Voxels inside a structure, and around it; of more, every second, third, …"""


def quality_signs(
    kept: KeptScores, labels: np.ndarray, numbers: Sequence[int], image: np.ndarray, spacing: Spacing
) -> list[QualitySigns | None]:
    """What ``dice_scale`` makes a Dice of.

    Probabilities are taken as the network tells them. At the temperature at which they are right voxel by voxel, the
    little doubt of the many voxels far from a structure weighs most, and that says little.

    Args:
        labels: (I, J, K): the model's numbers.
        numbers: of the classes, one at least.
        image: (I, J, K): that was segmented, the first of several.
        spacing: of voxel centres along i, j and k, in mm.

    Returns:
        as many; None for a class of which nothing was found.
    """
    from scipy.ndimage import find_objects

    boxes = find_objects(labels, max(numbers))
    overlaps = expected_overlaps(kept, labels, numbers, temperature=1.0)
    result: list[QualitySigns | None] = []
    for number, overlap in zip(numbers, overlaps, strict=True):
        box = boxes[number - 1]
        if box is None:
            result.append(None)
            continue
        beside = tuple(slice(max(extent.start - 1, 0), extent.stop + 1) for extent in box)
        inside = _interior(labels[beside] == number)
        usual, grains = _around(image, box, spacing)
        values = image[beside][inside]
        with np.errstate(over="ignore", invalid="ignore"):
            uneven = float(values[:: -(-values.size // MOST_LOOKED_AT)].astype(np.float64).std())
        result.append(
            QualitySigns(
                expected_dice=overlap.dice,
                expected_precision=overlap.precision,
                unevenness=_ratio(uneven, usual),
                graininess=_ratio(grains, usual),
            )
        )
    return result


def _interior(mask: np.ndarray) -> np.ndarray:
    """Boolean: voxels all of whose neighbours are in the mask; all of it where that leaves hardly any.

    Args:
        mask: with the voxels beside it, save at the image's edge.
    """
    from scipy.ndimage import binary_erosion

    inside = binary_erosion(mask, border_value=1)
    return inside if np.count_nonzero(inside) >= LEAST_INTERIOR else mask


def _around(image: np.ndarray, box: Sequence[slice], spacing: Spacing) -> tuple[float, float]:
    """The image's standard deviation around a structure, and the median of its Laplacian's magnitude.

    The Laplacian is computed here because scipy's would be so at every voxel of what may be a whole body. Where it is
    exactly 0, the voxels are of one value, as those of a padding or a mask are: they do not count.
    """
    around = tuple(
        slice(max(extent.start - round(AROUND_MM / length), 0), extent.stop + round(AROUND_MM / length))
        for extent, length in zip(box, spacing, strict=True)
    )
    nearby = image[around]
    step = max(int(np.ceil((nearby.size / MOST_LOOKED_AT) ** (1 / 3))), 1)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float(nearby[::step, ::step, ::step].astype(np.float64).std())
        laplacian = -6.0 * _shifted(nearby, step, (0, 0, 0))
        for axis in range(3):
            for way in (-1, 1):
                laplacian += _shifted(nearby, step, tuple(way * (own == axis) for own in range(3)))
        grains = np.abs(laplacian[laplacian != 0.0])
        return deviation, float(np.median(grains)) if grains.size else np.nan


def _shifted(image: np.ndarray, step: int, by: Sequence[int]) -> np.ndarray:
    """Float64: every ``step``-th voxel along each axis, of those that have all neighbours; or these neighbours."""
    return image[tuple(slice(1 + way, size - 1 + way, step) for way, size in zip(by, image.shape, strict=True))].astype(
        np.float64
    )


def _ratio(value: float, usual: float) -> float | None:
    """None where it is no number."""
    ratio = value / usual if usual else np.nan
    return ratio if np.isfinite(ratio) else None
