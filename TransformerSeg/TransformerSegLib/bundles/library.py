"""The models that a user can choose: those that ship with the library, and those that the user imported."""

from __future__ import annotations

import filecmp
import importlib.util
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.layout import (
    CONFIGURATION,
    DESCRIPTION,
    LICENCE,
    METADATA,
    TORCHSCRIPT,
    WEIGHTS,
    missing_file,
    missing_weights,
    model_folders,
)
from TransformerSegLib.bundles.sources import Source, open_source
from TransformerSegLib.bundles.summary import ModelSummary, read_summary
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.file_text import quoted
from TransformerSegLib.resources import resources_folder

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle

MAXIMUM_TEXT_BYTES = 16 * 1024**2
"""Largest file beside the weights that is imported."""

MAXIMUM_WEIGHTS_BYTES = 12 * 1024**3
"""Largest weights file that is imported: that of the largest network, with an optimizer's state."""

MAXIMUM_NAME_CHARACTERS = 60
"""Of an imported model: with four bytes a character, what every file system takes."""

DRAFT_PREFIX = ".import-"
"""Of the folder in which a bundle is put together before it appears under its name."""

FORGOTTEN_SECONDS = 24 * 3600
"""Age at which a draft was left behind by a process that ended."""

RUNTIME = ("torch", "monai", "safetensors")
"""What it takes to compare weights with their network."""


class ModelLibrary:
    """Embedded and imported models, by their names.

    Args:
        folder: where imported models lie, each in a folder of its name; made at the first import.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def summaries(self) -> list[ModelSummary]:
        """All models, embedded ones first, by name. Needs no package beyond the standard library."""
        embedded, imported = self._embedded(), self._imported()
        return [
            *(read_summary(path) for path in embedded.values()),
            *(read_summary(path, imported=True) for name, path in imported.items() if name not in embedded),
        ]

    def bundle(self, name: str) -> Bundle:
        """The model of this name, read anew.

        Raises:
            BundleRejected: there is none, or it cannot be used.
        """
        from TransformerSegLib.bundles.reading import read_bundle

        folders = {**self._imported(), **self._embedded()}
        if name not in folders:
            raise BundleRejected(
                f"There is no model {quoted(name)}",
                why="it was removed, or never imported on this computer",
                remedy="Choose another model, or import it",
            )
        return read_bundle(folders[name])

    def import_bundle(self, path: Path | str) -> ModelSummary:
        """Copy a MONAI bundle into the library: only the files that are used, all of them or none.

        The bundle is checked as ``read_bundle`` does; where torch is installed, its weights too. One that is there
        already is not copied again; where another has its name, it gets a number.

        Args:
            path: the bundle's folder, the folder around it, or a zip archive of either.

        Raises:
            BundleRejected: it is no bundle, is not safe to unpack, or cannot be used or stored.
        """
        _require_checks()
        try:
            with open_source(Path(path)) as source, self._draft() as draft:
                folder = _copy(source, draft / _folder_name(source.name))
                _check(folder)
                same = next((summary for summary in self.summaries() if _identical(summary.folder, folder)), None)
                return same or self._publish(folder)
        except OSError as error:
            raise BundleRejected(
                f"“{Path(path).name}” cannot be imported ({error.strerror or error})",
                why=f"its files are copied to {self.folder}",
                remedy="Check that this folder can be written to and that its disk is not full",
            ) from None

    def remove(self, name: str) -> None:
        """Delete an imported model.

        Raises:
            BundleRejected: no imported model has this name, or it cannot be deleted.
        """
        folder = self._imported().get(name)
        if folder is None:
            raise BundleRejected(
                f"There is no imported model {quoted(name)}",
                why="only imported models can be removed",
                remedy="Choose one that you imported",
            )
        try:
            with self._draft() as draft:
                os.rename(folder, draft / name)
        except OSError as error:
            raise BundleRejected(
                f"{quoted(name)} cannot be removed ({error.strerror or error})",
                why="its folder cannot be changed",
                remedy="Close the programs that use it, and try again",
            ) from None

    def _embedded(self) -> dict[str, Path]:
        return model_folders(resources_folder() / "Models")

    def _imported(self) -> dict[str, Path]:
        return model_folders(self.folder)

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """A hidden folder on the library's own disk that is gone afterwards, whatever happened."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clear_forgotten()
        draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=self.folder))
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _clear_forgotten(self) -> None:
        for left in self.folder.glob(f"{DRAFT_PREFIX}*"):
            with suppress(FileNotFoundError):  # another process clears too
                if time.time() - left.stat().st_mtime > FORGOTTEN_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)

    def _publish(self, folder: Path) -> ModelSummary:
        """Give the finished draft its place, under a name that no model has."""
        taken = {name.casefold() for name in (*self._embedded(), *(path.name for path in self.folder.iterdir()))}
        names = (folder.name, *(f"{folder.name}_{number}" for number in range(2, len(taken) + 3)))
        target = self.folder / next(name for name in names if name.casefold() not in taken)
        os.rename(folder, target)
        return read_summary(target, imported=True)


def _require_checks() -> None:
    if importlib.util.find_spec("pydantic") is None:
        raise BundleRejected(
            "Models cannot be imported yet",
            why="the packages that check them are not installed",
            remedy="Press Segment once, which offers to install them, and import the model then",
        )


def _copy(source: Source, folder: Path) -> Path:
    """Copy the files of a bundle that are used into ``folder``, which is made."""
    for name in (METADATA, CONFIGURATION):
        if not source.has(name):
            raise missing_file(source.name, name)
    weights = next((name for name in WEIGHTS if source.has(name)), None)
    if weights is None:
        raise missing_weights(source.name, torchscript=source.has(TORCHSCRIPT))
    texts = [name for name in (METADATA, CONFIGURATION, LICENCE, DESCRIPTION) if source.has(name)]
    for name in (*texts, weights):
        size, most = source.size(name), MAXIMUM_WEIGHTS_BYTES if name == weights else MAXIMUM_TEXT_BYTES
        if size > most:
            raise BundleRejected(
                f"{name} of “{source.name}” has {size / 1024**2:.0f} MB",
                why=f"such a file has at most {most // 1024**2} MB",
                remedy="Fetch the bundle again",
            )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source.copy(name, folder / name)
    return folder


def _check(folder: Path) -> None:
    from TransformerSegLib.bundles.reading import read_bundle

    bundle = read_bundle(folder)
    if all(importlib.util.find_spec(name) is not None for name in RUNTIME):
        bundle.network()


def _folder_name(name: str) -> str:
    """A name that is a folder's on every system."""
    plain = re.sub(r"[^\w.-]+", "_", name)[:MAXIMUM_NAME_CHARACTERS].strip("._-")
    return f"model_{plain}" if PureWindowsPath(plain).is_reserved() else plain or "model"


def _identical(one: Path, other: Path) -> bool:
    """Whether two bundles are the same to their last used file."""
    names = (METADATA, CONFIGURATION, LICENCE, *WEIGHTS)
    present = [[name for name in names if (folder / name).is_file()] for folder in (one, other)]
    return present[0] == present[1] and not any(filecmp.cmpfiles(one, other, present[0], shallow=False)[1:])
