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
from TransformerSegLib.training.run_files import CASES, LOCK, RECIPE, START
from TransformerSegLib.training.starting import Start

GRACE_SECONDS = 10.0
"""How long the lock is waited for: processes that loaded patches for a run that was killed end within five seconds, and
hold it until then."""

DAMAGE = (OSError, ValueError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError)
"""What readers of JSON and of checkpoints raise where a file is torn. (Checkpoints are read with ``weights_only``:
nothing in them is run, and what is refused is told by pickle's own error.)"""


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
    record = start.record if start else None
    cases = {"training": _names(data.training, data.root), "validation": _names(data.validation, data.root)}
    definition = ((START, "another start", record), (CASES, "other cases", cases))
    if (folder / RECIPE).exists():
        kept = completed(_read_json(folder / RECIPE))
        if kept != recipe:
            raise _another_run(folder, f"another recipe{_difference(kept, recipe)}")
        for name, what, content in definition:
            if (_read_json(folder / name) if (folder / name).exists() else None) != content:
                raise _another_run(folder, what)
    elif write:
        # The recipe comes last: where it is, all of them are, whenever the process was killed.
        for name, _, content in (*definition, (RECIPE, "", recipe)):
            _write_json(folder / name, content)


def damaged(path: Path, error: Exception) -> TrainingDataRejected:
    """The error that refuses a run whose file ``path`` cannot be read."""
    return TrainingDataRejected(
        f"The run in “{path.parent}” cannot go on",
        why=f"its {path.name} is damaged ({(str(error) or type(error).__name__).splitlines()[0]})",
        remedy="Name another folder for the run",
    )


def _difference(kept: object, recipe: Mapping[str, object]) -> str:
    """In which field a recipe differs: " (“epochs” was 200)"; nothing where none was kept that is understood."""
    if not isinstance(kept, Mapping):
        return ""
    field = next(name for name in (kept | recipe) if kept.get(name) != recipe.get(name))
    return f" (“{field}” was {json.dumps(kept.get(field), ensure_ascii=False):.60})"


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


def _write_json(path: Path, content: object) -> None:
    """Write a file; of None there is none."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    with written_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except DAMAGE as error:
        raise damaged(path, error) from error
