"""From a trained network to a bundle: weights in half precision, configuration, card, documents."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.layout import LICENCE
from TransformerSegLib.bundles.plan import (
    Activation,
    NetworkPlan,
    Orientation,
    OutputPlan,
    Plan,
    PreparationStep,
    SlicePlan,
    Spacing,
    Weighting,
    WindowPlan,
)
from TransformerSegLib.bundles.writing import new_folder, write_card, write_weights
from TransformerSegLib.training.recipe import VOLUME_AXES, Recipe
from TransformerSegLib.training.starting import Start

if TYPE_CHECKING:
    import torch

DEFINITION_FILES = ("recipe.json", "data_list.json", "card.json")
"""What a training run is defined by; a bundle keeps them in its folder ``training``."""

HALF = 0.5
"""The probability from which on a voxel has a class, where classes may overlap."""


def plan_of(recipe: Recipe) -> Plan:
    """What a bundle trained by ``recipe`` asks of the engine: the preparation that its training data had, windows of
    the training patch's size, or slices; and softmax and argmax, or where classes overlap sigmoid and a threshold."""
    return Plan(
        network=NetworkPlan(recipe.architecture, recipe.network),
        preparation=_preparation(recipe),
        window=_window(recipe),
        output=OutputPlan(Activation.SIGMOID, threshold=HALF) if recipe.overlapping else OutputPlan(),
    )


def _preparation(recipe: Recipe) -> tuple[PreparationStep, ...]:
    orientation = (Orientation(recipe.axcodes),) if recipe.axcodes is not None else ()
    spacing = (Spacing(recipe.spacing_mm),) if recipe.spacing_mm is not None else ()
    return (*orientation, *spacing, recipe.scaling.step)


def _window(recipe: Recipe) -> WindowPlan | SlicePlan:
    if recipe.axes < VOLUME_AXES:
        return SlicePlan(recipe.patch[1:])
    return WindowPlan(recipe.patch, overlap=(recipe.overlap,) * VOLUME_AXES, weighting=Weighting.GAUSSIAN)


def export_bundle(
    folder: Path,
    network: torch.nn.Module,
    recipe: Recipe,
    card: Card,
    definition: Path | None = None,
    start: Start | None = None,
) -> None:
    """Write a complete bundle; the folder appears whole or not at all.

    Args:
        folder: must not exist.
        network: trained; its weights are stored as float16 where they fit, other tensors as they are.
        recipe: that it was trained by.
        card: of the model.
        definition: folder with the run's ``DEFINITION_FILES``, which are kept in the bundle.
        start: the weights that the training started from; None: random ones.
    """
    weights = {name: _in_half_precision(tensor).contiguous() for name, tensor in network.state_dict().items()}
    with new_folder(folder) as draft:
        write_weights(draft, weights)
        if definition is not None:
            (draft / "training").mkdir()
            for name in DEFINITION_FILES:
                shutil.copyfile(definition / name, draft / "training" / name)
        (draft / LICENCE).write_text(f"{card.licence}\n\nTraining data: {card.training_data}\n", encoding="utf-8")
        write_trained_card(draft, card, recipe, start)


def write_trained_card(folder: Path, card: Card, recipe: Recipe, start: Start | None = None) -> None:
    """(Re)write what a trained bundle says of itself."""
    mirrored = recipe.flip_axes if recipe.axes == VOLUME_AXES else ()
    trained = card.model_copy(
        update={
            "trained_with_monai": version("monai"),
            "mirror_axes": mirrored,
            "bfloat16": None,
            "temperature": 1.0,
            "dice_scale": None,
            "doubt": None,
        }
    )
    write_card(folder, trained, plan_of(recipe), _trained_by(start))


def _trained_by(start: Start | None) -> tuple[str, ...]:
    """The command that trained it, as its document shows it."""
    begun = f", START the weights of “{start.name}”, SHA-256 {start.record['sha256']}" if start else ""
    return (
        f"Trained by (DATA is the folder in which the images and labels lie, MODEL this bundle's{begun}):",
        "",
        "```",
        f"transformerseg train MODEL/training --data DATA{' --start START' if start else ''} --output NEW_MODEL",
        "```",
    )


def _in_half_precision(tensor: torch.Tensor) -> torch.Tensor:
    """float16 of float32, unless a number is too large for it, as a variance of a batch normalisation may be."""
    import torch

    if tensor.dtype != torch.float32:
        return tensor
    half = tensor.half()
    return half if half.isfinite().all() else tensor
