"""One command from a model and labelled cases to figures, pictures and a page: check, segment, measure, write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from TransformerSegLib import __version__
from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.measured import check_card_can_be_written, rewrite_measured, with_measured
from TransformerSegLib.bundles.writing import new_folder
from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import make_folder
from TransformerSegLib.inference.checks import check_number_of_inputs
from TransformerSegLib.inference.devices import choose_device
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.training.box_plots import draw_box_plots
from TransformerSegLib.training.cases import DataList
from TransformerSegLib.training.evaluation import Evaluation, MeasuredCase, evaluated, references
from TransformerSegLib.training.evaluation_report import Subject, card_figures, write_page, write_summary
from TransformerSegLib.training.input_order import in_card_order
from TransformerSegLib.training.labels import refuse_other_numbers
from TransformerSegLib.training.metrics import DICE, Presence
from TransformerSegLib.training.needed_packages import DISTANCES, PICTURES, refuse_missing_packages
from TransformerSegLib.training.references import regions_of
from TransformerSegLib.training.table import rounded, told, write_results
from TransformerSegLib.training.trained_cases import trained_on
from TransformerSegLib.training.worst_cases import WorstCases, draw_worst_case

RESULTS, SUMMARY, PAGE, PLOTS, WORST = "results.csv", "summary.json", "report.md", "box_plots.png", "worst_cases"
CLASSES_TOLD = 4
"""How many classes are named in the line of a case."""


def evaluate_bundle(
    bundle: Bundle,
    data: DataList,
    output: Path,
    device: str,
    say: Callable[[str], None],
    *,
    margin: int = 0,
    write_card: bool = False,
    cancel: CancelToken | None = None,
) -> Evaluation:
    """Measure a model on all cases, or on those kept out of training where the data say which, and write the figures.

    Args:
        bundle: the model.
        data: labelled cases.
        output: folder for ``RESULTS``, ``SUMMARY``, ``PAGE``, ``PLOTS`` and ``WORST``; must not exist. It appears
            whole, or not at all.
        device: as ``choose_device`` takes it.
        say: shows one line to the user.
        margin: as ``measured_cases`` takes it.
        write_card: whether the figures take the place of those in the model's card.

    Raises:
        OutputRejected: the folder exists or cannot be written to, or the card cannot.
        PackagesMissing: what measures and draws is not installed.
        DeviceUnavailable: this machine has no such device.
        TrainingDataRejected: a case cannot be used. All are looked at before the first is segmented.
        Cancelled: on the token's demand; nothing is written.
    """
    device = choose_device(device).name
    _check(bundle, output, write_card)
    data = in_card_order(data, bundle.card)
    cases = data.validation or data.training
    notes = [*data.notes, *([_ON_KEPT_OUT] if data.validation else [])]
    _check_cases(bundle, replace(data, training=cases, validation=()))
    subject = Subject(
        bundle.card, bundle.weights_sha256, data.name or "unnamed data", margin, trained_on(bundle, cases),
        tuple(notes), {},
    )  # fmt: skip
    say(f"{subject.title}: {subject.measured_on(len(cases))}")
    begun = time.monotonic()
    worst = WorstCases()

    def on_measured(case: MeasuredCase, done: int, seconds_left: float) -> None:
        worst.offer(case)
        say(f"{done}/{len(cases)} {_line(case)}, {timedelta(seconds=round(seconds_left))} left")

    evaluation = evaluated(bundle, cases, device, on_measured, margin=margin, cancel=cancel)
    subject = replace(subject, provenance=_provenance(device, time.monotonic() - begun))
    with new_folder(output) as draft:
        _write(draft, evaluation, subject, worst)
    dice, means = card_figures(evaluation)
    if write_card and not dice:
        say(f"The card of {bundle.card.name} stays as it was: nothing was measured")
    elif write_card:
        after = with_measured(bundle.card, dice, f"{subject.measured_on(len(cases))} (mean)", means)
        rewrite_measured(bundle.folder, bundle.card, after)
        say(f"The card of {bundle.card.name} has the new figures")
    for name in evaluation.classes:
        say(f"  {name}: Dice {told(DICE, evaluation.estimate(DICE, name))}")
    say(f"Saved {output / PAGE}")
    return evaluation


_ON_KEPT_OUT = "Measured were the cases that the data keep out of training (“validation”), and no others."


def _check(bundle: Bundle, output: Path, write_card: bool) -> None:
    refuse_missing_packages(DISTANCES | PICTURES)
    if output.exists() or output.is_symlink():
        raise OutputRejected(
            f"“{output}” exists", why="an evaluation is never overwritten", remedy="Name another folder with --output"
        )
    make_folder(output.absolute().parent)
    if write_card:
        check_card_can_be_written(bundle.folder)


def _check_cases(bundle: Bundle, data: DataList) -> None:
    if not regions_of(bundle):
        refuse_other_numbers(data, bundle.card.classes)
    for case in data.cases:
        check_number_of_inputs(case.images, bundle.card)
        references(case, bundle)


def _line(case: MeasuredCase) -> str:
    """ "hippocampus_037: Dice 0.841 0.849"."""
    told_classes = [
        rounded(DICE, figures.dice) if figures.presence is Presence.BOTH else figures.presence.value
        for figures in list(case.figures.values())[:CLASSES_TOLD]
    ]
    more = ", …" if len(case.figures) > CLASSES_TOLD else ""
    return f"{case.name}: Dice {', '.join(told_classes)}{more}"


def _provenance(device: str, seconds: float) -> dict[str, object]:
    return {
        "device": device,
        "seconds": round(seconds, 1),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"transformerseg": __version__, "monai": version("monai"), "torch": version("torch")},
    }


def _write(folder: Path, evaluation: Evaluation, subject: Subject, worst: WorstCases) -> None:
    write_results(folder / RESULTS, evaluation)
    write_summary(folder / SUMMARY, evaluation, subject)
    colors = [definition.color for definition in subject.card.classes]
    measured_on = f"Measured on {subject.measured_on(len(evaluation.cases))}"
    draw_box_plots(folder / PLOTS, evaluation, colors, subject.title, measured_on)
    (folder / WORST).mkdir()
    pictures = {}
    for place, case in enumerate(worst, start=1):
        pictures[case.name] = f"{WORST}/{place}.png"
        draw_worst_case(folder / pictures[case.name], case, place)
    write_page(folder / PAGE, evaluation, subject, PLOTS, pictures)
