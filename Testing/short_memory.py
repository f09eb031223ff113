"""Memory that runs out where a test wants it, said with torch's own error."""

from __future__ import annotations

import torch
from torch.overrides import TorchFunctionMode


class MemoryRunsOut(TorchFunctionMode):
    """While entered: the first few calls of one of torch's functions, or of all, fail.

    Args:
        function: its name; of a method as well.
        times: how many calls.
    """

    def __init__(self, function: str, times: int = 1) -> None:
        super().__init__()
        self.function = function
        self.left = times

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if self.left and func.__name__ == self.function:
            self.left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return func(*args, **(kwargs or {}))
