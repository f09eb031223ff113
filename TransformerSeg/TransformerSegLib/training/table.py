"""The figures of all cases as tables: one line a case and class for programs, one line a class for people."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.training.confidence import LEVEL_IN_WORDS, Estimate
from TransformerSegLib.training.evaluation import Evaluation
from TransformerSegLib.training.metrics import DICE, METRICS, Metric, Presence

FIELDS = ("case", "class", "presence", *(metric.key for metric in METRICS), "reference_ml", "found_ml")
DIGITS = 6
"""After the decimal point, in files for programs."""

NOTHING = "–"
ALL_CLASSES = "mean of the classes"


def write_results(path: Path, evaluation: Evaluation) -> None:
    """Write a CSV file with ``FIELDS``; what is not defined is left empty."""
    with written_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for case, by_class in evaluation.cases.items():
            for name, figures in by_class.items():
                numbers = {field: _number(getattr(figures, field)) for field in FIELDS[3:]}
                writer.writerow({"case": case, "class": name, "presence": figures.presence.value, **numbers})


def class_table(evaluation: Evaluation) -> list[str]:
    """Lines of a Markdown table: of each class the means with their intervals, then of the mean of the classes."""
    lines = table_row("class", *(metric.label for metric in METRICS), heading=True)
    for name in evaluation.classes:
        lines += table_row(name, *(told(metric, evaluation.estimate(metric, name)) for metric in METRICS))
    if len(evaluation.classes) > 1:
        # Errors of either sign would cancel out between classes.
        over = (NOTHING if metric.signed else told(metric, evaluation.over_classes(metric)) for metric in METRICS)
        lines += table_row(f"**{ALL_CLASSES}**", *over)
    return lines


def spread_table(evaluation: Evaluation) -> list[str]:
    """Lines of a Markdown table: of each class median and worst case of every metric, and where it was not found."""
    heads = [f"{metric.label}: median (worst)" for metric in METRICS]
    presences = (Presence.BOTH, Presence.MISSED, Presence.FALSE, Presence.ABSENT)
    lines = table_row("class", *heads, *(presence.value for presence in presences), heading=True)
    for name in evaluation.classes:
        counts = evaluation.presences(name)
        spread = (_spread(metric, evaluation, name) for metric in METRICS)
        lines += table_row(name, *spread, *(str(counts[presence]) for presence in presences))
    return lines


def case_table(evaluation: Evaluation, names: Sequence[str]) -> list[str]:
    """Lines of a Markdown table: the Dice of each class in these cases."""
    lines = table_row("case", *evaluation.classes, heading=True)
    for case in names:
        lines += table_row(case, *(_dice(evaluation, case, name) for name in evaluation.classes))
    return lines


def told(metric: Metric, estimate: Estimate) -> str:
    """ "0.903 [0.894, 0.912]"; the mean alone where there is no interval."""
    if not estimate.cases:
        return NOTHING
    mean = rounded(metric, estimate.mean)
    if not math.isfinite(estimate.low):
        return mean
    return f"{mean} [{rounded(metric, estimate.low)}, {rounded(metric, estimate.high)}]"


def rounded(metric: Metric, value: float) -> str:
    """With the metric's digits, and a sign where the value may be on either side of the best one."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:{'+' if metric.signed else ''}z.{metric.digits}f}".replace("-", "−")


def table_row(*cells: str, heading: bool = False) -> list[str]:
    """One line of a Markdown table, or two: a heading and the line below it."""
    line = f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
    return [line, "|---" * len(cells) + "|"] if heading else [line]


def heading_of_means() -> str:
    """What the numbers of ``class_table`` are."""
    return f"Mean over the cases [{LEVEL_IN_WORDS} confidence interval]"


def _spread(metric: Metric, evaluation: Evaluation, name: str) -> str:
    values = [value for value in evaluation.values(metric, name) if math.isfinite(value)]
    if not values:
        return NOTHING
    median = evaluation.estimate(metric, name).median
    return f"{rounded(metric, median)} ({rounded(metric, max(values, key=metric.distance))})"


def _dice(evaluation: Evaluation, case: str, name: str) -> str:
    figures = evaluation.cases[case][name]
    if figures.presence is Presence.BOTH:
        return rounded(DICE, figures.dice)
    return NOTHING if figures.presence is Presence.ABSENT else f"0 ({figures.presence.value})"


def _number(value: float) -> str:
    return str(round(value, DIGITS)) if math.isfinite(value) else ""
