"""Volumes of segments as a table, with who made them, for spreadsheets and other programs (CSV)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.export.output import check_side_file, written_atomically

if TYPE_CHECKING:
    from TransformerSegLib.inference.segmentation import Segmentation

PROPOSAL, CLICKS, BY_HAND = "proposal", "clicks", "by hand"
"""Who gave a segment its voxels: a model alone; a model, corrected by clicks; a person, or a person, too."""

HEADER = (
    "segment",
    "voxels",
    "volume (mL)",
    "made by",
    "voxels changed by clicks",
    "voxels changed by hand",
    "status",
    "code",
    "meaning",
)


@dataclass(frozen=True)
class VolumeRow:
    """One segment.

    Attributes:
        name: for people.
        voxels, volume_ml: 0 where it is empty.
        made_by: ``PROPOSAL``, ``CLICKS``, ``BY_HAND``, or several of them, joined by " + ".
        by_clicks, by_hand: voxels that differ from what the model proposed; None where nobody knows.
        status: "completed", …; "" where there is none.
        code: (scheme, value, meaning) of what it is; None where nothing tells.
    """

    name: str
    voxels: int
    volume_ml: float
    made_by: str
    by_clicks: int | None
    by_hand: int | None
    status: str = ""
    code: tuple[str, str, str] | None = None


def check_table(path: Path, overwrite: bool = False) -> None:
    """Make sure, before a run, that its table can be written; an earlier table of this kind is replaced.

    Raises:
        OutputRejected: the folder is missing or not writable, ``path`` is not named as CSV, or something else is there
            already and ``overwrite`` is False.
    """
    check_side_file(path, "table", ".csv", _is_table, overwrite)


def write_volumes(path: Path, rows: Sequence[VolumeRow]) -> None:
    """Write the table, with a header; all of it or nothing.

    Raises:
        OutputRejected: the file could not be written.
    """
    with written_atomically(path) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as file:
        # (The byte order mark tells Excel that names are in UTF-8.)
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(_cells(row) for row in rows)


def rows_of_run(segmentation: Segmentation) -> list[VolumeRow]:
    """Those of a run's result that nobody has touched since."""
    return [
        VolumeRow(
            name=segment.definition.name,
            voxels=int(np.count_nonzero(segmentation.mask(segment))),
            volume_ml=segment.volume_ml,
            made_by=PROPOSAL,
            by_clicks=0,
            by_hand=0,
            code=tuple(vars(segment.definition.type).values()) if segment.definition.type else None,
        )
        for segment in segmentation.segments
    ]


def _cells(row: VolumeRow) -> tuple[object, ...]:
    scheme, value, meaning = row.code or ("", "", "")
    return (
        _harmless(row.name),
        row.voxels,
        f"{row.volume_ml:.4f}",
        row.made_by,
        "" if row.by_clicks is None else row.by_clicks,
        "" if row.by_hand is None else row.by_hand,
        row.status,
        _harmless(f"{scheme} {value}".strip()),
        _harmless(meaning),
    )


def _harmless(text: str) -> str:
    """A spreadsheet takes what begins so for a formula, and runs it."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _is_table(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), None) == list(HEADER)
    except (OSError, ValueError, csv.Error):
        return False
