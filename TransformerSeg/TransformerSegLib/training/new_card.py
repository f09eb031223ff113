"""The card of a model that is about to be trained, as far as the run is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.card import Card, InputChannel, SegmentClass
from TransformerSegLib.bundles.metadata import color
from TransformerSegLib.bundles.recipes import FLAIR, T1, T1CE, T2
from TransformerSegLib.inference.reading import name_of
from TransformerSegLib.training.brats import REGIONS
from TransformerSegLib.training.cases import Case, ClassName, DataList
from TransformerSegLib.training.recipe import Recipe

VERSION = "1.0.0"

BRATS_INPUTS = (FLAIR, T1CE, T1, T2)
"""In the order of the published networks."""


def card_of_data(name: str, recipe: Recipe, data: DataList, classes: Sequence[ClassName]) -> Card:
    """Of a new network.

    Args:
        name: of the model.
        classes: of the data; of no meaning for BraTS.
    """
    return Card(
        name=name,
        title=f"{_title(name)}, {recipe.architecture}",
        version=VERSION,
        description=f"{_listed(_names(recipe, classes))}. {recipe_told(recipe)}",
        inputs=_inputs(recipe, data.cases[0]),
        classes=_classes(recipe, classes),
        training_data=_training_data(data),
        licence=_licence(data),
        limits=_limits(data),
    )


def card_of_model(name: str, recipe: Recipe, data: DataList, bundle: Bundle) -> Card:
    """Of a network that goes on from a model: its inputs, classes and requirements; what was measured is gone."""
    card = bundle.card
    return card.model_copy(
        update={
            "name": name,
            "title": f"{card.title}, trained further" if name == card.name else f"{_title(name)}, from {card.title}",
            "version": VERSION,
            "description": f"{_listed([each.name for each in card.classes])}. {recipe_told(recipe)}",
            "training_data": f"{_training_data(data)} Before that: {card.training_data or 'not stated.'}",
            "licence": "; ".join(dict.fromkeys((_licence(data), card.licence or "not stated, of the model before"))),
            "dice": {},
            "dice_data": "",
            "figures": {},
            "limits": (*_limits(data), *(f"Of the model before: {limit}" for limit in card.limits)),
            "trained_with_monai": None,
            "temperature": 1.0,
            "bfloat16": None,
            "dice_scale": None,
            "doubt": None,
        }
    )


def recipe_told(recipe: Recipe) -> str:
    """How a model was trained, in a sentence."""
    sides = "×".join(map(str, recipe.patch))
    seen = f"patches of {sides} voxels"
    if recipe.axes == 2:
        seen = f"{recipe.patch[0]} slices a case, of {'×'.join(map(str, recipe.patch[1:]))} pixels"
    spacing = f" at {'×'.join(f'{length:g}' for length in recipe.spacing_mm)} mm" if recipe.spacing_mm else ""
    losses = "Dice" if recipe.loss == "dice" else "Dice and cross-entropy"
    return (
        f"{recipe.architecture}, trained for {recipe.epochs} epochs on {seen}{spacing}, {recipe.preparation} recipe, "
        f"{losses}, batches of {recipe.batch}, AdamW at {recipe.learning_rate:g}, seed {recipe.seed}."
    )


def _inputs(recipe: Recipe, case: Case) -> tuple[InputChannel, ...]:
    if len(case.images) == 1:
        return (InputChannel(name="image"),)
    if recipe.overlapping and len(case.images) == len(BRATS_INPUTS):
        return BRATS_INPUTS
    names = [name_of(path).removeprefix(case.name).strip("_-. ") for path in case.images]
    if len(set(names)) < len(names) or not all(names):
        names = [f"image {number}" for number in range(1, len(names) + 1)]
    return tuple(InputChannel(name=each, hints=(each.casefold(),)) for each in names)


def _names(recipe: Recipe, classes: Sequence[ClassName]) -> list[str]:
    return list(REGIONS) if recipe.overlapping else [each.name for each in classes]


def _classes(recipe: Recipe, classes: Sequence[ClassName]) -> tuple[SegmentClass, ...]:
    if recipe.overlapping:
        return tuple(
            SegmentClass(label=channel + 1, channel=channel, name=region, color=color(channel))
            for channel, region in enumerate(REGIONS)
        )
    return tuple(
        SegmentClass(label=each.label, channel=each.label, name=each.name, color=each.color) for each in classes
    )


def _training_data(data: DataList) -> str:
    kept_out = f"{len(data.validation)} others were kept out" if data.validation else "none was kept out"
    notes = " ".join(f"{note.rstrip('.')}." for note in data.notes)
    return f"{len(data.training)} labelled cases of {_data_name(data)}; {kept_out}. {notes}".strip()


def _licence(data: DataList) -> str:
    return data.licence or f"not stated (of the data “{_data_name(data)}”)"


def _limits(data: DataList) -> tuple[str, ...]:
    seen = f"It was trained on {_data_name(data)} alone; other scanners, sequences, ages and diseases it has not seen."
    return (seen,) if data.validation else (seen, "No case was kept out to measure it.")


def _data_name(data: DataList) -> str:
    return data.name or Path(data.root).name


def _title(name: str) -> str:
    words = name.replace("_", " ").strip() or name
    return words[:1].upper() + words[1:]


def _listed(names: Sequence[str], shown: int = 8) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    text = ", ".join(names[:shown]) + more
    return text[:1].upper() + text[1:]
