"""What is wrong with a training run, said before its hours and not after them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.layout import WEIGHTS
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import BundleRejected, TrainingDataRejected
from TransformerSegLib.networks.architecture import Architecture
from TransformerSegLib.networks.registry import configured
from TransformerSegLib.training.brats import REGIONS
from TransformerSegLib.training.cases import Case, DataList
from TransformerSegLib.training.deep_supervision import heads
from TransformerSegLib.training.export import write_trained_card
from TransformerSegLib.training.recipe import VOLUME_AXES, Recipe


def rehearse(recipe: Recipe, card: Card, data: DataList) -> None:
    """Make sure that recipe, card and data list go together, and that the engine will take the exported bundle.

    Raises:
        TrainingDataRejected: they do not, or it will not.
    """
    network = _export_without_weights(recipe, card)
    _check_preparation(recipe)
    _check_heads(recipe, network)
    _check_inputs(recipe, card, data.cases)
    if recipe.overlapping:
        _check_regions(recipe, card)
    else:
        _check_channels(recipe, card)
    if len(data.training) < recipe.batch:
        raise TrainingDataRejected(
            f"The data list has {len(data.training)} training cases, and the recipe a batch of {recipe.batch}",
            why="a step takes its patches from as many cases",
            remedy="Lower “batch” in recipe.json, or add cases",
        )


def _export_without_weights(recipe: Recipe, card: Card) -> Architecture:
    """The reader of bundles is the judge: it knows every rule for networks, windows, transforms and cards."""
    try:
        network = configured(recipe.architecture, recipe.network)
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
    return network


def _check_preparation(recipe: Recipe) -> None:
    if recipe.preparation == "brats" and recipe.axes != VOLUME_AXES:
        raise TrainingDataRejected(
            f"{recipe.architecture} sees slices, and the preparation for BraTS cuts patches out of volumes",
            why="it was published for a network of volumes",
            remedy="Set “preparation” in recipe.json to “general”; “labels” may stay “brats”",
        )
    if any(axis >= recipe.axes for axis in recipe.flip_axes):
        raise TrainingDataRejected(
            f"The recipe mirrors along axis {max(recipe.flip_axes)}, and {recipe.architecture} sees slices",
            why="a slice has the axes 0 and 1",
            remedy="Take it out of “flip_axes” in recipe.json",
        )


def _check_heads(recipe: Recipe, network: Architecture) -> None:
    count = heads(network)
    if recipe.deep_supervision and count == 1:
        raise TrainingDataRejected(
            f"The recipe asks for deep supervision, and its {network.name} has one head",
            why="there are no inner heads to train",
            remedy="Set “deep_supervision” in recipe.json to false, or give a TransUNet “multi_scale”: true",
        )
    if count > 1 and not recipe.deep_supervision:
        raise TrainingDataRejected(
            f"The recipe's {network.name} has {count} heads, and without deep supervision one of them would be trained",
            why="the others would keep their random weights",
            remedy="Set “deep_supervision” in recipe.json to true, or “multi_scale” to false",
        )


def _check_inputs(recipe: Recipe, card: Card, cases: Sequence[Case]) -> None:
    if recipe.inputs != len(card.inputs):
        raise TrainingDataRejected(
            f"The recipe's network takes {_volumes(recipe.inputs)}, and the card names {len(card.inputs)}",
            why="each of them goes into a channel of the network",
            remedy=f"Set “in_channels” in recipe.json to {len(card.inputs)}, or name all inputs in card.json",
        )
    for case in cases:
        if len(case.images) != recipe.inputs:
            raise TrainingDataRejected(
                f"“{case.name}” has {_volumes(len(case.images))}, and the recipe's network takes {recipe.inputs}",
                why="a training case has a volume for each input of the network",
                remedy="List all of a case's files under “image”, or set “in_channels” in recipe.json to their number",
            )


def _volumes(count: int) -> str:
    return "1 volume" if count == 1 else f"{count} volumes"


def _check_regions(recipe: Recipe, card: Card) -> None:
    if recipe.outputs != len(REGIONS) or sorted(each.channel for each in card.classes) != list(range(len(REGIONS))):
        raise TrainingDataRejected(
            "Recipe and card do not say that the regions of BraTS are trained",
            why=f"they are {', '.join(REGIONS)}, in the channels 0, 1 and 2, and there is none for the background",
            remedy="Set “out_channels” in recipe.json to 3, and give the card's classes these channels",
        )


def _check_channels(recipe: Recipe, card: Card) -> None:
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
