"""What is written of an evaluation: its numbers for programs, and a page for people that begins with where it fails."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from TransformerSegLib.bundles.card import Card, Figure
from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.training.cases import counted_cases
from TransformerSegLib.training.confidence import FEW_CASES, METHOD, Estimate
from TransformerSegLib.training.evaluation import Evaluation
from TransformerSegLib.training.metrics import (
    DICE,
    METRICS,
    PERCENTILE,
    TOLERANCE_MM,
    VOLUME_ERROR_PERCENT,
    Metric,
    Presence,
)
from TransformerSegLib.training.table import (
    case_table,
    class_table,
    heading_of_means,
    rounded,
    spread_table,
    told,
)

LISTED = 10
"""How many of the worst cases the page lists."""

METHODS = (
    "Dice: twice the common voxels by the voxels of both masks, of each case; by MONAI.",
    f"Surface Dice: the share of both outlines' area that lies within {TOLERANCE_MM:g} mm of the other outline "
    "(Nikolov et al., arXiv:1809.04430); by MONAI, with the area of each piece of surface on the case's own grid.",
    f"HD95: the {PERCENTILE}th percentile of the distances from each outline's voxels to the other, the larger of the "
    "two directions, in mm with the case's voxel spacing; by MONAI.",
    "Volume error: found less reference; below zero the model finds too little. Means keep the sign.",
    "A class that is neither in the reference nor found is not counted. One that is missed, or found though absent, "
    "counts with Dice 0 and surface Dice 0; its HD95 is not defined, and is left out of the mean; so is the volume "
    "error in % where there is no reference.",
    f"{METHOD}.",
)


@dataclass(frozen=True)
class Subject:
    """What was measured, on what, and how.

    Attributes:
        card: of the model.
        weights_sha256: of the model.
        data: name of the data set.
        margin: voxels of repeated border on every side.
        trained_on: names of the cases that the model's training list holds, too.
        notes: sentences on the data.
        provenance: device, versions and time, plain JSON values.
    """

    card: Card
    weights_sha256: str
    data: str
    margin: int
    trained_on: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: Mapping[str, object]

    @property
    def title(self) -> str:
        return f"{self.card.title} {self.card.version}".strip()

    def measured_on(self, cases: int) -> str:
        """ "57 cases of Task04, with 6 voxels of repeated border on every side"."""
        margin = f", with {self.margin} voxels of repeated border on every side" if self.margin else ""
        seen = len(self.trained_on)
        known = f"; {'all' if seen == cases else seen} of them were trained on" if seen else ""
        return f"{counted_cases(cases)} of {self.data}{margin}{known}"


def write_summary(path: Path, evaluation: Evaluation, subject: Subject) -> None:
    """Write a JSON file: of each class and metric the mean, its interval, median, extremes and number of cases."""
    classes = {
        name: {
            **{metric.key: _numbers(evaluation.estimate(metric, name)) for metric in METRICS},
            "cases": {presence.value: evaluation.presences(name)[presence] for presence in Presence},
        }
        for name in evaluation.classes
    }
    content = {
        "model": subject.card.name,
        "version": subject.card.version,
        "weights_sha256": subject.weights_sha256,
        "data": subject.data,
        "cases": len(evaluation.cases),
        "margin_voxels": subject.margin,
        "trained_on": list(subject.trained_on),
        "classes": classes,
        "mean_of_classes": {m.key: _numbers(evaluation.over_classes(m)) for m in METRICS if not m.signed},
        "worst_first": evaluation.worst_first(),
        "methods": list(METHODS),
        "notes": list(subject.notes),
        **subject.provenance,
    }
    with written_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_page(path: Path, evaluation: Evaluation, subject: Subject, plots: str, pictures: Mapping[str, str]) -> None:
    """Write a Markdown page.

    Args:
        plots: the box plots' file, relative to the page.
        pictures: case name → its picture's file, relative to the page; the worst first.
    """
    worst = evaluation.worst_first()
    lines = [f"# {subject.title}", "", f"Measured on {subject.measured_on(len(evaluation.cases))}.", ""]
    lines += [f"- {sentence}" for sentence in findings(evaluation, subject)]
    lines += ["", f"{heading_of_means()}:", "", *class_table(evaluation), ""]
    lines += [
        f"![Box plots of all figures]({plots})",
        "",
        "## Worst cases",
        "",
        *case_table(evaluation, worst[:LISTED]),
    ]
    if len(worst) > LISTED:
        lines += ["", f"… and {len(worst) - LISTED} more cases, in results.csv."]
    for name, picture in pictures.items():
        lines += ["", f"![{name}]({picture})"]
    lines += ["", "## All classes", "", *spread_table(evaluation), ""]
    lines += ["## How it was measured", "", *(f"- {sentence}" for sentence in METHODS)]
    lines += [f"- {sentence}" for sentence in subject.notes]
    lines += [f"- {what}: {value}" for what, value in subject.provenance.items() if not isinstance(value, Mapping)]
    lines += ["", f"**{subject.card.intended_use}**"]
    with written_atomically(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def findings(evaluation: Evaluation, subject: Subject) -> Iterator[str]:
    """Sentences on where the model fails, for people who read no more than that."""
    if subject.trained_on:
        yield (
            f"**{len(subject.trained_on)} of the {len(evaluation.cases)} cases are in the model's training list:** "
            "the figures flatter it"
        )
    means = {name: evaluation.estimate(DICE, name) for name in evaluation.classes}
    defined = {name: mean for name, mean in means.items() if mean.cases}
    if not defined:
        yield "No class is in any reference, and none was found"
        return
    if len(defined) > 1:
        hardest = min(defined, key=lambda name: defined[name].mean)
        yield f"Hardest class: **{hardest}**, mean Dice {told(DICE, defined[hardest])}"
    worst = evaluation.worst_first()[0]
    lowest = min((n for n in defined if math.isfinite(evaluation.cases[worst][n].dice)),
                 key=lambda n: evaluation.cases[worst][n].dice)  # fmt: skip
    yield f"Worst case: **{worst}**, {lowest} with Dice {rounded(DICE, evaluation.cases[worst][lowest].dice)}"
    for name in defined:
        yield from _of_presence(evaluation, name)
        yield from _of_volume(evaluation, name)
    if len(evaluation.cases) == 1:
        yield "Of one case alone there are no confidence intervals"
    elif len(evaluation.cases) < FEW_CASES:
        yield f"With {counted_cases(len(evaluation.cases))} the confidence intervals are narrower than they should be"


def card_figures(evaluation: Evaluation) -> tuple[dict[str, float], dict[str, dict[str, Figure]]]:
    """Mean Dice by class, and all figures, as a card keeps them."""
    dice, figures = {}, {}
    for name in evaluation.classes:
        means = {metric: evaluation.estimate(metric, name) for metric in METRICS}
        if means[DICE].cases:
            dice[name] = round(means[DICE].mean, DICE.digits)
            figures[name] = {metric.label: _figure(metric, mean) for metric, mean in means.items() if mean.cases}
    return dice, figures


def _of_presence(evaluation: Evaluation, name: str) -> Iterator[str]:
    counts = evaluation.presences(name)
    there = counts[Presence.BOTH] + counts[Presence.MISSED]
    if counts[Presence.MISSED]:
        yield f"**{name}** was missed in {counts[Presence.MISSED]} of the {there} cases that have it"
    if counts[Presence.FALSE]:
        without = counts[Presence.FALSE] + counts[Presence.ABSENT]
        yield f"**{name}** was found in {counts[Presence.FALSE]} of the {without} cases that do not have it"


def _of_volume(evaluation: Evaluation, name: str) -> Iterator[str]:
    """Only what is more than chance: the interval of the mean does not hold zero."""
    error = evaluation.estimate(VOLUME_ERROR_PERCENT, name)
    if error.low > 0 or error.high < 0:
        kind = "large" if error.mean > 0 else "small"
        yield f"**{name}** is found too {kind}: by {told(VOLUME_ERROR_PERCENT, error)} % of its volume"


def _figure(metric: Metric, mean: Estimate) -> Figure:
    low, high = (round(value, metric.digits) if math.isfinite(value) else None for value in (mean.low, mean.high))
    return Figure(mean=round(mean.mean, metric.digits), low=low, high=high, cases=mean.cases, digits=metric.digits)


def _numbers(estimate: Estimate) -> dict[str, float | int | None]:
    """Plain JSON has no NaN."""
    return {
        name: value if isinstance(value, int) else (round(value, 6) if math.isfinite(value) else None)
        for name, value in asdict(estimate).items()
    }
