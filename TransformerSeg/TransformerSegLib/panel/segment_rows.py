"""The rows of the table of segments, on screen, on the clipboard and in a file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.inference.statistics import Statistics
from TransformerSegLib.interaction.verdict import Verdict, verdict
from TransformerSegLib.scene.made import Maker

EDITED = "✎"
UNKNOWN = "…"
NOTHING = "–"
COMPLETED, FLAGGED = "✔", "⚑"
CHECK_MARKS = {Verdict.LIKELY_FINE: "✓", Verdict.LOOK: "?", Verdict.PROBABLY_WRONG: "!"}


@dataclass(frozen=True)
class SegmentRow:
    """One segment.

    Attributes:
        segment_id: in its segmentation.
        color: red, green, blue, each 0…1.
        statistics: None while it is being measured.
        made_by: the model, a person, or the one and then the other.
        dice: to expect of what the model proposed; None where that is not known.
        mark: of its status: completed, flagged, or "".
    """

    segment_id: str
    name: str
    color: tuple[float, float, float]
    statistics: Statistics | None
    made_by: Maker
    dice: float | None = None
    mark: str = ""

    @property
    def empty(self) -> bool:
        return self.statistics is not None and self.statistics.voxels == 0

    @property
    def title(self) -> str:
        """The name, with a pencil where a person drew, and the mark of its status."""
        edited = "" if self.made_by is Maker.MODEL else EDITED
        return " ".join(part for part in (self.name, edited, self.mark) if part)

    @property
    def explanation(self) -> str:
        """For the row's tooltip: the whole name, who made it, and whether it is empty."""
        empty = f", {_('empty')}" if self.empty else ""
        return f"{self.name}: {_maker_words(self.made_by)}{empty}"

    @property
    def check_words(self) -> str:
        """A mark, and the Dice to expect: "✓ 0.91"."""
        return "" if self.dice is None else f"{CHECK_MARKS[verdict(self.dice)]} {self.dice:.2f}"

    @property
    def check_explanation(self) -> str:
        """The same in words."""
        if self.dice is None:
            return ""
        words = {
            Verdict.LIKELY_FINE: _("Likely fine"),
            Verdict.LOOK: _("Look"),
            Verdict.PROBABLY_WRONG: _("Probably wrong"),
        }
        return _("{verdict}: of what the model proposed, a Dice of about {dice} is to be expected").format(
            verdict=words[verdict(self.dice)], dice=f"{self.dice:.2f}"
        )

    @property
    def volume_words(self) -> str:
        """Three digits at least."""
        if self.statistics is None:
            return UNKNOWN
        if self.empty:
            return _("none")
        volume = self.statistics.volume_ml
        return f"{volume:.0f}" if volume >= 100 else f"{volume:.1f}" if volume >= 10 else f"{volume:.2f}"

    @property
    def mean_words(self) -> str:
        if self.statistics is None:
            return UNKNOWN
        mean = self.statistics.mean_intensity
        if mean is None:
            return NOTHING
        return f"{mean:.0f}" if abs(mean) >= 100 else f"{mean:.1f}" if abs(mean) >= 1 else f"{mean:.3g}"


def as_tab_separated(rows: Sequence[SegmentRow], unit: str = "") -> str:
    """The table as spreadsheets take it from the clipboard, with its header.

    Args:
        unit: of the mean intensities; "" where they have none.
    """
    return "\n".join("\t".join(" ".join(cell.split()) for cell in cells) for cells in _cells(rows, unit))


def write_csv(rows: Sequence[SegmentRow], path: Path, unit: str = "") -> None:
    """Write the table; a file of that name is replaced when the new one is complete, and not before.

    Args:
        unit: of the mean intensities; "" where they have none.

    Raises:
        OutputRejected: the file cannot be written.
    """
    with written_atomically(path) as draft, draft.open("w", encoding="utf-8-sig", newline="") as file:
        # (The byte order mark tells Excel that names are in UTF-8.)
        csv.writer(file).writerows(_cells(rows, unit))


def _cells(rows: Sequence[SegmentRow], unit: str) -> list[tuple[str, ...]]:
    mean = _("Mean intensity ({unit})").format(unit=unit) if unit else _("Mean intensity")
    header = (_("Segment"), _("Volume (mL)"), mean, _("Voxels"), _("Made by"))
    return [header, *(_exact(row) for row in rows)]


def _exact(row: SegmentRow) -> tuple[str, ...]:
    """With more digits than the screen shows."""
    if row.statistics is None:
        return row.name, "", "", "", _maker_words(row.made_by)
    mean = row.statistics.mean_intensity
    return (
        row.name,
        f"{row.statistics.volume_ml:.4f}",
        "" if mean is None else f"{mean:.6g}",
        str(row.statistics.voxels),
        _maker_words(row.made_by),
    )


def _maker_words(made_by: Maker) -> str:
    match made_by:
        case Maker.MODEL:
            return _("model")
        case Maker.MODEL_THEN_PERSON:
            return _("model, changed by a person")
        case Maker.PERSON:
            return _("person")
