"""A published model from its makers' server into a draft of its bundle."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from TransformerSegLib.bundles.atomic import write_json
from TransformerSegLib.bundles.copying import OnBytes
from TransformerSegLib.bundles.download import Fetched, Wanted, download
from TransformerSegLib.bundles.patience import Patience
from TransformerSegLib.bundles.published import PublishedModel
from TransformerSegLib.bundles.published_bundle import write_published_bundle
from TransformerSegLib.bundles.recorded_hashes import recorded_hash
from TransformerSegLib.bundles.sources import unpack_member

DOWNLOADS = ".downloads"
"""The folder in a library in which models are that are on their way, each in a folder of its name."""

MARK = "download.json"
"""The file in a bundle by which a downloaded one is told from one that a user brought."""


def place_of(library: Path, model: PublishedModel) -> Path:
    """Where what is fetched of a model lies in the library's folder, until its bundle is made."""
    name = "archive.zip" if model.weights.member else Path(model.weights.file).name
    return library / DOWNLOADS / model.name / name


def draft_of(library: Path, name: str) -> Path:
    """Where a model's bundle is made: on the library's disk, in what the lock on the download guards."""
    return library / DOWNLOADS / name / "draft"


def fetch(
    library: Path,
    model: PublishedModel,
    on_bytes: OnBytes,
    raise_if_cancelled: Callable[[], None],
    patience: Patience,
) -> Fetched:
    """Fetch what its makers publish to ``place_of``, and hold it to every hash that is known.

    Raises:
        DownloadFailed: see ``download``.
    """
    weights, hashes = model.weights, {}
    if recorded := recorded_hash(library, weights.address):
        hashes["sha256"] = (recorded, "was recorded at the first download")
    if weights.hash_type:
        hashes[weights.hash_type] = (weights.hash_value, "was published")
    wanted = Wanted(weights.address, weights.most_bytes, hashes)
    return download(wanted, place_of(library, model), on_bytes, raise_if_cancelled, patience)


def bundle_of(library: Path, model: PublishedModel, fetched: Fetched, raise_if_cancelled: Callable[[], None]) -> Path:
    """Make the bundle of what was fetched, in a folder of its name in ``draft_of``; what was fetched stays.

    Raises:
        BundleRejected: it is an archive that is damaged, unsafe, or without the weights.
        OSError: it cannot be written.
    """
    folder, place = draft_of(library, model.name) / model.name, place_of(library, model)
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
    return folder
