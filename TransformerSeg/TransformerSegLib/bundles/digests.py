"""Hashes of files: those that makers publish, and those that were recorded when a file came in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

DIGEST_CHARACTERS = {"md5": 32, "sha256": 64}
"""The kinds of hash that are published, by the number of their hexadecimal characters."""

BLOCK_BYTES = 1024**2


def digests(path: Path, raise_if_cancelled: Callable[[], None] = lambda: None) -> dict[str, str]:
    """The file's hashes, hexadecimal, lower case, by their kind: the keys of ``DIGEST_CHARACTERS``.

    Raises:
        OSError: it cannot be read.
    """
    # MD5 tells which file was published, where its makers publish nothing better; it is no defence by itself.
    computed = {kind: hashlib.new(kind, usedforsecurity=False) for kind in DIGEST_CHARACTERS}
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            raise_if_cancelled()
            for digest in computed.values():
                digest.update(block)
    return {kind: digest.hexdigest() for kind, digest in computed.items()}
