"""The models that a user can choose: those that ship with the library, those that the user imported, those that were
downloaded, and those that are there to be downloaded.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.bundle_check import check_bundle, require_checks
from TransformerSegLib.bundles.bundle_copy import copy_bundle, folder_name, identical
from TransformerSegLib.bundles.copying import OnBytes
from TransformerSegLib.bundles.download import not_written
from TransformerSegLib.bundles.fetching import (
    DOWNLOADS,
    MARK,
    clear_stopped_downloads,
    download_bundle,
    downloading_to,
    is_downloading,
    unfinished_downloads,
)
from TransformerSegLib.bundles.layout import model_folders
from TransformerSegLib.bundles.listing import embedded_models, missing_summaries, model_summaries, own_summary
from TransformerSegLib.bundles.moving import check_place, copy_library, folder_bytes
from TransformerSegLib.bundles.packing import pack_bundle
from TransformerSegLib.bundles.patience import USUAL_PATIENCE, Patience
from TransformerSegLib.bundles.published import published_models
from TransformerSegLib.bundles.shelf import draft_on, importing_to, moving_from, put_under_free_name, take_away
from TransformerSegLib.bundles.sources import open_source
from TransformerSegLib.bundles.summary import ModelSummary, read_summary
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.file_text import quoted

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle


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
        return model_summaries(self.folder, self.catalogue)

    def bundle(self, name: str) -> Bundle:
        """The model of this name, read anew.

        Raises:
            BundleRejected: there is none, it is not on this computer, or it cannot be used.
        """
        from TransformerSegLib.bundles.reading import read_bundle

        folders = {**self._own(), **embedded_models()}
        if name in folders:
            return read_bundle(folders[name])
        if any(
            summary.name == name for summary in missing_summaries(self.folder, self.catalogue) if summary.downloadable
        ):
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
        require_checks()
        try:
            with (
                open_source(Path(path)) as source,
                importing_to(self.folder, raise_if_cancelled),
                draft_on(self.folder) as draft,
            ):
                folder = copy_bundle(source, draft / folder_name(source.name), on_bytes, raise_if_cancelled)
                check_bundle(folder)
                on_disk = (summary for summary in self.summaries() if summary.on_disk)
                if same := next((summary for summary in on_disk if identical(summary.folder, folder)), None):
                    return same
                return read_summary(put_under_free_name(folder, self.folder, embedded_models()), imported=True)
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
        require_checks()
        try:
            with downloading_to(self.folder, model, on_bytes, raise_if_cancelled):
                if not self._is_there(name):
                    download_bundle(self.folder, model, on_bytes, raise_if_cancelled, patience)
                return own_summary(self._own()[name], self.catalogue)
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
        folder = {**self._own(), **embedded_models()}.get(name)
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
            take_away(folder)
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
        return sum(folder_bytes(folder) for folder in (*downloaded, *unfinished_downloads(self.folder)))

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
        clear_stopped_downloads(self.folder)
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
        try:
            with moving_from(old, raise_if_cancelled):
                if is_downloading(old):
                    raise BundleRejected(
                        "The models cannot be moved now",
                        why="one is being downloaded",
                        remedy="Wait for it, or stop it",
                    )
                check_place(old, new)
                moved = copy_library(old, new, on_bytes, raise_if_cancelled)
                self.folder = new
                for left in moved:
                    shutil.rmtree(left, ignore_errors=True)
        except OSError as error:
            raise BundleRejected(
                f"The models cannot be moved to {new} ({error.strerror or error})",
                why="each of them is copied there",
                remedy="Check that this folder can be written to and that its disk is not full",
            ) from None

    def _own(self) -> dict[str, Path]:
        """Imported and downloaded."""
        return model_folders(self.folder)

    def _is_there(self, name: str) -> bool:
        """Whether a model need not be fetched; what is left of a downloaded one that lost files is deleted."""
        if name not in self._own():
            return False
        summary = own_summary(self._own()[name], self.catalogue)
        if summary.imported or not summary.fault:
            return True
        self.remove(name)
        return False
