"""How well a bundle does on labelled cases, through the same engine that users run."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.training.cases import Case
from TransformerSegLib.training.confidence import Estimate, estimate
from TransformerSegLib.training.labels import read_label
from TransformerSegLib.training.metrics import ClassFigures, Metric, Presence, dice, measure
from TransformerSegLib.training.references import reference_masks

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class SegmentedCase:
    """What was found in one case, and what its labels say.

    Attributes:
        name: of the case.
        image: the first input, as it was segmented.
        segmentation: what was found.
        reference: class name → boolean (I, J, K) on the image's grid.
    """

    name: str
    image: Volume
    segmentation: Segmentation
    reference: Mapping[str, np.ndarray]

    def compared(self, compare: Callable[[np.ndarray, np.ndarray], Result]) -> dict[str, Result]:
        """Class name → what ``compare`` makes of the masks of what was found and of the reference."""
        return {
            segment.definition.name: compare(self.segmentation.mask(segment), self.reference[segment.definition.name])
            for segment in self.segmentation.segments
        }


@dataclass(frozen=True, eq=False)
class MeasuredCase(SegmentedCase):
    """One case, segmented and compared with its labels.

    Attributes:
        figures: by class name, in the card's order.
    """

    figures: Mapping[str, ClassFigures]


@dataclass(frozen=True)
class Evaluation:
    """The figures of all cases.

    Attributes:
        classes: names, in the card's order.
        cases: case name → class name → figures, in the order in which they were measured.
    """

    classes: tuple[str, ...]
    cases: Mapping[str, Mapping[str, ClassFigures]]

    def values(self, metric: Metric, name: str) -> list[float]:
        """Of one class, one a case; NaN where it is not defined."""
        return [figures[name].value(metric) for figures in self.cases.values()]

    def estimate(self, metric: Metric, name: str) -> Estimate:
        """Of one class, over the cases where it is defined."""
        return estimate(self.values(metric, name))

    def over_classes(self, metric: Metric) -> Estimate:
        """Of the mean over a case's classes where it is defined: cases are drawn, not classes."""
        defined = ([f.value(metric) for f in case.values()] for case in self.cases.values())
        finite = ([value for value in values if math.isfinite(value)] for values in defined)
        return estimate(statistics.fmean(values) for values in finite if values)

    def presences(self, name: str) -> Counter[Presence]:
        """In how many cases a class was in both, missed, found though absent, or absent in both."""
        return Counter(figures[name].presence for figures in self.cases.values())

    def worst_first(self) -> list[str]:
        """Names of the cases, by the lowest Dice of a class, and of alike ones by the mean of their classes; those
        where nothing is defined are left out."""
        keys = {name: badness(figures) for name, figures in self.cases.items()}
        return sorted((name for name, key in keys.items() if key is not None), key=keys.__getitem__)


def badness(figures: Mapping[str, ClassFigures]) -> tuple[float, float] | None:
    """What orders cases, the worst first: lowest and mean Dice of a class; None where none is defined."""
    defined = [f.dice for f in figures.values() if math.isfinite(f.dice)]
    return (min(defined), statistics.fmean(defined)) if defined else None


def measured_cases(
    bundle: Bundle, cases: Sequence[Case], device: str = "cpu", margin: int = 0, cancel: CancelToken | None = None
) -> Iterator[MeasuredCase]:
    """Segment every case and measure all of ``METRICS``; see ``segmented_cases``."""
    for case in segmented_cases(bundle, cases, device, margin, cancel):
        figures = case.compared(partial(measure, spacing_mm=case.image.spacing))
        yield MeasuredCase(case.name, case.image, case.segmentation, case.reference, figures)


def segmented_cases(
    bundle: Bundle, cases: Sequence[Case], device: str = "cpu", margin: int = 0, cancel: CancelToken | None = None
) -> Iterator[SegmentedCase]:
    """Segment every case by the engine that users run, one at a time.

    Args:
        bundle: the model.
        cases: with labels, their images in the order of the model's inputs.
        device: as ``Segmenter`` takes it.
        margin: voxels added on every side of every image, its border repeated; the reference is background there.
        cancel: takes effect within a case.

    Raises:
        TransformerSegError: a case cannot be read or segmented.
        Cancelled: on the token's demand.
    """
    # The cases are what the model is for, whatever its card asks of a user's volumes.
    segmenter = Segmenter(bundle, device, SegmentOptions(accept_mismatch=True))
    for case in cases:
        volumes = [with_margin(volume, margin) for volume in map(read_volume, case.images)]
        reference = {name: np.pad(mask, margin) for name, mask in references(case, bundle).items()}
        yield SegmentedCase(case.name, volumes[0], segmenter.segment(volumes, cancel=cancel), reference)


def references(case: Case, bundle: Bundle) -> dict[str, np.ndarray]:
    """Class name → boolean (I, J, K) on the grid of the case's first image.

    Raises:
        TrainingDataRejected: the labels cannot be read, lie on another grid, or hold none of the model's classes.
    """
    return reference_masks(bundle, read_label(case, bundle.card.classes).array, case.name)


def with_margin(volume: Volume, voxels: int) -> Volume:
    """The same image with so many voxels more on every side, which repeat its border."""
    affine = volume.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, float(voxels))
    return replace(volume, array=np.pad(volume.array, voxels, mode="edge"), affine=affine) if voxels else volume


def measure_dice(bundle: Bundle, cases: Sequence[Case], device: str = "cpu") -> dict[str, list[float]]:
    """Segment every case and compare with its labels, by Dice alone, as every training does at its end.

    Returns:
        For each class name, one Dice a case, in the order of ``cases``; NaN where a class is neither found nor there.
    """
    measured = [case.compared(dice) for case in segmented_cases(bundle, cases, device)]
    return {definition.name: [by_class[definition.name] for by_class in measured] for definition in bundle.card.classes}


def means(measured: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """What ``measure_dice`` found, averaged over the cases where it is a number; a class without any is left out."""
    finite = {name: [value for value in values if math.isfinite(value)] for name, values in measured.items()}
    return {name: statistics.fmean(values) for name, values in finite.items() if values}
