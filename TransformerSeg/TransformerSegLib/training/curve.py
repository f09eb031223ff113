"""The picture of a run: loss and Dice over its epochs."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.training.drawn_text import plain_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS_BETWEEN = 10.0
"""Two drawings of a run's curve, at least: drawing takes a part of a second, which small runs have an epoch in."""

SIZE_INCHES = (5.0, 3.4)
"""Small: in Slicer's panel it is shown less than half as wide, and its words are to be read there."""

DOTS_PER_INCH = 150


class Curve:
    """Redraws ``curve.png`` now and then; where matplotlib is not installed, not at all.

    Args:
        path: of the picture.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._drawn = -SECONDS_BETWEEN
        self._possible = importlib.util.find_spec("matplotlib") is not None

    def show(self, rows: Sequence[Mapping[str, float]], *, last: bool = False) -> None:
        """Draw the lines of a log, unless the picture is newer than ten seconds and these are not the ``last``."""
        if self._possible and (last or time.monotonic() - self._drawn >= SECONDS_BETWEEN):
            draw_curve(self._path, rows)
            self._drawn = time.monotonic()


def draw_curve(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Draw loss (left axis) and Dice (right axis, 0 to 1) over the epochs.

    Args:
        path: of the PNG file, replaced whole.
        rows: the lines of a log, as ``read_log`` gives them.

    Raises:
        OutputRejected: the picture cannot be written.
    """
    with plain_text(), written_atomically(path) as temporary:
        _figure(rows).savefig(temporary, dpi=DOTS_PER_INCH)


def _figure(rows: Sequence[Mapping[str, float]]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    losses = figure.subplots()
    losses.set_xlabel("epoch")
    losses.set_ylabel("loss")
    losses.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    names = list(dict.fromkeys(name for row in rows for name in row))
    parts = [name for name in names if name.startswith("loss ")]
    _line(losses, rows, "loss", "loss", color="0.35", linewidth=1.5, marker="." if len(rows) == 1 else None)
    for name in parts:
        _line(losses, rows, name, name, linewidth=0.8, linestyle=":")
    handles = list(losses.lines)
    if any("mean_dice" in row for row in rows):
        scores = losses.twinx()
        scores.set_ylabel("Dice")
        scores.set_ylim(0, 1)
        scores.grid(alpha=0.3)
        classes = [name for name in names if name.startswith("dice ")]
        for number, name in enumerate(classes):
            _line(scores, rows, name, name.removeprefix("dice "), color=f"C{number % 10}", linewidth=1, marker=".")
        _line(scores, rows, "mean_dice", "mean Dice", color="black", linewidth=2, marker="o", markersize=3)
        handles += scores.lines
    losses.legend(handles=handles, loc="best", fontsize="small", framealpha=0.8)
    return figure


def _line(axes, rows: Sequence[Mapping[str, float]], column: str, label: str, **style) -> None:
    measured = [row for row in rows if column in row]
    if measured:
        axes.plot([row["epoch"] for row in measured], [row[column] for row in measured], label=label, **style)
