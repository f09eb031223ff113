"""A published model from its makers' server into a library: fetched, made a bundle, checked, and given its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from TransformerSegLib.bundles.atomic import write_json
from TransformerSegLib.bundles.bundle_check import check_bundle
from TransformerSegLib.bundles.copying import OnBytes
from TransformerSegLib.bundles.download import Fetched, Wanted, download
from TransformerSegLib.bundles.file_lock import is_locked, locked
from TransformerSegLib.bundles.layout import model_folders
from TransformerSegLib.bundles.partial_file import PartialFile
from TransformerSegLib.bundles.patience import Patience
from TransformerSegLib.bundles.published import PublishedModel
from TransformerSegLib.bundles.published_bundle import write_published_bundle
from TransformerSegLib.bundles.recorded_hashes import record_hashes, recorded_hash
from TransformerSegLib.bundles.shelf import refuse_moving
from TransformerSegLib.bundles.sources import unpack_member
from TransformerSegLib.errors import BundleRejected, Cancelled

DOWNLOADS = ".downloads"
"""The folder in a library in which models are that are on their way, each in a folder of its name."""

MARK = "download.json"
"""The file in a bundle by which a downloaded one is told from one that a user brought."""


DOWNLOAD_LOCK = ".lock"
"""In a model's folder among the downloads: held by the process that fetches it."""


def unfinished_downloads(library: Path) -> list[Path]:
    """The folders of downloads that run, or were stopped, or of which only the lock is left."""
    return [path for path in (library / DOWNLOADS).glob("*") if path.is_dir()]


def is_downloading(library: Path) -> bool:
    """Whether some process fetches a model into the library now."""
    return any(is_locked(folder / DOWNLOAD_LOCK) for folder in unfinished_downloads(library))


@contextmanager
def downloading_to(
    library: Path, model: PublishedModel, on_bytes: OnBytes, raise_if_cancelled: Callable[[], None]
) -> Iterator[None]:
    """Fetch a model alone: a process that fetches it now is waited for. What is left in the end is deleted.

    Raises:
        BundleRejected: the models are being moved.
    """

    def wait() -> None:
        raise_if_cancelled()
        on_bytes(PartialFile(_place_of(library, model)).size, None)

    folder = library / DOWNLOADS / model.name
    with locked(folder / DOWNLOAD_LOCK, wait):
        refuse_moving(library)
        yield
        _clear(folder)


def clear_stopped_downloads(library: Path) -> None:
    """Delete what stopped downloads left; one that runs stays."""
    for left in unfinished_downloads(library):
        with suppress(Cancelled), locked(left / DOWNLOAD_LOCK, _give_up):
            _clear(left)


def download_bundle(
    library: Path,
    model: PublishedModel,
    on_bytes: OnBytes,
    raise_if_cancelled: Callable[[], None],
    patience: Patience,
) -> None:
    """Fetch a model, within ``downloading_to``, and give its bundle its name in the library.

    Pieces of several answers that make no model, where no published hash told so before, are fetched anew once.

    Raises:
        DownloadFailed: see ``download``.
        BundleRejected: what was fetched is no model that can be used.
        OSError: it cannot be written.
    """
    for again in (False, True):
        fetched = _fetch(library, model, on_bytes, raise_if_cancelled, patience)
        try:
            _make(library, model, fetched, raise_if_cancelled)
        except BundleRejected:
            _place_of(library, model).unlink()  # else it would not be fetched anew
            if again or fetched.in_one_piece:
                raise
        else:
            return


def _make(library: Path, model: PublishedModel, fetched: Fetched, raise_if_cancelled: Callable[[], None]) -> None:
    draft = library / DOWNLOADS / model.name / "draft"  # on the library's disk, in what the lock guards
    shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
    try:
        folder = draft / model.name
        _write_bundle(folder, library, model, fetched, raise_if_cancelled)
        check_bundle(folder)
        record_hashes(library, {model.weights.address: fetched.hashes["sha256"]})
        try:
            os.rename(folder, library / model.name)
        except OSError:
            if model.name not in model_folders(library):  # else somebody has imported it meanwhile
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _place_of(library: Path, model: PublishedModel) -> Path:
    """Where what is fetched of a model lies in the library's folder, until its bundle is made."""
    name = "archive.zip" if model.weights.member else Path(model.weights.file).name
    return library / DOWNLOADS / model.name / name


def _fetch(
    library: Path,
    model: PublishedModel,
    on_bytes: OnBytes,
    raise_if_cancelled: Callable[[], None],
    patience: Patience,
) -> Fetched:
    """Fetch what its makers publish to ``_place_of``, and hold it to every hash that is known.

    Raises:
        DownloadFailed: see ``download``.
    """
    weights, hashes = model.weights, {}
    if recorded := recorded_hash(library, weights.address):
        hashes["sha256"] = (recorded, "was recorded at the first download")
    if weights.hash_type:
        hashes[weights.hash_type] = (weights.hash_value, "was published")
    wanted = Wanted(weights.address, weights.most_bytes, hashes)
    return download(wanted, _place_of(library, model), on_bytes, raise_if_cancelled, patience)


def _write_bundle(
    folder: Path, library: Path, model: PublishedModel, fetched: Fetched, raise_if_cancelled: Callable[[], None]
) -> None:
    """Make the bundle of what was fetched in ``folder``; what was fetched stays.

    Raises:
        BundleRejected: it is an archive that is damaged, unsafe, or without the weights.
        OSError: it cannot be written.
    """
    place = _place_of(library, model)
    write_published_bundle(folder, model)
    target = folder / model.weights.file
    target.parent.mkdir()
    if model.weights.member:
        unpack_member(place, model.weights.member, target, model.weights.most_bytes, lambda count: raise_if_cancelled())
    else:
        try:
            os.link(place, target)
        except OSError:  # not every file system has links
            shutil.copyfile(place, target)
    write_json(
        folder / MARK,
        {"address": model.weights.address, "bytes": fetched.bytes, "sha256": fetched.hashes["sha256"]},
    )


def _clear(download: Path) -> None:
    """Delete all that a download left in its folder, but for the lock, which whoever calls this holds."""
    for left in download.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif left.name != DOWNLOAD_LOCK:
            left.unlink()


def _give_up() -> None:
    """For those who do not wait for a lock.

    Raises:
        Cancelled: always.
    """
    raise Cancelled
