"""Arrays from a NumPy archive (``.npz``), read without executing anything; arrays of objects, pickles, are refused."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.pickled import Refused
from TransformerSegLib.bundles.zip_directory import MAXIMUM_DIRECTORY_BYTES, directory_bytes
from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.architecture import MAXIMUM_NETWORK_BYTES
from TransformerSegLib.networks.file_text import quoted

if TYPE_CHECKING:
    import numpy as np

SUFFIX = ".npz"

NUMBERS = "fiu"
"""What NumPy calls the kinds of floating-point and whole numbers."""

MAXIMUM_EXPANSION, ALWAYS_ALLOWED_BYTES = 2, 256 * 1024**2
"""How many times its size an archive may unpack to, and what any may; numbers of a network hardly pack at all."""

DAMAGE = (OSError, ValueError, LookupError, TypeError, SyntaxError, EOFError, MemoryError, NotImplementedError)
DAMAGE += (RecursionError, OverflowError, tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What NumPy raises where an archive is torn, holds objects, or claims arrays larger than itself."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an archive, by their names.

    Raises:
        CheckpointRejected: it is damaged, holds more than arrays of numbers, or unpacks to more than any network takes.
    """
    import numpy as np

    try:
        if path.exists() and not path.is_file():
            raise Refused("it is not a file")
        if directory_bytes(path) > MAXIMUM_DIRECTORY_BYTES:
            raise Refused("its table of contents is larger than that of any network")
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > min(MAXIMUM_NETWORK_BYTES, max(MAXIMUM_EXPANSION * path.stat().st_size, ALWAYS_ALLOWED_BYTES)):
            raise Refused(f"it unpacks to {unpacked / 1024**3:.1f} GB")
        with np.load(path, allow_pickle=False) as arrays:
            read = {name: arrays[name] for name in arrays.files}
        for name, array in read.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind not in NUMBERS:
                raise Refused(f"{quoted(name)} in it holds no numbers")
            if not np.isfinite(array).all():
                raise Refused(f"{quoted(name)} in it holds NaN or infinite values")
        return read
    except Refused as refused:
        raise _rejected(path, str(refused)) from None
    except DAMAGE as error:
        raise _rejected(path, f"it is damaged: {quoted(str(error) or type(error).__name__)[1:-1]}") from None


def _rejected(path: Path, fault: str) -> CheckpointRejected:
    return CheckpointRejected(
        f"The arrays of {quoted(path.name)} cannot be used ({fault})",
        why="only plain arrays of numbers are read",
        remedy="Fetch the file again",
    )
