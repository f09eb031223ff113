"""The log of a run: ``log.csv``, one line an epoch, one column a quantity."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from TransformerSegLib.export.output import written_atomically

FIELDS = ("epoch", "loss", "learning_rate", "seconds", "mean_dice")
"""The columns of every log; those of classes (“dice NAME”) and of a loss's parts (“loss NAME”) follow."""


class LearningLog:
    """The lines of a run's epochs, in a file that is replaced whole with each new one.

    Args:
        path: of the file. Lines of an earlier start of the run are taken up.
        epochs: that the run's state knows of: a line of a later epoch was written just before the run was killed, and
            that epoch is trained again.
    """

    def __init__(self, path: Path, epochs: int) -> None:
        self._path = path
        self.rows = [row for row in read_log(path) if row.get("epoch", math.inf) <= epochs]

    def add(self, row: Mapping[str, float | None]) -> None:
        """Add the line of an epoch, and write the file.

        Args:
            row: by columns, ``FIELDS`` and others; None, or a value that is not finite, is written as nothing.

        Raises:
            OutputRejected: the file cannot be written.
        """
        self.rows.append({name: value for name, value in row.items() if value is not None and math.isfinite(value)})
        columns = list(dict.fromkeys([*FIELDS, *(name for each in (*self.rows, row) for name in each)]))
        with written_atomically(self._path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log, each by columns; what was not measured is left out, and so is a line that is torn.

    Returns:
        Nothing where there is no log.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [{name: _number(text) for name, text in row.items() if name} for row in csv.DictReader(file)]
    kept = [{name: value for name, value in row.items() if value is not None} for row in rows]
    return [{**row, "epoch": int(row["epoch"])} for row in kept if "epoch" in row and "loss" in row]


def _number(text: str | list[str] | None) -> float | None:
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
