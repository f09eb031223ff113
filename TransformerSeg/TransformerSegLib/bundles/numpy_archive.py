"""Arrays from a NumPy archive (``.npz``), read without executing anything; arrays of objects, pickles, are refused."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.sources import MAXIMUM_EXPANSION
from TransformerSegLib.bundles.zip_directory import MAXIMUM_DIRECTORY_BYTES, directory_bytes
from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.architecture import MAXIMUM_NETWORK_BYTES

if TYPE_CHECKING:
    import numpy as np

SUFFIX = ".npz"

DAMAGE = (OSError, ValueError, KeyError, EOFError, MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises where an archive is torn, holds objects, or claims arrays larger than itself."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an archive, by their names.

    Raises:
        CheckpointRejected: it is damaged, holds more than arrays of numbers, or unpacks to more than any network takes.
    """
    import numpy as np

    try:
        if directory_bytes(path) > MAXIMUM_DIRECTORY_BYTES:
            raise ValueError("its table of contents is larger than that of any network")
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > min(MAXIMUM_NETWORK_BYTES, MAXIMUM_EXPANSION * path.stat().st_size):
            raise ValueError(f"it unpacks to {unpacked / 1024**3:.1f} GB")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except DAMAGE as error:
        raise CheckpointRejected(
            f"The arrays of “{path.name}” cannot be used ({str(error) or type(error).__name__})",
            why="only plain arrays of numbers are read",
            remedy="Fetch the file again",
        ) from None
