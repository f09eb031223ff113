"""Copying bytes so that somebody can see how far it is, and stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

BLOCK_BYTES = 1024**2

OnBytes = Callable[[int, int | None], None]
"""Called with the bytes that are there, and those that there will be; None where that is not known."""

Tell = Callable[[int], None]
"""Called with the number of bytes that came last; may raise, to stop."""


class Meter:
    """Adds up what is told of several files.

    Args:
        total: bytes of all of them.
        on_bytes: told the sum.
        raise_if_cancelled: asked each time.
    """

    def __init__(self, total: int, on_bytes: OnBytes, raise_if_cancelled: Callable[[], None]) -> None:
        self._done, self._total = 0, total
        self._on_bytes, self._raise_if_cancelled = on_bytes, raise_if_cancelled

    def __call__(self, count: int) -> None:
        self._raise_if_cancelled()
        self._done += count
        self._on_bytes(self._done, self._total)


def copy_bytes(source: BinaryIO, target: BinaryIO, tell: Tell) -> None:
    """Write all that is left of ``source`` to ``target``."""
    while block := source.read(BLOCK_BYTES):
        target.write(block)
        tell(len(block))
