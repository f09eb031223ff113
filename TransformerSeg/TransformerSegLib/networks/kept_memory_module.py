"""Working memory that lasts from one window to the next. Imports torch: only modules of networks import it.

Memory of this size goes back to the system when it is freed, which hands it out again page by page, cleared: that takes
a twentieth of a window's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

WORTH_KEEPING_BYTES = 32 * 1024**2
"""Smaller blocks are kept by the C library."""

FLOAT32_BYTES = 4


class KeptMemory:
    """The large blocks that one image takes, in the order in which it takes them."""

    def __init__(self) -> None:
        self._blocks: list[torch.Tensor] = []
        self._taken = 0

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
            self._blocks.append(torch.empty(0))
        if self._blocks[self._taken].numel() != count:
            self._blocks[self._taken] = torch.empty(0)  # the old one goes before the new one comes
            self._blocks[self._taken] = torch.empty(count)
        self._taken += 1
        return self._blocks[self._taken - 1]


_current: ContextVar[KeptMemory | None] = ContextVar("kept memory", default=None)


def taken(count: int) -> torch.Tensor:
    """(count,) float32 of any value, on the CPU, kept if it is large and someone keeps memory."""
    memory = _current.get()
    if memory is None or count * FLOAT32_BYTES < WORTH_KEEPING_BYTES:
        return torch.empty(count)
    return memory.take(count)
