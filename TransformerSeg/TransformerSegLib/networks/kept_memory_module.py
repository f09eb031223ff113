"""Working memory that lasts from one window to the next. Imports torch: only modules of networks import it.

Memory of this size goes back to the system when it is freed, which hands it out again page by page, cleared: that takes
a twentieth of a window's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident

import torch

WORTH_KEEPING_BYTES = 32 * 1024**2
"""Smaller blocks are kept by the C library."""

FLOAT32_BYTES = 4


class KeptMemory:
    """The large blocks that one image takes, in the order in which it takes them. They are for the thread that made
    this: two at a time would write into the same ones."""

    def __init__(self) -> None:
        self._thread = get_ident()
        self._blocks: list[torch.Tensor] = []
        self._taken = 0

    @property
    def is_of_this_thread(self) -> bool:
        return get_ident() == self._thread

    @contextmanager
    def for_one_image(self) -> Iterator[None]:
        """Within it, ``taken`` gives out what the image before has taken. Nothing of that may still be in use."""
        self._taken = 0
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def take(self, count: int) -> torch.Tensor:
        """(count,) float32, of any value."""
        if self._taken == len(self._blocks):
            self._blocks.append(_new(0))
        if self._blocks[self._taken].numel() != count:
            self._blocks[self._taken] = _new(0)  # the old one goes before the new one comes
            self._blocks[self._taken] = _new(count)
        self._taken += 1
        return self._blocks[self._taken - 1]


_current: ContextVar[KeptMemory | None] = ContextVar("kept memory", default=None)


def taken(count: int) -> torch.Tensor:
    """(count,) float32 of any value, on the CPU, kept if it is large and someone keeps memory."""
    memory = _current.get()
    if memory is None or count * FLOAT32_BYTES < WORTH_KEEPING_BYTES:
        return _new(count)
    return memory.take(count)


def _new(count: int) -> torch.Tensor:
    """Whatever type and device new tensors of this process are of by default."""
    return torch.empty(count, dtype=torch.float32, device="cpu")
