"""What a case's labels say of each class of a model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.training.brats import region_called, regions
from TransformerSegLib.training.recipe import read_recipe


def reference_masks(bundle: Bundle, labels: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Where each class is, by the case's labels.

    A class is where the labels hold its number. The regions of brain tumours overlap, and labels of BraTS hold the
    parts that they consist of: where all of a model's classes are such regions, they are put together of those.

    Args:
        bundle: the model.
        labels: (I, J, K), whole numbers.
        name: of the file, for errors.

    Returns:
        class name → boolean (I, J, K), in the card's order.

    Raises:
        TrainingDataRejected: the labels hold numbers, and none of them is of a class of the model.
    """
    classes = bundle.card.classes
    if places := regions_of(bundle):
        planes = regions(labels, name)
        return {definition.name: planes[places[definition.name]] for definition in classes}
    masks = {definition.name: labels == definition.label for definition in classes}
    if labels.any() and not any(mask.any() for mask in masks.values()):
        held = ", ".join(f"{value:g}" for value in np.unique(labels)[:8] if value)
        known = ", ".join(f"{definition.label} {definition.name}" for definition in classes[:8])
        raise TrainingDataRejected(
            f"“{name}” holds the labels {held}, and none of a class of the model",
            why=f"its classes are {known}{', …' if len(classes) > 8 else ''}",
            remedy="Relabel the files, or choose the model that they are for",
        )
    return masks


def regions_of(bundle: Bundle) -> Mapping[str, int]:
    """Class name → which of ``REGIONS`` it is; empty where they are other classes, or exclude each other."""
    if bundle.plan.output.threshold is None:
        return {}
    classes = bundle.card.classes
    recipe = bundle.folder / "training" / "recipe.json"
    if recipe.is_file() and read_recipe(recipe).overlapping:
        return {definition.name: definition.channel for definition in classes}
    places = {definition.name: region_called(definition.name) for definition in classes}
    return {} if None in places.values() else places
