"""One command from labelled volumes to a bundle: check, train, export, measure."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import OutputRejected, TrainingDataRejected
from TransformerSegLib.inference.devices import choose_device
from TransformerSegLib.training.data_list import DataList, check_cases, read_data_list
from TransformerSegLib.training.evaluation import measure_dice
from TransformerSegLib.training.export import export_bundle, plan_of, write_card
from TransformerSegLib.training.fine_tuning import EpochReport, fine_tune
from TransformerSegLib.training.recipe import read_recipe


def train_bundle(
    definition: Path, data_root: Path, output: Path, run: Path, device: str, say: Callable[[str], None]
) -> None:
    """Train a model and export it, its measured Dice in its card.

    Args:
        definition: folder with ``recipe.json``, ``data_list.json`` and ``card.json``.
        data_root: folder that the data list's paths start from.
        output: the bundle's folder; must not exist.
        run: folder for checkpoints and log; a stopped run goes on from what it holds.
        device: as ``choose_device`` takes it.
        say: shows one line to the user.

    Raises:
        OutputRejected: ``output`` exists.
        TrainingDataRejected: recipe, card, data list or a case cannot be used.
    """
    if output.exists():
        raise OutputRejected(
            f"“{output}” exists", why="a model is never overwritten", remedy="Name another folder with --output"
        )
    recipe = read_recipe(definition / "recipe.json")
    card = read_card(definition / "card.json")
    data = read_data_list(definition / "data_list.json", data_root)
    check_cases([*data.training, *data.validation], len(card.classes))
    say(f"{len(data.training)} training cases, {len(data.validation)} validation cases: checked")
    network = fine_tune(recipe, data, run, lambda report: say(_line(report)), choose_device(device))
    export_bundle(output, network, recipe, card, definition)
    if data.validation:
        card = _with_measured_dice(card, output, data)
        write_card(output, card, plan_of(recipe))
    say(f"Saved {output}")
    for name, value in card.dice.items():
        say(f"  {name}: Dice {value:.3f} on {card.dice_data}")


def read_card(path: Path) -> Card:
    """Read a card for a model that is to be trained.

    Raises:
        TrainingDataRejected: the file is missing or is no card.
    """
    try:
        return Card.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise TrainingDataRejected(
            f"The card “{path}” cannot be read", why=str(error), remedy="Correct it, or copy one from another model"
        ) from error


def _line(report: EpochReport) -> str:
    left = timedelta(seconds=round(report.seconds_left))
    measured = "" if report.mean_dice is None else f", Dice {report.mean_dice:.4f}"
    return f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.4f}{measured}, {left} left"


def _with_measured_dice(card: Card, bundle: Path, data: DataList) -> Card:
    measured = measure_dice(read_bundle(bundle), data.validation)
    means = {name: round(statistics.fmean(values), 4) for name, values in measured.items()}
    where = f"{len(data.validation)} cases of {data.name} that were kept out of training (mean)"
    return card.model_copy(update={"dice": means, "dice_data": where})
