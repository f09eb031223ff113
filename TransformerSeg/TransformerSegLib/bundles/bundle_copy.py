"""The files of a bundle that are used: copied from where it lies, and compared with another bundle's."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

from TransformerSegLib.bundles.copying import Meter, OnBytes
from TransformerSegLib.bundles.layout import (
    CONFIGURATION,
    DESCRIPTION,
    LICENCE,
    METADATA,
    TORCHSCRIPT,
    WEIGHTS,
    missing_file,
    missing_weights,
)
from TransformerSegLib.bundles.sources import Source
from TransformerSegLib.errors import BundleRejected

MAXIMUM_TEXT_BYTES = 16 * 1024**2
"""Largest file beside the weights that is imported."""

MAXIMUM_WEIGHTS_BYTES = 12 * 1024**3
"""Largest weights file that is imported: that of the largest network, with an optimizer's state."""

MAXIMUM_NAME_CHARACTERS = 60
"""Of an imported model: with four bytes a character, what every file system takes."""


def copy_bundle(source: Source, folder: Path, on_bytes: OnBytes, raise_if_cancelled: Callable[[], None]) -> Path:
    """Copy the files of a bundle that are used into ``folder``, which is made.

    Raises:
        BundleRejected: one that every bundle has is missing, or one is too large.
        OSError: one cannot be written.
    """
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


def folder_name(name: str) -> str:
    """A name that is a folder's on every system."""
    plain = re.sub(r"[^\w.-]+", "_", name)[:MAXIMUM_NAME_CHARACTERS].strip("._-")
    return f"model_{plain}" if PureWindowsPath(plain).is_reserved() else plain or "model"


def identical(one: Path, other: Path) -> bool:
    """Whether two bundles are the same to their last used file."""
    names = (METADATA, CONFIGURATION, LICENCE, *WEIGHTS)
    present = [[name for name in names if (folder / name).is_file()] for folder in (one, other)]
    return present[0] == present[1] and not any(filecmp.cmpfiles(one, other, present[0], shallow=False)[1:])
