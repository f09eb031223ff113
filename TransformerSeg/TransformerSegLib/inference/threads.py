"""How many of the processor's cores a piece of work takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Do small pieces of work without torch's further threads: to wait for these costs more than they do.

    Much more, tens of times, where other programs keep the processor busy. And every thread that computes with several
    keeps these for good: where there are then more of them than cores, all are sent to sleep after each layer, also
    those of a network that runs elsewhere. (The setting is the calling thread's own, but for threads that compute for
    the first time meanwhile.)
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
