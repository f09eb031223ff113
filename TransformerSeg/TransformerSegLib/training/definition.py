"""What defines a training run, as a folder of three files; and the ways to come to one without writing them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.metadata import color
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.training.cases import Case, ClassName, DataList
from TransformerSegLib.training.export import DEFINITION_FILES
from TransformerSegLib.training.model_recipe import recipe_of
from TransformerSegLib.training.network_choice import NetworkChoice, Preparation
from TransformerSegLib.training.new_card import card_of_data, card_of_model
from TransformerSegLib.training.new_recipe import (
    new_recipe,
    orientation_for,
    with_fitting_margin,
    with_fitting_warmup,
)
from TransformerSegLib.training.pretrained_encoder import encoder_network
from TransformerSegLib.training.recipe import Recipe
from TransformerSegLib.training.usual_case import usual_case, usual_size


@dataclass(frozen=True)
class Definition:
    """Settings, card and cases of a run."""

    recipe: Recipe
    card: Card
    data: DataList


@dataclass(frozen=True)
class Changes:
    """What a user sets otherwise than the recipe; None: as the recipe has it."""

    epochs: int | None = None
    batch: int | None = None
    seed: int | None = None

    def of(self, recipe: Recipe, cases: int) -> Recipe:
        """The recipe with them; a run of few steps warms up for few."""
        changed = {name: value for name, value in vars(self).items() if value is not None}
        return with_fitting_warmup(recipe.model_copy(update=changed), cases) if changed else recipe


def for_new_network(
    name: str,
    network: NetworkChoice,
    preparation: Preparation,
    data: DataList,
    changes: Changes,
    start: Path | None = None,
) -> Definition:
    """A new network, and a recipe that is fitted to the data.

    Args:
        name: of the model.
        start: the weights that it starts from; of an encoder that was pretrained here it takes the sizes.

    Raises:
        TrainingDataRejected: labels cannot be read, or are not 1, 2, … without a gap.
    """
    usual = usual_case(data.training, data.classes, orientation_for(network, preparation))
    classes = data.classes or _unnamed(usual.labels)
    if preparation is Preparation.GENERAL:
        _refuse_gaps(classes)
    inputs, cases = len(data.cases[0].images), len(data.training)
    pretrained = encoder_network(start) if start is not None and network is NetworkChoice.SWIN_UNETR else None
    recipe = new_recipe(
        network,
        preparation,
        usual,
        inputs=inputs,
        classes=len(classes),
        cases=cases,
        pretrained=pretrained,
    )
    recipe = changes.of(recipe, cases)
    return Definition(recipe, card_of_data(name, recipe, data, classes), data)


def for_model(name: str, bundle: Bundle, data: DataList, changes: Changes) -> Definition:
    """A model that is trained further.

    Raises:
        TrainingDataRejected: as ``recipe_of``.
        InputRejected: a volume cannot be read.
    """
    cases = len(data.training)
    recipe = with_fitting_warmup(recipe_of(bundle), cases)
    recipe = with_fitting_margin(recipe, usual_size(data.training, recipe.axcodes, recipe.spacing_mm))
    if recipe.batch > cases:
        recipe = recipe.model_copy(update={"batch": cases})
    recipe = changes.of(recipe, cases)
    return Definition(recipe, card_of_model(name, recipe, data, bundle), data)


def write_definition(folder: Path, definition: Definition) -> None:
    """Write ``recipe.json``, ``data_list.json`` and ``card.json`` into an empty folder."""
    recipe, card, data = definition.recipe, definition.card, definition.data
    for name, content in zip(
        DEFINITION_FILES,
        (recipe.model_dump(mode="json"), _data_list(data, card), card.model_dump(mode="json")),
        strict=True,
    ):
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


def _data_list(data: DataList, card: Card) -> dict[str, object]:
    """As the decathlon writes it; the classes are those of the model."""
    return {
        "name": data.name or data.root.name,
        "licence": data.licence,
        "labels": {"0": "background", **{str(each.label): each.name for each in card.classes}},
        "training": [_entry(case, data.root) for case in data.training],
        "validation": [_entry(case, data.root) for case in data.validation],
    }


def _entry(case: Case, root: Path) -> dict[str, object]:
    images = [_within(path, root) for path in case.images]
    return {"image": images if len(images) > 1 else images[0], "label": _within(case.label, root)}


def _within(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _unnamed(labels: Sequence[int]) -> tuple[ClassName, ...]:
    return tuple(ClassName(label, f"Class {label}", color(label - 1)) for label in labels)


def _refuse_gaps(classes: Sequence[ClassName]) -> None:
    labels = [each.label for each in classes]
    if labels != list(range(1, len(labels) + 1)) or not labels:
        raise TrainingDataRejected(
            f"The data hold the labels {', '.join(map(str, labels))}" if labels else "The data hold no labels",
            why="a new network is trained on the labels 1, 2, … without a gap",
            remedy="Relabel the files",
        )
