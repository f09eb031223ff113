"""A library's folder to another place: everything is copied and compared before anything is deleted.

What a stopped move has copied is found equal by the next one, and not copied again.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from TransformerSegLib.bundles.copying import Meter, OnBytes, Tell, copy_bytes
from TransformerSegLib.bundles.fetching import unfinished_downloads
from TransformerSegLib.bundles.layout import model_folders
from TransformerSegLib.bundles.recorded_hashes import record_hashes, recorded_hashes
from TransformerSegLib.bundles.shelf import DRAFT_PREFIX
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.file_text import quoted


def check_place(old: Path, new: Path) -> None:
    """Whether the models in ``old`` can be moved to ``new``, as far as that can be told beforehand.

    Raises:
        BundleRejected: one folder lies in the other, ``new`` is no folder, has no room, or has another model of a name.
    """
    if old.resolve() in new.resolve().parents or new.resolve() in old.resolve().parents:
        raise _refused(new, f"one of it and {old} lies in the other")
    if new.exists() and not new.is_dir():
        raise _refused(new, "it is a file")
    there = {name.casefold(): folder for name, folder in model_folders(new).items()}
    for name, folder in model_folders(old).items():
        if name.casefold() in there and not _equal(folder, there[name.casefold()]):
            raise _refused(new, f"it has another model {quoted(name)}")


def copy_library(old: Path, new: Path, on_bytes: OnBytes, raise_if_cancelled: Callable[[], None]) -> list[Path]:
    """Copy the models, unfinished downloads and the record of hashes, and compare the models with what they were.

    Returns:
        The folders in ``old`` of which there are copies now.

    Raises:
        BundleRejected: a copy is not like its original.
        OSError: something cannot be read or written.
    """
    new.mkdir(parents=True, exist_ok=True)
    models = list(model_folders(old).values())
    unfinished = [folder for folder in unfinished_downloads(old) if folder_bytes(folder)]
    missing = [folder for folder in (*models, *unfinished) if not (new / folder.relative_to(old)).exists()]
    size = sum(folder_bytes(folder) for folder in missing)
    if (free := shutil.disk_usage(new).free) < size:
        raise _refused(new, f"it has room for {free / 1e6:.0f} MB, and {size / 1e6:.0f} MB are needed")
    meter = Meter(size, on_bytes, raise_if_cancelled)
    for folder in missing:
        draft, place = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=new)), new / folder.relative_to(old)
        try:
            _copy_folder(folder, draft / folder.name, meter)
            if not _equal(folder, draft / folder.name):
                raise _refused(new, f"the copy of {quoted(folder.name)} is not like its original")
            place.parent.mkdir(exist_ok=True)
            os.rename(draft / folder.name, place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    if recorded := recorded_hashes(old):
        record_hashes(new, recorded)
    return [*models, *unfinished]


def folder_bytes(folder: Path) -> int:
    """Of all files in a folder and its folders."""
    sizes = 0
    for path in folder.rglob("*"):
        try:
            sizes += path.lstat().st_size if path.is_file() else 0
        except OSError:  # it went while it was looked at
            continue
    return sizes


def _copy_folder(source: Path, target: Path, tell: Tell) -> None:
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as read, copy.open("wb") as written:
            copy_bytes(read, written, tell)
            written.flush()
            os.fsync(written.fileno())


def _equal(one: Path, other: Path) -> bool:
    files = [{path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} for folder in (one, other)]
    return files[0] == files[1] and not any(filecmp.cmpfiles(one, other, files[0], shallow=False)[1:])


def _refused(new: Path, fault: str) -> BundleRejected:
    return BundleRejected(
        f"The models cannot be moved to {new} ({fault})",
        why="they stay where they are until all of them have been copied and compared",
        remedy="Choose another folder",
    )
