"""How well a bundle does on labelled cases, through the same engine that users run."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
from TransformerSegLib.training.metrics import ClassFigures, Metric, Presence, measure
from TransformerSegLib.training.references import reference_masks, regions_of


@dataclass(frozen=True, eq=False)
class MeasuredCase:
    """One case, segmented and compared with its labels.

    Attributes:
        name: of the case.
        image: the first input, as it was segmented.
        segmentation: what was found.
        reference: class name → boolean (I, J, K) on the image's grid.
        figures: by class name, in the card's order.
    """

    name: str
    image: Volume
    segmentation: Segmentation
    reference: Mapping[str, np.ndarray]
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


OnMeasured = Callable[[MeasuredCase, int, float], None]
"""Called after every case with it, with how many are done, and with the seconds that the others are likely to take."""


def evaluated(
    bundle: Bundle,
    cases: Sequence[Case],
    device: str,
    on_measured: OnMeasured,
    *,
    margin: int = 0,
    cancel: CancelToken | None = None,
) -> Evaluation:
    """Measure every case; see ``measured_cases``. Their volumes are let go of one by one."""
    begun = time.monotonic()
    figures: dict[str, Mapping[str, ClassFigures]] = {}
    for case in measured_cases(bundle, cases, device, margin, cancel):
        figures[case.name] = case.figures
        done = len(figures)
        on_measured(case, done, (time.monotonic() - begun) / done * (len(cases) - done))
    return Evaluation(tuple(definition.name for definition in bundle.card.classes), figures)


def measured_cases(
    bundle: Bundle, cases: Sequence[Case], device: str = "cpu", margin: int = 0, cancel: CancelToken | None = None
) -> Iterator[MeasuredCase]:
    """Segment every case by the engine that users run, one at a time, and measure all of ``METRICS``.

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
        segmentation = segmenter.segment(volumes, cancel=cancel)
        figures = {
            segment.definition.name: measure(
                segmentation.mask(segment), reference[segment.definition.name], volumes[0].spacing
            )
            for segment in segmentation.segments
        }
        yield MeasuredCase(case.name, volumes[0], segmentation, reference, figures)


def references(case: Case, bundle: Bundle) -> dict[str, np.ndarray]:
    """Class name → boolean (I, J, K) on the grid of the case's first image.

    Raises:
        TrainingDataRejected: the labels cannot be read, lie on another grid, or hold none of the model's classes.
    """
    labels = read_label(case, bundle.card.classes, overlapping=bool(regions_of(bundle)))
    return reference_masks(bundle, labels.array, case.name)


def with_margin(volume: Volume, voxels: int) -> Volume:
    """The same image with so many voxels more on every side, which repeat its border."""
    affine = volume.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, float(voxels))
    return replace(volume, array=np.pad(volume.array, voxels, mode="edge"), affine=affine) if voxels else volume
