"""One command from labelled volumes to a bundle: check, train, export, measure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.bundles.writing import refuse_overwriting
from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import check_folder
from TransformerSegLib.inference.devices import choose_device
from TransformerSegLib.networks.registry import configured
from TransformerSegLib.training.data_list import DataList, check_cases, read_data_list
from TransformerSegLib.training.evaluation import means, measure_dice
from TransformerSegLib.training.export import export_bundle, write_trained_card
from TransformerSegLib.training.fine_tuning import EpochReport, fine_tune
from TransformerSegLib.training.recipe import read_recipe
from TransformerSegLib.training.record_file import read_record
from TransformerSegLib.training.rehearsal import rehearse
from TransformerSegLib.training.starting import Start, starting_weights


def train_bundle(
    definition: Path,
    data_root: Path,
    output: Path,
    run: Path,
    device: str,
    say: Callable[[str], None],
    start: Path | None = None,
) -> None:
    """Train a model and export it, its measured Dice in its card.

    Args:
        definition: folder with ``recipe.json``, ``data_list.json`` and ``card.json``.
        data_root: folder that the data list's paths start from.
        output: the bundle's folder; must not exist.
        run: folder for checkpoints and log; a stopped run goes on from what it holds.
        device: as ``choose_device`` takes it.
        say: shows one line to the user.
        start: weights to start from, as ``starting_weights`` takes them; None: random ones.

    Raises:
        OutputRejected: ``output`` exists, or a folder cannot be written to.
        DeviceUnavailable: this machine has no such device.
        BundleRejected: the network cannot start from ``start``.
        TrainingDataRejected: recipe, card, data list or a case cannot be used, or ``run`` holds another run.
    """
    refuse_overwriting(output)
    device = choose_device(device).name
    recipe = read_recipe(definition / "recipe.json")
    card = read_record(definition / "card.json", Card, "card")
    data = read_data_list(definition / "data_list.json", data_root)
    rehearse(recipe, card, data)
    weights = starting_weights(start, configured(recipe.architecture, recipe.network)) if start else None
    if weights is not None:
        card = _with_start(card, weights)
        for line in weights.report:
            say(line)
    for folder in (output.parent, run):
        _make(folder)
    check_cases([*data.training, *data.validation], len(card.classes))
    say(f"{len(data.training)} training cases, {len(data.validation)} validation cases: checked")
    network = fine_tune(recipe, data, run, lambda report: say(_line(report)), device, weights)
    export_bundle(output, network, recipe, card, definition)
    if data.validation:
        card = _with_measured_dice(card, output, data, device)
        write_trained_card(output, card, recipe)
    say(f"Saved {output}")
    for name, value in card.dice.items():
        say(f"  {name}: Dice {value:.3f} on {card.dice_data}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputRejected(
            f"The folder “{folder}” cannot be made", why=error.strerror or str(error), remedy="Name another folder"
        ) from error
    check_folder(folder)


def _line(report: EpochReport) -> str:
    left = timedelta(seconds=round(report.seconds_left))
    measured = "" if report.mean_dice is None else f", Dice {report.mean_dice:.4f}"
    return f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.4f}{measured}, {left} left"


def _with_start(card: Card, start: Start) -> Card:
    record = start.record
    sentence = f"The training started from the weights of “{record['name']}”, SHA-256 {record['sha256']}."
    return card.model_copy(update={"training_data": f"{card.training_data} {sentence}".strip()})


def _with_measured_dice(card: Card, bundle: Path, data: DataList, device: str) -> Card:
    measured = means(measure_dice(read_bundle(bundle), data.validation, device))
    rounded = {name: round(value, 4) for name, value in measured.items()}
    where = f"{len(data.validation)} cases of {data.name} that were kept out of training (mean)"
    return card.model_copy(update={"dice": rounded, "dice_data": where})
