"""One command from labelled volumes to a bundle: check, train, export, measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.bundles.writing import refuse_overwriting
from TransformerSegLib.export.output import make_folder
from TransformerSegLib.inference.devices import choose_device
from TransformerSegLib.networks.registry import configured
from TransformerSegLib.training.brats import ENHANCING_BEFORE
from TransformerSegLib.training.cases import DataList
from TransformerSegLib.training.data_check import check_data
from TransformerSegLib.training.data_list import check_cases, read_data_list
from TransformerSegLib.training.evaluation import means, measure_dice
from TransformerSegLib.training.export import export_bundle, write_trained_card
from TransformerSegLib.training.fine_tuning import fine_tune
from TransformerSegLib.training.input_order import in_card_order
from TransformerSegLib.training.lines import Lines
from TransformerSegLib.training.processes import is_first, joined
from TransformerSegLib.training.progress_file import ProgressFile, State
from TransformerSegLib.training.recipe import Recipe, read_recipe
from TransformerSegLib.training.record_file import read_record
from TransformerSegLib.training.rehearsal import rehearse
from TransformerSegLib.training.reports import Watch
from TransformerSegLib.training.run_folder import PROGRESS
from TransformerSegLib.training.starting import Start, starting_weights

if TYPE_CHECKING:
    import torch


def train_bundle(
    definition: Path,
    data_root: Path,
    output: Path,
    run: Path,
    device: str,
    say: Callable[[str], None],
    start: Path | None = None,
) -> None:
    """Train a model and export it, its measured Dice in its card. ``progress.json`` in ``run`` tells what it is at.

    Of several processes that ``torchrun`` started all train, and the first alone talks, exports and measures.

    Args:
        definition: folder with ``recipe.json``, ``data_list.json`` and ``card.json``.
        data_root: folder that the data list's paths start from.
        output: the bundle's folder; must not exist.
        run: folder for checkpoints, log and curve; a stopped run goes on from what it holds.
        device: as ``choose_device`` takes it.
        say: shows one line to the user.
        start: weights to start from, as ``starting_weights`` takes them; None: random ones.

    Raises:
        OutputRejected: ``output`` exists, or a folder cannot be written to.
        DeviceUnavailable: this machine has no such device.
        BundleRejected: the network cannot start from ``start``.
        TrainingDataRejected: recipe, card, data list or a case cannot be used, or ``run`` holds another run.
        TrainingDiverged: the loss is no longer a number.
    """
    say = say if is_first() else _say_nothing
    refuse_overwriting(output)
    device = choose_device(device).name
    recipe = read_recipe(definition / "recipe.json")
    card = read_record(definition / "card.json", Card, "card")
    data = in_card_order(read_data_list(definition / "data_list.json", data_root), card)
    rehearse(recipe, card, data)
    weights = starting_weights(start, configured(recipe.architecture, recipe.network)) if start else None
    if weights is not None:
        card = _with_start(card, weights)
        for line in weights.report:
            say(line)
    for folder in (output.absolute().parent, run):
        make_folder(folder)
    with ProgressFile(run / PROGRESS, write=is_first()) as progress:
        _check(recipe, card, data, progress, say)
        network = _train(recipe, card, data, run, device, weights, progress, say)
        if is_first():
            progress.tell(state=State.EXPORTING, message="")
            export_bundle(output, network, recipe, card, definition)
            if data.validation:
                progress.tell(state=State.MEASURING)
                card = _with_measured_dice(card, output, data, device)
                write_trained_card(output, card, recipe)
            progress.tell(state=State.DONE, output=str(output.absolute()))
    say(f"Saved {output}")
    for name, value in card.dice.items():
        say(f"  {name}: Dice {value:.3f} on {card.dice_data}")


def _say_nothing(line: str) -> None:
    """For all processes but the first."""


def _check(recipe: Recipe, card: Card, data: DataList, progress: ProgressFile, say: Callable[[str], None]) -> None:
    """Read all cases, once; every process looks for itself, so that all end with the same error."""

    def tell(done: int, total: int) -> None:
        progress.tell(message=f"{done} of {total} cases checked")

    if recipe.overlapping:
        # The card's classes are regions, which no file holds.
        check_cases(data.cases, ENHANCING_BEFORE)
        unusual = 0
    else:
        checked = check_data(data, card.classes, tell)
        checked.refuse()
        unusual = len(checked.unusual)
        for remark in checked.remarks:
            say(remark)
    say(f"{len(data.training)} training cases, {len(data.validation)} validation cases: checked")
    if unusual:
        say(f"{unusual} of them are unusual: “transformerseg check-data” shows which")


def _train(
    recipe: Recipe,
    card: Card,
    data: DataList,
    run: Path,
    device: str,
    start: Start | None,
    progress: ProgressFile,
    say: Callable[[str], None],
) -> torch.nn.Module:
    lines = Lines(say)
    progress.tell(state=State.TRAINING, epochs=recipe.epochs, message="Reading the cases")
    watch = Watch(lines.epoch, lines.step, progress)
    names = [each.name for each in sorted(card.classes, key=lambda each: each.channel)]
    with joined(device) as own_device:
        return fine_tune(recipe, data, run, watch, own_device, start, names)


def _with_start(card: Card, start: Start) -> Card:
    record = start.record
    sentence = f"The training started from the weights of “{record['name']}”, SHA-256 {record['sha256']}."
    return card.model_copy(update={"training_data": f"{card.training_data} {sentence}".strip()})


def _with_measured_dice(card: Card, bundle: Path, data: DataList, device: str) -> Card:
    measured = means(measure_dice(read_bundle(bundle), data.validation, device))
    rounded = {name: round(value, 4) for name, value in measured.items()}
    where = f"{len(data.validation)} cases of {data.name} that were kept out of training (mean)"
    return card.model_copy(update={"dice": rounded, "dice_data": where})
