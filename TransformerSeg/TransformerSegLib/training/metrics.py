"""How well one class of one case was found: overlap, outlines and volume, in millimetres whatever the voxels' shape."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.inference.statistics import MM3_PER_ML

if TYPE_CHECKING:
    import torch

TOLERANCE_MM = 1.0
"""How far two outlines may lie apart and still count as one, for the surface Dice."""

PERCENTILE = 95
"""Of the distances between two outlines: the farthest twentieth, often single voxels, is left out."""

NOT_DEFINED = float("nan")


class Presence(Enum):
    """Whether a class is in the reference, and whether it was found."""

    BOTH = "in both"
    MISSED = "missed"
    FALSE = "found though absent"
    ABSENT = "absent in both"


@dataclass(frozen=True)
class Metric:
    """One measured quantity.

    Attributes:
        key: of ``ClassFigures``, and in files.
        title: for people.
        unit: "mm", "mL", "%", or empty for a fraction.
        digits: after the decimal point, where people read it.
        best: its value where the model finds what the reference shows.
        signed: whether a value may lie on either side of the best one.
    """

    key: str
    title: str
    unit: str
    digits: int
    best: float
    signed: bool = False

    @property
    def label(self) -> str:
        """ "HD95 (mm)"."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def distance(self, value: float) -> float:
        """How far a value is from the best one: the higher, the worse."""
        return abs(value - self.best)


DICE = Metric("dice", "Dice", "", 3, 1.0)
SURFACE_DICE = Metric("surface_dice", f"Surface Dice at {TOLERANCE_MM:g} mm", "", 3, 1.0)
HD95 = Metric("hd95_mm", "HD95", "mm", 2, 0.0)
VOLUME_ERROR_ML = Metric("volume_error_ml", "Volume error", "mL", 2, 0.0, signed=True)
VOLUME_ERROR_PERCENT = Metric("volume_error_percent", "Volume error", "%", 1, 0.0, signed=True)
METRICS = (DICE, SURFACE_DICE, HD95, VOLUME_ERROR_ML, VOLUME_ERROR_PERCENT)


@dataclass(frozen=True)
class ClassFigures:
    """What was measured of one class in one case; NaN where it is not defined.

    Attributes:
        presence: in the reference and in what was found. Absent in both, nothing is defined; in one of them alone,
            both kinds of Dice are 0 and distances are not defined.
        dice: 2 |A∩B| / (|A| + |B|) (Dice 1945).
        surface_dice: the share of both outlines' area that lies within ``TOLERANCE_MM`` of the other outline
            (Nikolov et al. 2021, arXiv:1809.04430).
        hd95_mm: the ``PERCENTILE`` of the distances from each outline to the other, the larger of the two directions.
        reference_ml, found_ml: volumes.
        volume_error_ml: found less reference.
        volume_error_percent: of the reference; not defined where the reference has none.
    """

    presence: Presence
    dice: float
    surface_dice: float
    hd95_mm: float
    reference_ml: float
    found_ml: float
    volume_error_ml: float
    volume_error_percent: float

    def value(self, metric: Metric) -> float:
        return getattr(self, metric.key)


def measure(found: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float]) -> ClassFigures:
    """Compare two masks of one grid, by MONAI's metrics.

    Args:
        found, reference: boolean (I, J, K).
        spacing_mm: distance of voxel centres along i, j and k.

    Raises:
        ValueError: the masks' shapes differ.
    """
    if found.shape != reference.shape:
        raise ValueError(f"masks of {found.shape} and {reference.shape} voxels cannot be compared")
    voxel_ml = float(np.prod(spacing_mm)) / MM3_PER_ML
    found_ml, reference_ml = (int(np.count_nonzero(mask)) * voxel_ml for mask in (found, reference))
    presence = _presence(found_ml > 0, reference_ml > 0)
    error = NOT_DEFINED if presence is Presence.ABSENT else found_ml - reference_ml
    return ClassFigures(
        presence,
        *_overlaps_and_distance(found, reference, spacing_mm, presence),
        reference_ml,
        found_ml,
        error,
        100 * error / reference_ml if reference_ml else NOT_DEFINED,
    )


def dice(found: np.ndarray, reference: np.ndarray) -> float:
    """Dice's coefficient of two boolean masks of the same shape, by MONAI.

    NaN where both are empty: then there is nothing to measure.
    """
    from monai.metrics import compute_dice

    if not (found.any() or reference.any()):
        return NOT_DEFINED
    return float(compute_dice(_batch(found), _batch(reference), ignore_empty=False))


def _presence(found: bool, there: bool) -> Presence:
    if found:
        return Presence.BOTH if there else Presence.FALSE
    return Presence.MISSED if there else Presence.ABSENT


def _overlaps_and_distance(
    found: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], presence: Presence
) -> tuple[float, float, float]:
    """Dice, surface Dice and HD95."""
    if presence is Presence.ABSENT:
        return (NOT_DEFINED,) * 3
    if presence is not Presence.BOTH:
        return 0.0, 0.0, NOT_DEFINED
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    box = _box(found | reference)
    masks = _batch(found[box]), _batch(reference[box])
    on_grid = {"include_background": True, "spacing": [float(length) for length in spacing_mm]}
    with warnings.catch_warnings():
        # MONAI hands itself an argument that it has deprecated.
        warnings.filterwarnings("ignore", "(?s).*always_return_as_numpy", FutureWarning)
        surface = compute_surface_dice(*masks, class_thresholds=[TOLERANCE_MM], use_subvoxels=True, **on_grid)
        distance = compute_hausdorff_distance(*masks, percentile=PERCENTILE, **on_grid)
    return dice(found, reference), float(surface), float(distance)


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest part of the grid that holds a mask: nothing is measured outside of it."""
    sides = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        places = np.flatnonzero(mask.any(axis=others))
        sides.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(sides)


def _batch(mask: np.ndarray) -> torch.Tensor:
    """(1, 1, I, J, K), as MONAI's metrics take it."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(mask).view(np.uint8))[None, None]
