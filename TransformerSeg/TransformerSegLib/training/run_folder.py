"""The folder of a training run: what defines the run is written there first, and must be the same when it goes on."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from TransformerSegLib.bundles.file_lock import locked
from TransformerSegLib.errors import RunInUse, TrainingDataRejected
from TransformerSegLib.export.output import sweep, written_atomically
from TransformerSegLib.training.cases import Case, DataList
from TransformerSegLib.training.starting import Start

RECIPE = "recipe.json"
CASES = "cases.json"
START = "start.json"
CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
CURVE = "curve.png"
PROGRESS = "progress.json"
LOCK = ".lock"
"""Held by the process that trains; the file stays, and says nothing."""
GRACE_SECONDS = 10.0
"""How long the lock is waited for: processes that loaded patches for a run that was killed end within five seconds, and
hold it until then."""
DAMAGE = (OSError, ValueError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError)
"""What readers of JSON and of checkpoints raise where a file is torn."""


@contextmanager
def alone_in(folder: Path, *, write: bool = True) -> Iterator[None]:
    """Train in a run's folder with no other process beside. However this one ends, the folder is free again.

    Args:
        folder: of the run; made if missing.
        write: whether this process writes: of several that train together one does, and holds the folder for all.

    Raises:
        RunInUse: another process trains in it.
    """
    if not write:
        yield
        return
    asked = time.monotonic()

    def give_up() -> None:
        if time.monotonic() - asked > GRACE_SECONDS:
            raise RunInUse(
                f"Another process trains in “{folder}”",
                why="two in one folder would write over each other's epochs",
                remedy="Wait until it ends or stop it, or name another folder for the run",
            )

    with locked(folder / LOCK, give_up):
        yield


def claim(
    folder: Path,
    recipe: Mapping[str, object],
    data: DataList,
    start: Start | None,
    *,
    write: bool = True,
    completed: Callable[[object], object] = lambda kept: kept,
) -> None:
    """Write what defines the run into its folder, or find the same there. What a killed process left half written is
    taken away.

    Args:
        folder: of the run; made if missing.
        recipe: of the run, as JSON values.
        data: whose cases are trained and measured on.
        start: the weights that it starts from.
        write: whether this process writes: one of several does.
        completed: gives a kept recipe the fields that came later.

    Raises:
        TrainingDataRejected: the folder holds a run with another recipe, start or other cases, or is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if write:
        sweep(folder)
    # Runs from random weights keep no record of a start.
    begun, record = (folder / RECIPE).exists(), start.record if start else None
    if begun and (folder / START).exists() is not (record is not None):
        raise _another_run(folder, "another start")
    cases = {"training": _names(data.training, data.root), "validation": _names(data.validation, data.root)}
    for name, what, content in (
        (RECIPE, "another recipe", recipe),
        (CASES, "other cases", cases),
        *([(START, "another start", record)] if record else []),
    ):
        kept = folder / name
        if kept.exists():
            found = _read_json(kept)
            if (completed(found) if name == RECIPE else found) != content:
                raise _another_run(folder, what)
        elif write:
            with written_atomically(kept) as temporary:
                temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def damaged(path: Path, error: Exception) -> TrainingDataRejected:
    """The error that refuses a run whose file ``path`` cannot be read."""
    return TrainingDataRejected(
        f"The run in “{path.parent}” cannot go on",
        why=f"its {path.name} is damaged ({(str(error) or type(error).__name__).splitlines()[0]})",
        remedy="Name another folder for the run",
    )


def _another_run(folder: Path, what: str) -> TrainingDataRejected:
    return TrainingDataRejected(
        f"“{folder}” holds a run with {what}",
        why="a run goes on only with the settings and cases that it began with",
        remedy="Name another folder for the run",
    )


def _names(cases: Sequence[Case], root: Path) -> list[list[str]]:
    """Images and labels of each case, relative to the root: data may be moved between two starts."""
    files = ([*case.images, *([case.label] if case.label else [])] for case in cases)
    return [
        [(path.relative_to(root) if path.is_relative_to(root) else path).as_posix() for path in each] for each in files
    ]


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except DAMAGE as error:
        raise damaged(path, error) from error
