"""The models that a user can choose: those that ship with the library, those that the user imported, those that were
downloaded, and those that are there to be downloaded.
"""

from __future__ import annotations

import filecmp
import importlib.util
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.copying import Meter, OnBytes
from TransformerSegLib.bundles.download import Fetched, not_written
from TransformerSegLib.bundles.fetching import DOWNLOADS, MARK, bundle_of, draft_of, fetch, place_of
from TransformerSegLib.bundles.file_lock import is_locked, locked
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
from TransformerSegLib.bundles.moving import DRAFT_PREFIX, check_place, copy_library, folder_bytes
from TransformerSegLib.bundles.packing import pack_bundle
from TransformerSegLib.bundles.partial_file import PartialFile
from TransformerSegLib.bundles.patience import USUAL_PATIENCE, Patience
from TransformerSegLib.bundles.published import PublishedModel, published_models
from TransformerSegLib.bundles.recorded_hashes import record_hashes
from TransformerSegLib.bundles.sources import Source, open_source
from TransformerSegLib.bundles.summary import ModelSummary, published_summary, read_summary
from TransformerSegLib.errors import BundleRejected, Cancelled, CatalogueDamaged
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

FORGOTTEN_SECONDS = 24 * 3600
"""Age at which a draft was left behind by a process that ended."""

DOWNLOAD_LOCK = ".lock"
"""In a model's folder among the downloads: held by the process that fetches it."""

RUNTIME = ("torch", "monai", "safetensors")
"""What it takes to compare weights with their network."""


def _tell_nobody(done: int, total: int | None) -> None:
    """For those who do not look on."""


def _never() -> None:
    """For those who do not cancel."""


