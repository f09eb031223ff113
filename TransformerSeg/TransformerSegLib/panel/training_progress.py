"""How far a training is, as its process tells in the run folder."""

from __future__ import annotations

import json
import time
from dataclasses import fields
from pathlib import Path

from TransformerSegLib.bundles.file_lock import is_locked
from TransformerSegLib.training.progress_file import State, Told
from TransformerSegLib.training.run_files import LOCK, PROGRESS

ENDED = (State.DONE, State.STOPPED, State.FAILED)

SILENT_SECONDS = 30
"""A process that writes every second, and has not for so long, is no more, unless it holds the lock."""


def told_in(folder: Path) -> Told | None:
    """What was told last; None where nothing was, or not in words that are known."""
    try:
        told = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        known = {field.name: told[field.name] for field in fields(Told) if field.name in told}
        return Told(**{**known, "state": State(told["state"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_in_use(folder: Path) -> bool:
    """Whether a process trains in it: it holds the lock, or, on a disk without locks, has told something just now."""
    told = told_in(folder)
    return told is not None and told.state not in ENDED and (_is_told_now(folder) or is_locked(folder / LOCK))


def _is_told_now(folder: Path) -> bool:
    try:
        return time.time() - (folder / PROGRESS).stat().st_mtime < SILENT_SECONDS
    except OSError:
        return False


def share_done(told: Told) -> float:
    """Of all steps: 0…1."""
    if told.state in (State.EXPORTING, State.MEASURING, State.DONE):
        return 1.0
    if not told.epochs or not told.steps:
        return 0.0
    return min(1.0, (max(told.epoch - 1, 0) + told.step / told.steps) / told.epochs)
