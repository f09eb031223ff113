"""What the files of a training run are called; the panel, which watches the run from outside, knows it by them."""

from __future__ import annotations

from pathlib import Path

RUN_SUFFIX = ".run"
"""Of the run folder's name."""

RECIPE = "recipe.json"
CASES = "cases.json"
START = "start.json"

CHECKPOINT = "checkpoint.pt"
"""What finished epochs have made."""

LOG = "log.csv"
CURVE = "curve.png"
PROGRESS = "progress.json"

LOCK = ".lock"
"""Held by the process that trains; the file stays, and says nothing."""


def run_folder(output: Path) -> Path:
    """Where nothing else is said: beside what comes of the run."""
    return output.with_name(output.name + RUN_SUFFIX)