class ModelLibrary:
    """Embedded, imported and downloaded models, by their names, and those that may be downloaded.

    Args:
        folder: where imported and downloaded models lie, each in a folder of its name; made where it is needed.
        catalogue: the list of models to be downloaded; None: the one that ships with the library.

    Attributes:
        folder: as given, until ``move_to``.
        catalogue: as given.
    """

    def __init__(self, folder: Path | str, catalogue: Path | str | None = None) -> None:
        self.folder = Path(folder)
        self.catalogue = None if catalogue is None else Path(catalogue)

    def summaries(self) -> list[ModelSummary]:
        """All models by name: the embedded ones, those in the folder, and those of the catalogue that are not there.

        Needs no package beyond the standard library.
        """
        embedded, own = self._embedded(), self._own()
        there = [self._summary(folder) for name, folder in own.items() if name not in embedded]
        return [*(read_summary(folder) for folder in embedded.values()), *there, *self._to_be_downloaded()]

    def bundle(self, name: str) -> Bundle:
        """The model of this name, read anew.

        Raises:
            BundleRejected: there is none, it is not on this computer, or it cannot be used.
        """
        from TransformerSegLib.bundles.reading import read_bundle

        folders = {**self._own(), **self._embedded()}
        if name in folders:
            return read_bundle(folders[name])
        if any(summary.name == name for summary in self._to_be_downloaded() if summary.downloadable):
            raise BundleRejected(
                f"{quoted(name)} is not on this computer yet", why="it is to be downloaded", remedy="Download it first"
            )
        raise BundleRejected(
            f"There is no model {quoted(name)}",
            why="it was removed, or never imported on this computer",
            remedy="Choose another model, or import it",
        )

    def import_bundle(
        self,
        path: Path | str,
        on_bytes: OnBytes = _tell_nobody,
        raise_if_cancelled: Callable[[], None] = _never,
    ) -> ModelSummary:
        """Copy a MONAI bundle into the library: only the files that are used, all of them or none.

        The bundle is checked as ``read_bundle`` does; where torch is installed, its weights too. One that is there
        already is not copied again; where another has its name, it gets a number.

        Args:
            path: the bundle's folder, the folder around it, or a zip archive of either.
            on_bytes: told how far it is.
            raise_if_cancelled: asked for each block; nothing is left where it raises.

        Raises:
            BundleRejected: it is no bundle, is not safe to unpack, or cannot be used or stored.
        """
        _require_checks()
        try:
            with open_source(Path(path)) as source, self._draft() as draft:
                folder = _copy(source, draft / _folder_name(source.name), on_bytes, raise_if_cancelled)
                _check(folder)
                same = next((summary for summary in self._on_disk() if _identical(summary.folder, folder)), None)
                return same or self._publish(folder)
        except OSError as error:
            raise BundleRejected(
                f"“{Path(path).name}” cannot be imported ({error.strerror or error})",
                why=f"its files are copied to {self.folder}",
                remedy="Check that this folder can be written to and that its disk is not full",
            ) from None

    def download(
        self,
        name: str,
        on_bytes: OnBytes = _tell_nobody,
        raise_if_cancelled: Callable[[], None] = _never,
        patience: Patience = USUAL_PATIENCE,
    ) -> ModelSummary:
        """Fetch a model of the catalogue. It appears when all of it is there, and was found right.

        What a stopped download left is gone on with. Where another process fetches the model now, that is waited for.

        Args:
            name: of the model; one that is in the folder is not fetched again.
            on_bytes: told how far it is.
            raise_if_cancelled: asked several times a second; what came so far is kept where it raises.
            patience: with a network that breaks.

        Raises:
            DownloadFailed: it could not be fetched, or is not what was published.
            BundleRejected: there is no such model, or what was fetched is none that can be used.
        """
        model = published_models(self.catalogue).get(name)
        if model is None:
            raise BundleRejected(
                f"There is no model {quoted(name)} to be downloaded",
                why="it is not in the list of published models",
                remedy="Choose one from the list, or import the model from a file",
            )
        _require_checks()

        def wait() -> None:
            raise_if_cancelled()
            on_bytes(PartialFile(place_of(self.folder, model)).size, None)

        try:
            with locked(self._download_lock(name), wait):
                if not self._is_there(name):
                    self._fetch(model, on_bytes, raise_if_cancelled, patience)
                _clear(self.folder / DOWNLOADS / name)
                return self._summary(self._own()[name])
        except OSError as error:
            raise not_written(self.folder / name, error) from None

    def export(
        self,
        name: str,
        path: Path | str,
        on_bytes: OnBytes = _tell_nobody,
        raise_if_cancelled: Callable[[], None] = _never,
        *,
        overwrite: bool = False,
    ) -> None:
        """Pack a model into one zip archive, which ``import_bundle`` takes on another computer.

        Args:
            name: of an embedded, imported or downloaded model.
            path: of the archive.
            on_bytes: told how far it is.
            raise_if_cancelled: asked for each block; nothing is left where it raises.
            overwrite: replace a file that is there.

        Raises:
            BundleRejected: there is no such model on this computer, or it is incomplete.
            OutputRejected: the archive is there already, or cannot be written.
        """
        folder = {**self._own(), **self._embedded()}.get(name)
        if folder is None:
            raise BundleRejected(
                f"There is no model {quoted(name)} on this computer",
                why="only what is here can be packed",
                remedy="Choose another model, or download it first",
            )
        pack_bundle(folder, Path(path), on_bytes, raise_if_cancelled, overwrite=overwrite)

    def remove(self, name: str) -> None:
        """Delete an imported or downloaded model.

        Raises:
            BundleRejected: no such model has this name, or it cannot be deleted.
        """
        folder = self._own().get(name)
        if folder is None:
            raise BundleRejected(
                f"There is no imported model {quoted(name)}, and no downloaded one",
                why="only those can be removed",
                remedy="Choose one that you imported or downloaded",
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

    def bytes_on_disk(self) -> int:
        """Of all that lies in the folder: imported and downloaded models, and unfinished downloads."""
        return folder_bytes(self.folder)

    def downloaded_bytes(self) -> int:
        """Of the downloaded models, and of what unfinished downloads left: what ``empty`` deletes."""
        downloaded = [folder for folder in self._own().values() if (folder / MARK).is_file()]
        return sum(folder_bytes(folder) for folder in (*downloaded, *self._unfinished()))

    def fetched_bytes(self, name: str) -> int:
        """What an unfinished download of a model has left, to go on with."""
        return folder_bytes(self.folder / DOWNLOADS / name)

    def empty(self) -> int:
        """Delete the downloaded models and what unfinished downloads left; imported models stay.

        A download that runs at this moment stays too.

        Returns:
            How many bytes are free now.

        Raises:
            BundleRejected: a model cannot be deleted.
        """
        before = self.bytes_on_disk()
        for name, folder in self._own().items():
            if (folder / MARK).is_file():
                self.remove(name)
        for left in self._unfinished():
            with suppress(Cancelled), locked(left / DOWNLOAD_LOCK, _give_up):
                _clear(left)
        return max(before - self.bytes_on_disk(), 0)

    def move_to(
        self,
        folder: Path | str,
        on_bytes: OnBytes = _tell_nobody,
        raise_if_cancelled: Callable[[], None] = _never,
    ) -> None:
        """Move all that is in the folder to another one, which is the library's from then on.

        It is copied and compared first; until that is done for all of it, the library stays as it is. A move that was
        stopped goes on where it stopped.

        Args:
            folder: may have other things in it, but no other models of the same names.
            on_bytes: told how far it is.
            raise_if_cancelled: asked for each block.

        Raises:
            BundleRejected: it cannot be moved there.
        """
        old, new = self.folder, Path(folder)
        if new.resolve() == old.resolve():
            return
        if any(is_locked(left / DOWNLOAD_LOCK) for left in self._unfinished()):
            raise BundleRejected(
                "The models cannot be moved now", why="one is being downloaded", remedy="Wait for it, or stop it"
            )
        try:
            check_place(old, new)
            moved = copy_library(old, new, on_bytes, raise_if_cancelled)
        except OSError as error:
            raise BundleRejected(
                f"The models cannot be moved to {new} ({error.strerror or error})",
                why="each of them is copied there",
                remedy="Check that this folder can be written to and that its disk is not full",
            ) from None
        self.folder = new
        for left in moved:
            shutil.rmtree(left, ignore_errors=True)

    def _embedded(self) -> dict[str, Path]:
        return model_folders(resources_folder() / "Models")

    def _own(self) -> dict[str, Path]:
        """Imported and downloaded."""
        return model_folders(self.folder)

    def _on_disk(self) -> list[ModelSummary]:
        return [summary for summary in self.summaries() if summary.on_disk]

    def _summary(self, folder: Path) -> ModelSummary:
        """Of an imported or downloaded model."""
        downloaded = (folder / MARK).is_file()
        summary = read_summary(folder, imported=not downloaded)
        if not downloaded:
            return summary
        summary = replace(summary, downloadable=True)
        with suppress(CatalogueDamaged, KeyError):
            model = published_models(self.catalogue)[folder.name]
            return replace(
                summary,
                source=model.weights.address,
                licence_address=model.licence_address,
                data_terms=model.data_terms,
            )
        return summary

    def _to_be_downloaded(self) -> list[ModelSummary]:
        try:
            published = published_models(self.catalogue)
        except CatalogueDamaged as damaged:
            return [ModelSummary("catalogue", title="Published models", folder=self.folder, fault=str(damaged))]
        there = {name.casefold() for name in (*self._embedded(), *self._own())}
        missing = sorted(name for name in published if name.casefold() not in there)
        return [published_summary(published[name], self.folder / name) for name in missing]

    def _download_lock(self, name: str) -> Path:
        return self.folder / DOWNLOADS / name / DOWNLOAD_LOCK

    def _unfinished(self) -> list[Path]:
        return [path for path in (self.folder / DOWNLOADS).glob("*") if path.is_dir()]

    def _is_there(self, name: str) -> bool:
        """Whether a model need not be fetched; what is left of a downloaded one that lost files is deleted."""
        if name not in self._own():
            return False
        summary = self._summary(self._own()[name])
        if summary.imported or not summary.fault:
            return True
        self.remove(name)
        return False

    def _fetch(
        self, model: PublishedModel, on_bytes: OnBytes, raise_if_cancelled: Callable[[], None], patience: Patience
    ) -> None:
        for again in (False, True):
            fetched = fetch(self.folder, model, on_bytes, raise_if_cancelled, patience)
            try:
                self._make(model, fetched, raise_if_cancelled)
            except BundleRejected:
                place_of(self.folder, model).unlink()  # else it would not be fetched anew
                if again or fetched.in_one_piece:
                    raise
            else:
                return

    def _make(self, model: PublishedModel, fetched: Fetched, raise_if_cancelled: Callable[[], None]) -> None:
        draft = draft_of(self.folder, model.name)
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
        try:
            folder = bundle_of(self.folder, model, fetched, raise_if_cancelled)
            _check(folder)
            record_hashes(self.folder, {model.weights.address: fetched.hashes["sha256"]})
            self._publish_as(model.name, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _publish_as(self, name: str, folder: Path) -> None:
        """Give a finished draft its place, unless somebody has imported the model meanwhile."""
        try:
            os.rename(folder, self.folder / name)
        except OSError:
            if name not in self._own():
                raise

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


def _give_up() -> None:
    """For those who do not wait for a lock.

    Raises:
        Cancelled: always.
    """
    raise Cancelled


def _clear(download: Path) -> None:
    """Delete all that a download left in its folder, but for the lock, which whoever calls this holds."""
    for left in download.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif left.name != DOWNLOAD_LOCK:
            left.unlink()


def _require_checks() -> None:
    if importlib.util.find_spec("pydantic") is None:
        raise BundleRejected(
            "Models cannot be imported yet",
            why="the packages that check them are not installed",
            remedy="Press Segment once, which offers to install them, and import the model then",
        )


def _copy(source: Source, folder: Path, on_bytes: OnBytes, raise_if_cancelled: Callable[[], None]) -> Path:
    """Copy the files of a bundle that are used into ``folder``, which is made."""
    for name in (METADATA, CONFIGURATION):
        if not source.has(name):
            raise missing_file(source.name, name)
    weights = next((name for name in WEIGHTS if source.has(name)), None)
    if weights is None:
        raise missing_weights(source.name, torchscript=source.has(TORCHSCRIPT))
    texts = [name for name in (METADATA, CONFIGURATION, LICENCE, DESCRIPTION) if source.has(name)]
    sizes = {name: source.size(name) for name in (*texts, weights)}
    meter = Meter(sum(sizes.values()), on_bytes, raise_if_cancelled)
    for name, size in sizes.items():
        most = MAXIMUM_WEIGHTS_BYTES if name == weights else MAXIMUM_TEXT_BYTES
        if size > most:
            raise BundleRejected(
                f"{name} of “{source.name}” has {size / 1024**2:.0f} MB",
                why=f"such a file has at most {most // 1024**2} MB",
                remedy="Fetch the bundle again",
            )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source.copy(name, folder / name, meter)
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
