"""Labelled cases with a model's answers: what the learned refinement is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.bundles.card import MAXIMUM_LABEL
from TransformerSegLib.bundles.plan import Activation
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.interaction.score_keeper import ScoreKeeper
from TransformerSegLib.training.references import reference_masks
from TransformerSegLib.training.trained_cases import not_trained_on
from TransformerSegLib.training.worse_image import worse_image

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.inference.volume import Volume
    from TransformerSegLib.interaction.kept_scores import KeptScores
    from TransformerSegLib.training.cases import Case
    from TransformerSegLib.training.refiner_training_module import ClickCase


def practice_cases(
    bundles: Sequence[Bundle], cases: Sequence[Case], device: str, worse: np.random.Generator
) -> Iterator[ClickCase]:
    """What clicks are learned from: the errors that models make where they have not learned.

    Of each model the answers to those cases that it was not trained on; where it was trained on all, its answers to
    worse images of them.

    Args:
        worse: draws what is done to those images.

    Raises:
        As ``click_cases``.
    """
    for bundle in bundles:
        unseen = not_trained_on(bundle, cases)
        yield from click_cases(bundle, unseen or cases, device, None if unseen else worse)


def click_cases(
    bundle: Bundle, cases: Iterable[Case], device: str, worse: np.random.Generator | None = None
) -> Iterator[ClickCase]:
    """Segment every case.

    Args:
        worse: if given, the answers are to worse images, which this draws.

    Raises:
        BundleRejected: the model's classes may overlap, or its scores are no probabilities of one class each.
        TrainingDataRejected: a case's labels are not of the model's classes.
        TransformerSegError: a case cannot be segmented.
    """
    output = bundle.plan.output
    if output.threshold is not None or output.activation is not Activation.SOFTMAX:
        raise BundleRejected(
            f"“{bundle.card.title}” does not choose one class for every voxel",
            why="the refinement learns from models whose classes exclude each other; it then serves others too",
            remedy="Choose a model with exclusive classes",
        )
    segmenter = Segmenter(bundle, device, SegmentOptions(accept_mismatch=True))
    for case in cases:
        volumes = [read_volume(path) for path in case.images]
        image = volumes[0].array
        if worse is not None:
            volumes = [replace(volume, array=worse_image(volume.array, worse)) for volume in volumes]
        yield replace(_answered(segmenter, bundle, case, volumes), image=image)


def _answered(segmenter: Segmenter, bundle: Bundle, case: Case, volumes: Sequence[Volume]) -> ClickCase:
    from TransformerSegLib.training.refiner_training_module import ClickCase

    keeper = ScoreKeeper(bundle.plan.output, bundle.card.classes)
    (answer,) = segmenter.segment(volumes, observer=keeper).layers
    masks = reference_masks(bundle, read_volume(case.label).array, case.label.name)
    truth = np.zeros(answer.shape, np.uint16)
    for number, mask in enumerate(masks.values(), start=1):
        truth[mask] = number
    numbers = np.zeros(MAXIMUM_LABEL + 1, np.intp)
    numbers[[definition.label for definition in bundle.card.classes]] = np.arange(1, len(masks) + 1)
    logits = _logits(keeper.kept()[0], numbers[answer], len(masks))
    return ClickCase(volumes[0].array, logits, truth, volumes[0].spacing)


def _logits(kept: KeptScores, answer: np.ndarray, classes: int) -> np.ndarray:
    """(classes + 1, I, J, K), float32; where the model was sure, its answer leads by the bound.

    Args:
        answer: (I, J, K), numbers.
    """
    local = kept.local(tuple(slice(0, size) for size in answer.shape))
    logits = np.full((classes + 1, *answer.shape), -kept.bound, np.float32)
    np.put_along_axis(logits, answer[np.newaxis], 0.0, axis=0)
    for number, scores in zip(local.numbers, local.scores, strict=True):
        np.copyto(logits[number], scores, where=local.known)
    return logits
