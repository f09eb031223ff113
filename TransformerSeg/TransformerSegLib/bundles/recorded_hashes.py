"""The SHA-256 of what was downloaded: recorded at the first time, and held to ever after."""

from __future__ import annotations

import json
from pathlib import Path

from TransformerSegLib.bundles.atomic import write_json
from TransformerSegLib.bundles.file_lock import locked
from TransformerSegLib.errors import DownloadFailed

HASHES = "hashes.json"
"""In the library's folder: address → SHA-256."""

LOCK = ".hashes.lock"


def recorded_hash(folder: Path, address: str) -> str | None:
    """The SHA-256 of what came from ``address`` the first time; None where nothing did.

    Raises:
        DownloadFailed: the record is damaged.
    """
    return recorded_hashes(folder).get(address)


def recorded_hashes(folder: Path) -> dict[str, str]:
    """All of the record of the library in ``folder``.

    Raises:
        DownloadFailed: it is damaged.
    """
    path = folder / HASHES
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            raise ValueError("it does not hold one hash an address")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DownloadFailed(
            f"The record of earlier downloads, {path}, cannot be read ({error})",
            why="a model that comes again is held to the hash of its first download",
            remedy="Delete that file if you trust the network, and try again",
        ) from None
    return content


def record_hashes(folder: Path, hashes: dict[str, str]) -> None:
    """Add to the record; what it has already stays as it is.

    Args:
        folder: the library's.
        hashes: SHA-256 by address.

    Raises:
        DownloadFailed: the record is damaged.
        OSError: it cannot be written.
    """
    with locked(folder / LOCK, lambda: None):
        known = recorded_hashes(folder)
        if not hashes.keys() <= known.keys():
            write_json(folder / HASHES, {**hashes, **known})
