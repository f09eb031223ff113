"""A bundle as one zip archive, to be carried to a computer without a network."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from TransformerSegLib.bundles.copying import Meter, OnBytes, copy_bytes
from TransformerSegLib.bundles.layout import CONFIGURATION, DESCRIPTION, LICENCE, METADATA, inside, weights_file
from TransformerSegLib.errors import OutputRejected


def pack_bundle(
    folder: Path, archive: Path, on_bytes: OnBytes, raise_if_cancelled: Callable[[], None], *, overwrite: bool
) -> None:
    """Write the files of a bundle that are used into a zip archive, under its name. All of them or none.

    Args:
        folder: the bundle's.
        archive: to be written; its folder must exist.
        on_bytes: told how far it is.
        raise_if_cancelled: asked for each block.
        overwrite: replace an archive that is there.

    Raises:
        BundleRejected: a file is missing, or a link that leads out of the bundle.
        OutputRejected: the archive is there already, or cannot be written.
    """
    weights = weights_file(folder)
    texts = [folder / name for name in (METADATA, CONFIGURATION, LICENCE, DESCRIPTION) if (folder / name).is_file()]
    files = [*(inside(folder, text) for text in texts), weights]
    if archive.exists() and not overwrite:
        raise OutputRejected(
            f"“{archive}” exists already",
            why="nothing is replaced unasked",
            remedy="Choose another name, or add --overwrite",
        )
    try:
        meter = Meter(sum(file.stat().st_size for file in files), on_bytes, raise_if_cancelled)
        descriptor, draft = tempfile.mkstemp(prefix=f".{archive.name}.", dir=archive.parent)
        try:
            with os.fdopen(descriptor, "wb") as written, zipfile.ZipFile(written, "w") as opened:
                for file in files:
                    entry = zipfile.ZipInfo(f"{folder.name}/{file.relative_to(folder).as_posix()}")
                    entry.compress_type = zipfile.ZIP_STORED if file == weights else zipfile.ZIP_DEFLATED
                    entry.file_size = file.stat().st_size
                    with file.open("rb") as read, opened.open(entry, "w") as packed:
                        copy_bytes(read, packed, meter)
            os.chmod(draft, 0o644)
            os.replace(draft, archive)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        raise OutputRejected(
            f"“{archive}” cannot be written ({error.strerror or error})",
            why="the model is packed into this file",
            remedy="Check that its folder is there and can be written to, and that its disk is not full",
        ) from None
