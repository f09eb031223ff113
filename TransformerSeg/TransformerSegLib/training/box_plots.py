"""The figures of all cases as box plots: one panel a metric, one box a class, one point a case."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.training.confidence import LEVEL_IN_WORDS
from TransformerSegLib.training.drawn_text import plain_text, shortened
from TransformerSegLib.training.evaluation import Evaluation
from TransformerSegLib.training.metrics import (
    DICE,
    HD95,
    METRICS,
    SURFACE_DICE,
    VOLUME_ERROR_ML,
    VOLUME_ERROR_PERCENT,
    Metric,
    Presence,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Color = tuple[float, float, float]

COLUMNS = 3
MANY_CLASSES = 12
"""With more of them rows are lower, and the worst case of a class is not named beside its point."""

_PANEL_INCHES, _ROW_INCHES, _LOW_ROW_INCHES, _ROOM_INCHES, _HEAD_INCHES = 4.3, 0.62, 0.34, 1.15, 0.75
_LEAST_ROWS = 3
_NAME_CHARACTERS = 22
_DOTS_PER_INCH = 150
_INK, _QUIET, _GRID = "#1B1F27", "#6B7482", "#E3E6EB"
_JITTER = 0.17
"""How far, of the distance of two boxes, points are spread so that they are seen apart."""

_BETTER_BELOW, _BETTER_ABOVE, _SIGNED = "← better", "better →", "← too small     too large →"
_DIRECTIONS = {
    DICE: _BETTER_ABOVE,
    SURFACE_DICE: _BETTER_ABOVE,
    HD95: _BETTER_BELOW,
    VOLUME_ERROR_ML: _SIGNED,
    VOLUME_ERROR_PERCENT: _SIGNED,
}

_SHADE = 0.72
"""Of a class's colour, so that it is seen well on white."""


def draw_box_plots(path: Path, evaluation: Evaluation, colors: Sequence[Color], title: str, measured_on: str) -> None:
    """Write a PNG.

    Args:
        path: replaced if it is there.
        colors: of the classes, in their order.
        title: of the model.
        measured_on: says on what.
    """
    with plain_text(), written_atomically(path) as temporary:
        figure = _lay_out(evaluation, colors, title, measured_on)
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, facecolor="white")


def _lay_out(evaluation: Evaluation, colors: Sequence[Color], title: str, measured_on: str) -> Figure:
    from matplotlib.figure import Figure

    rows = math.ceil((len(METRICS) + 1) / COLUMNS)
    row = _ROW_INCHES if len(evaluation.classes) <= MANY_CLASSES else _LOW_ROW_INCHES
    panel = row * max(len(evaluation.classes), _LEAST_ROWS) + _ROOM_INCHES
    figure = Figure(figsize=(_PANEL_INCHES * COLUMNS, panel * rows + _HEAD_INCHES))
    top = 1 - _HEAD_INCHES / figure.get_figheight()
    figure.set_layout_engine("constrained", rect=(0, 0, 1, top), w_pad=0.12, h_pad=0.1)
    left, first, second = 0.012, 1 - 0.26 / figure.get_figheight(), 1 - 0.56 / figure.get_figheight()
    figure.text(left, first, title, fontsize=15, fontweight="bold", color=_INK, va="center")
    figure.text(left, second, measured_on, fontsize=11, color=_QUIET, va="center")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for number, axes in enumerate(panels):
        if number < len(METRICS):
            _draw_metric(axes, METRICS[number], evaluation, colors, named=number % COLUMNS == 0)
        else:
            axes.set_axis_off()
    _explain(panels[len(METRICS)])
    return figure


def _draw_metric(axes: Axes, metric: Metric, evaluation: Evaluation, colors: Sequence[Color], *, named: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    classes = evaluation.classes
    axes.axvline(metric.best, color=_QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for row, (name, color) in enumerate(zip(classes, colors, strict=True)):
        _draw_class(axes, metric, evaluation, name, row, _darker(color))
    axes.set_title(metric.label, fontsize=12, color=_INK, loc="left", fontweight="bold")
    axes.set(ylim=(len(classes) - 0.4, -0.6), yticks=range(len(classes)))
    axes.set_yticklabels([textwrap.fill(name, _NAME_CHARACTERS) for name in classes] if named else [])
    axes.tick_params(colors=_INK, length=0, labelsize=10)
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_QUIET)
    axes.set_xlabel(_DIRECTIONS[metric], fontsize=9, color=_QUIET)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.08)
    for row, name in enumerate(classes if len(classes) <= MANY_CLASSES else ()):
        _name_worst(axes, metric, evaluation, name, row)


