"""The recipe by which a model is trained further: its network and preparation, on other data."""

from __future__ import annotations

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.plan import (
    IntensityStep,
    NormalizeIntensity,
    Orientation,
    ScaleIntensityRange,
    SlicePlan,
    Spacing,
)
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.networks.registry import configured
from TransformerSegLib.training.brats import REGIONS, region_called
from TransformerSegLib.training.deep_supervision import heads
from TransformerSegLib.training.intensity import MeanAndDeviation, Range
from TransformerSegLib.training.new_recipe import SLICES_A_CASE
from TransformerSegLib.training.recipe import DEFORMED_SHARE, Recipe, read_recipe

EPOCHS = 60
LEARNING_RATE = 2e-4
"""Lower than from random weights: what was learned is to be changed, not lost."""


def recipe_of(bundle: Bundle) -> Recipe:
    """The recipe of a model that was trained here, or one that does what its bundle asks for.

    Raises:
        TrainingDataRejected: the model's preparation, or its kind of classes, is not one that a recipe has.
    """
    begun = {"epochs": EPOCHS, "learning_rate": LEARNING_RATE, "deformed_share": DEFORMED_SHARE}
    own = bundle.folder / "training" / "recipe.json"
    if own.is_file():
        return read_recipe(own).model_copy(update=begun)
    plan = bundle.plan
    network = dict(plan.network.arguments)
    orientation, spacing, intensity = _steps(bundle)
    slices = isinstance(plan.window, SlicePlan)
    return Recipe(
        architecture=plan.network.architecture,
        network=network,
        labels=_labels(bundle),
        deep_supervision=heads(configured(plan.network.architecture, network)) > 1,
        mixed_precision="auto",
        axcodes=orientation,
        spacing_mm=spacing,
        intensity=intensity,
        patch=(SLICES_A_CASE, *plan.window.size) if slices else plan.window.size,
        overlap=0.5 if slices else max(plan.window.overlap),
        batch=1,
        randomness="case",
        **begun,
    )


def _steps(bundle: Bundle) -> tuple[str | None, tuple[float, float, float] | None, MeanAndDeviation | Range]:
    orientation = spacing = intensity = None
    for step in bundle.plan.preparation:
        match step:
            case Orientation() if orientation is None:
                orientation = step.axcodes
            case Spacing(mode="bilinear") if spacing is None:
                spacing = step.pixdim
            case _ if intensity is None:
                intensity = _scaling(step, bundle)
            case _:
                raise _not_repeated(bundle, "a step of it comes twice")
    if intensity is None:
        raise _not_repeated(bundle, "it leaves intensities as they are")
    return orientation, spacing, intensity


def _scaling(step: IntensityStep, bundle: Bundle) -> MeanAndDeviation | Range:
    match step:
        case NormalizeIntensity(subtrahend=None, divisor=None):
            return MeanAndDeviation(nonzero=step.nonzero, channel_wise=step.channel_wise)
        case ScaleIntensityRange(b_min=float() | int(), b_max=float() | int()):
            return Range(a_min=step.a_min, a_max=step.a_max, b_min=step.b_min, b_max=step.b_max, clip=step.clip)
    raise _not_repeated(bundle, f"a recipe has no {type(step).__name__} like its")


def _labels(bundle: Bundle) -> str:
    if bundle.plan.output.threshold is None:
        return "exclusive"
    in_order = [region_called(each.name) for each in sorted(bundle.card.classes, key=lambda each: each.channel)]
    if in_order != list(range(len(REGIONS))):
        raise _not_repeated(bundle, "its classes overlap, and are not the regions of BraTS in their order")
    return "brats"


def _not_repeated(bundle: Bundle, why: str) -> TrainingDataRejected:
    return TrainingDataRejected(
        f"“{bundle.card.title}” cannot be trained further here",
        why=f"its preparation is none that a training repeats: {why}",
        remedy="Train a new network that starts from this model's weights, by the command “transformerseg train”",
    )
