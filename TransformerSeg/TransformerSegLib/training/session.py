"""One command from labelled volumes to a bundle: check, train, export, measure."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.measured import rewrite_measured, with_measured
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.bundles.writing import refuse_overwriting
from TransformerSegLib.export.output import make_folder
from TransformerSegLib.inference.devices import choose_device
from TransformerSegLib.networks.registry import configured
from TransformerSegLib.training.cases import DataList
from TransformerSegLib.training.data_check import check_data
from TransformerSegLib.training.data_list import read_data_list
from TransformerSegLib.training.evaluation import Evaluation, MeasuredCase, evaluated
from TransformerSegLib.training.evaluation_report import card_figures
from TransformerSegLib.training.export import export_bundle
from TransformerSegLib.training.fine_tuning import fine_tune
from TransformerSegLib.training.input_order import in_card_order
from TransformerSegLib.training.lines import Lines
from TransformerSegLib.training.metrics import DICE
from TransformerSegLib.training.needed_packages import DISTANCES, TRAINER, refuse_missing_packages
from TransformerSegLib.training.pretrained_encoder import encoder_told, licence_of
from TransformerSegLib.training.processes import is_first, joined
from TransformerSegLib.training.progress_file import ProgressFile, State
from TransformerSegLib.training.recipe import Recipe, read_recipe
from TransformerSegLib.training.record_file import read_record
from TransformerSegLib.training.rehearsal import rehearse
from TransformerSegLib.training.reports import Watch
from TransformerSegLib.training.run_files import PROGRESS
from TransformerSegLib.training.run_folder import alone_in
from TransformerSegLib.training.starting import Start, starting_weights
from TransformerSegLib.training.table import told

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
    """Train a model, export it, and measure it on the cases that were kept out; its card has the figures.

    ``progress.json`` in ``run`` tells what it is at. Of several processes that ``torchrun`` started all train, and the
    first alone talks, exports and measures. What is stopped while it is measured stays, without figures.

    Args:
        definition: folder with ``recipe.json``, ``data_list.json`` and ``card.json``.
        data_root: folder that the data list's paths start from.
        output: the bundle's folder; must not exist.
        run: folder for checkpoints, log and curve; a stopped run goes on from what it holds.
        device: as ``choose_device`` takes it.
        say: shows one line to the user.
        start: weights to start from, as ``starting_weights`` takes them; None: random ones.

    Raises:
        PackagesMissing: what trains and measures is not installed.
        OutputRejected: ``output`` exists, or a folder cannot be written to.
        RunInUse: another process trains in ``run``.
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
    _check_packages(data, say)
    weights = starting_weights(start, configured(recipe.architecture, recipe.network)) if start else None
    if weights is not None:
        card = _with_start(card, weights)
        for line in weights.report:
            say(line)
    for folder in (output.absolute().parent, run):
        make_folder(folder)
    with alone_in(run, write=is_first()), ProgressFile(run / PROGRESS, write=is_first()) as progress:
        _check(recipe, card, data, progress, say)
        network = _train(recipe, card, data, run, device, weights, progress, say)
        if is_first():
            progress.tell(state=State.EXPORTING, message="")
            export_bundle(output, network, recipe, card, definition, weights)
            measured = _measure(output, data, device, progress, say) if data.validation else None
            progress.tell(state=State.DONE, seconds_left=None, message="", output=str(output.absolute()))
            say(f"Saved {output}")
            for name in measured.classes if measured else ():
                say(f"  {name}: Dice {told(DICE, measured.estimate(DICE, name))}")


def _say_nothing(line: str) -> None:
    """For all processes but the first."""


def _check_packages(data: DataList, say: Callable[[str], None]) -> None:
    refuse_missing_packages(TRAINER | (DISTANCES if data.validation else {}))
    if find_spec("matplotlib") is None:
        say("There will be no picture of the learning curve: matplotlib is not installed")


def _check(recipe: Recipe, card: Card, data: DataList, progress: ProgressFile, say: Callable[[str], None]) -> None:
    """Read all cases, once; every process looks for itself, so that all end with the same error."""

    def tell(done: int, total: int) -> None:
        progress.tell(message=f"{done} of {total} cases checked")

    checked = check_data(data, card.classes, tell, overlapping=recipe.overlapping)
    checked.refuse()
    for remark in checked.remarks:
        say(remark)
    say(f"{len(data.training)} training cases, {len(data.validation)} validation cases: checked")
    if unusual := len(checked.unusual):
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
    """The card, with where the weights come from; the licence of what they learned from counts, too."""
    record = start.record
    sentences = [f"The training started from the weights of “{record['name']}”, SHA-256 {record['sha256']}."]
    if learned := encoder_told(start.path):
        sentences.append(f"They were pretrained on {learned}.")
    licence = licence_of(start.path)
    if licence and licence not in card.licence:
        licence = f"{card.licence or 'not stated'}; of the images of the pretraining: {licence}"
    return card.model_copy(
        update={
            "training_data": " ".join([card.training_data, *sentences]).strip(),
            "licence": licence or card.licence,
        }
    )


def _measure(
    output: Path, data: DataList, device: str, progress: ProgressFile, say: Callable[[str], None]
) -> Evaluation:
    """Measure the bundle as ``transformerseg evaluate`` does, and put the figures on its card."""
    cases, lines = data.validation, Lines(say)
    bundle = read_bundle(output)

    def tell(done: int, seconds_left: float | None) -> None:
        message = f"{done} of {len(cases)} cases measured"
        progress.tell(state=State.MEASURING, step=done, steps=len(cases), seconds_left=seconds_left, message=message)

    def on_measured(case: MeasuredCase, done: int, seconds_left: float) -> None:
        tell(done, seconds_left)
        lines.measured(done, len(cases), seconds_left)

    tell(0, None)
    try:
        evaluation = evaluated(bundle, cases, device, on_measured)
    except BaseException:
        say(f"Saved {output}, but not measured: “transformerseg evaluate --write-card” does that")
        raise
    dice, figures = card_figures(evaluation)
    kept_out = "1 case of {} that was" if len(cases) == 1 else f"{len(cases)} cases of {{}} that were"
    where = f"{kept_out.format(data.name)} kept out of training (mean)"
    rewrite_measured(output, bundle.card, with_measured(bundle.card, dice, where, figures))
    mean = evaluation.over_classes(DICE)
    progress.tell(mean_dice=mean.mean if mean.cases else None)
    return evaluation