def _draw_class(axes: Axes, metric: Metric, evaluation: Evaluation, name: str, row: int, color: Color) -> None:
    values = np.array(evaluation.values(metric, name))
    defined = np.isfinite(values)
    if not defined.any():
        axes.annotate("not defined in any case", (0.5, row), xycoords=("axes fraction", "data"), ha="center",
                      va="center", color=_QUIET, fontsize=9)  # fmt: skip
        return
    line = {"color": color, "linewidth": 1.3}
    axes.boxplot(
        values[defined], orientation="horizontal", positions=[row], widths=0.55, manage_ticks=False, showfliers=False,
        patch_artist=True, boxprops={**line, "facecolor": (*color, 0.14)}, whiskerprops=line, capprops=line,
        medianprops={"color": color, "linewidth": 2.4}, zorder=2,
    )  # fmt: skip
    # Where a point lies within its row means nothing: the golden ratio spreads neighbours in the list.
    heights = row + _JITTER * (2 * (np.arange(len(values)) * 0.618034 % 1.0) - 1)
    whole = np.array([case[name].presence is Presence.BOTH for case in evaluation.cases.values()])
    axes.scatter(values[whole & defined], heights[whole & defined], s=16, color=[color], alpha=0.75, linewidths=0,
                 zorder=3)  # fmt: skip
    axes.scatter(values[~whole & defined], heights[~whole & defined], s=46, color=[color], marker="x", linewidths=1.8,
                 zorder=3)  # fmt: skip
    _draw_mean(axes, metric, evaluation, name, row)


def _name_worst(axes: Axes, metric: Metric, evaluation: Evaluation, name: str, row: int) -> None:
    """The worst case's name, below its point; on the side where the panel has room, once its limits are set."""
    values = evaluation.values(metric, name)
    finite = [place for place, value in enumerate(values) if math.isfinite(value)]
    worst = max(finite, key=lambda place: metric.distance(values[place]), default=None)
    if worst is None or values[worst] == metric.best:
        return
    side = "left" if values[worst] < sum(axes.get_xlim()) / 2 else "right"
    case = shortened(list(evaluation.cases)[worst], _NAME_CHARACTERS)
    axes.annotate(case, (values[worst], row + 0.3), ha=side, va="top", fontsize=7.5, color=_QUIET, zorder=5)


def _draw_mean(axes: Axes, metric: Metric, evaluation: Evaluation, name: str, row: int) -> None:
    """A diamond, and a thick line as far as its confidence interval goes."""
    mean = evaluation.estimate(metric, name)
    if mean.cases > 1:
        axes.plot((mean.low, mean.high), (row, row), color=_INK, linewidth=2.6, solid_capstyle="butt", zorder=4)
    axes.plot([mean.mean], [row], marker="D", markersize=6, color=_INK, markeredgecolor="white", zorder=5)


def _explain(axes: Axes) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    dot = {"linestyle": "none", "color": _QUIET}
    handles = [
        Line2D([], [], marker="o", markersize=4.5, **dot, label="one case"),
        Line2D([], [], marker="x", markersize=7, markeredgewidth=1.8, **dot, label="missed, or found though absent"),
        Patch(facecolor="#E9EBEF", edgecolor=_QUIET, label="middle half of the cases, and their median"),
        Line2D([], [], color=_QUIET, linewidth=1.3, label="to the last case within 1.5 boxes' lengths"),
        Line2D(
            [],
            [],
            color=_INK,
            linewidth=2.6,
            marker="D",
            markeredgecolor="white",
            label=f"mean and its {LEVEL_IN_WORDS} confidence interval",
        ),
        Line2D([], [], color=_QUIET, linewidth=1, linestyle=(0, (4, 3)), label="perfect"),
    ]
    axes.legend(handles=handles, loc="upper left", frameon=False, fontsize=9.5, labelcolor=_INK, labelspacing=0.9)


def _darker(color: Color) -> Color:
    return tuple(_SHADE * part for part in color)
