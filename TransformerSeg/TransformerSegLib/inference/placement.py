"""Where a run's work is done, and what is done where memory does not suffice for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from TransformerSegLib.errors import OutOfMemory
from TransformerSegLib.inference.devices import CPU
from TransformerSegLib.inference.parts import Part

# What torch's allocators say: CUDA and its libraries, Apple's MPS, the CPU on Linux, macOS and Windows.
_SAYINGS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cannot allocate memory",
    "alloc_failed",
)


@dataclass(frozen=True)
class Placement:
    """Where windows, or slices, are run and their scores added up.

    Attributes:
        device: of the network, as torch names it ("cuda:0", "mps", "cpu").
        accumulate_on: the device on which scores are added up.
        batch_size: windows, or slices, a forward pass.
        may_leave: whether the CPU does where the device's memory does not; not for what only the device computes well.
    """

    device: str
    accumulate_on: str
    batch_size: int
    may_leave: bool = True

    def smaller(self) -> Placement | None:
        """The next try with less memory: half the batch, then adding up on the CPU, then the CPU if it may; None at the
        end."""
        if self.batch_size > 1:
            return replace(self, batch_size=self.batch_size // 2)
        if self.accumulate_on != CPU:
            return replace(self, accumulate_on=CPU)
        if self.device != CPU and self.may_leave:
            return replace(self, device=CPU)
        return None

    def told_from(self, before: Placement, part: Part = Part.WINDOW) -> str:
        """A sentence for the user on how this differs from what was tried before."""
        if self.device != before.device:
            return f"The memory of {before.device} does not suffice: going on with the CPU, which is slower."
        if self.accumulate_on != before.accumulate_on:
            return f"The memory of {before.device} does not suffice: adding up the scores in the computer's memory."
        batch = part.counted(self.batch_size)
        return f"The memory of {before.device} does not suffice: {batch} at a time from here on."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or Python says that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error).lower() for saying in _SAYINGS)


def nothing_smaller(device: str = CPU) -> OutOfMemory:
    """The error for when every fallback failed.

    Args:
        device: on which it failed.
    """
    if device != CPU:
        return OutOfMemory(
            f"The memory of {device} does not suffice",
            why="it ran out even in the smallest steps, and the chosen speed is for this device alone",
            remedy="Choose “Standard”, which goes on with the CPU, or segment only a part of the volume (--roi)",
        )
    return OutOfMemory(
        "The computer's memory does not suffice",
        why="it ran out even in the smallest steps, on the CPU",
        remedy="Close other programs, or segment only a part of the volume (--roi)",
    )
