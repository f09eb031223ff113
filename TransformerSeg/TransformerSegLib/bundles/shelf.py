"""A library's folder: how a bundle appears in it under its name, whole or not at all, and how it goes."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from TransformerSegLib.bundles.file_lock import is_locked, locked
from TransformerSegLib.errors import BundleRejected

DRAFT_PREFIX = ".import-"
"""Of a folder in which a bundle is put together before it appears under its name."""

FORGOTTEN_SECONDS = 24 * 3600
"""Age at which a draft was left behind by a process that ended."""

IMPORT_LOCK = ".import.lock"
"""Held by the process that imports a model: of two that bring the same one, the second finds it there."""

MOVE_LOCK = ".move.lock"
"""Held by the process that moves the models to another folder."""


@contextmanager
def draft_on(shelf: Path) -> Iterator[Path]:
    """A hidden folder on the shelf's own disk that is gone afterwards, whatever happened."""
    shelf.mkdir(parents=True, exist_ok=True)
    _clear_forgotten(shelf)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=shelf))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _clear_forgotten(shelf: Path) -> None:
    for left in shelf.glob(f"{DRAFT_PREFIX}*"):
        with suppress(FileNotFoundError):  # another process clears too
            if time.time() - left.stat().st_mtime > FORGOTTEN_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def put_under_free_name(draft: Path, shelf: Path, taken: Collection[str]) -> Path:
    """Give a finished draft its place, with a number after its name where another model has that.

    Args:
        draft: the bundle's folder, with the name that it should have.
        shelf: the library's folder.
        taken: further names that it must not have.

    Returns:
        Its place.
    """
    known = {name.casefold() for name in (*taken, *(path.name for path in shelf.iterdir()))}
    names = (draft.name, *(f"{draft.name}_{number}" for number in range(2, len(known) + 3)))
    place = shelf / next(name for name in names if name.casefold() not in known)
    os.rename(draft, place)
    return place


def take_away(folder: Path) -> None:
    """Delete a bundle: its name is free at once, before its files go."""
    with draft_on(folder.parent) as draft:
        os.rename(folder, draft / folder.name)


@contextmanager
def importing_to(shelf: Path, raise_if_cancelled: Callable[[], None]) -> Iterator[None]:
    """Import alone: what others import now is waited for.

    Raises:
        BundleRejected: the models are being moved.
    """
    with locked(shelf / IMPORT_LOCK, raise_if_cancelled):
        refuse_moving(shelf)
        yield


def refuse_moving(shelf: Path) -> None:
    """Make sure that what comes now is not left behind.

    Whoever brings a model holds a lock before this is asked, and whoever moves asks for those after taking its own:
    so at least one of the two sees the other.

    Raises:
        BundleRejected: the models are being moved.
    """
    if is_locked(shelf / MOVE_LOCK):
        raise BundleRejected(
            f"The models in {shelf} are being moved",
            why="what is added now would stay behind",
            remedy="Try again when they are at their new place, and name that one",
        )


@contextmanager
def moving_from(shelf: Path, raise_if_cancelled: Callable[[], None]) -> Iterator[None]:
    """Move all that is there. Where nothing can be written there, nothing can come meanwhile.

    Raises:
        BundleRejected: a model is being imported.
    """
    if not os.access(shelf, os.W_OK):
        yield
        return
    with locked(shelf / MOVE_LOCK, raise_if_cancelled):
        if is_locked(shelf / IMPORT_LOCK):
            raise BundleRejected(
                "The models cannot be moved now", why="one is being imported", remedy="Wait for it, or stop it"
            )
        yield
