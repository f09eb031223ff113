"""What is wrong with a training run, said before its hours and not after them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.layout import WEIGHTS
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import BundleRejected, TrainingDataRejected
from TransformerSegLib.networks.architecture import Architecture
from TransformerSegLib.networks.registry import ARCHITECTURES, configured
from TransformerSegLib.training.data_list import DataList
from TransformerSegLib.training.export import write_trained_card
from TransformerSegLib.training.recipe import AXES, Recipe


def rehearse(recipe: Recipe, card: Card, data: DataList) -> None:
    """Make sure that recipe, card and data list go together, and that the engine will take the exported bundle.

    Raises:
        TrainingDataRejected: they do not, or it will not.
    """
    _export_without_weights(recipe, card)
    _check_channels(recipe, card)
    if len(data.training) < recipe.batch:
        raise TrainingDataRejected(
            f"The data list has {len(data.training)} training cases, and the recipe a batch of {recipe.batch}",
            why="a step takes its patches from as many cases",
            remedy="Lower “batch” in recipe.json, or add cases",
        )


def _export_without_weights(recipe: Recipe, card: Card) -> None:
    """The reader of bundles is the judge: it knows every rule for networks, windows, transforms and cards."""
    try:
        network = configured(recipe.architecture, recipe.network)
        _refuse_slices(network)
        network.outline()
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "model")
            write_trained_card(folder, card, recipe)
            weights = folder / WEIGHTS[0]
            weights.parent.mkdir()
            weights.touch()
            read_bundle(folder)
    except BundleRejected as error:
        raise TrainingDataRejected(
            "Recipe and card make no usable model",
            why=f"the exported bundle would be refused: {error.what}",
            remedy="Correct recipe.json or card.json",
        ) from error


def _refuse_slices(network: Architecture) -> None:
    if network.axes != AXES:
        others = ", ".join(name for name, architecture in ARCHITECTURES.items() if architecture.axes == AXES)
        raise TrainingDataRejected(
            f"{network.name} sees slices, and what is trained here sees volumes",
            why="a training step takes its patches from volumes",
            remedy="Train it with its official code, and import the checkpoint (transformerseg import), or set "
            f"“architecture” in recipe.json to one of {others}",
        )


def _check_channels(recipe: Recipe, card: Card) -> None:
    if recipe.network["in_channels"] != 1:
        raise TrainingDataRejected(
            f"The recipe's network takes {recipe.network['in_channels']} inputs",
            why="a training case is one image with its labels",
            remedy="Set “in_channels” to 1",
        )
    numbers = list(range(1, len(card.classes) + 1))
    if any(sorted(getattr(each, which) for each in card.classes) != numbers for which in ("label", "channel")) or any(
        each.label != each.channel for each in card.classes
    ):
        raise TrainingDataRejected(
            f"The card's classes are not numbered from 1 to {len(numbers)}",
            why="the labels in the training data are the network's channels, and 0 is the background",
            remedy="Give every class in card.json the same number as “label” and as “channel”, from 1 on without a gap",
        )
    if recipe.network["out_channels"] != len(numbers) + 1:
        raise TrainingDataRejected(
            f"The recipe's network has {recipe.network['out_channels']} channels, and the card {len(numbers)} classes",
            why="the network has one channel a class and one for the background",
            remedy=f"Set “out_channels” in recipe.json to {len(numbers) + 1}, or name all classes in card.json",
        )
