"""Several processes that train one network: ``torchrun --nproc_per_node 2 -m TransformerSegLib.cli -- train …``.

Each takes its share of every step's cases; the gradients are averaged (Li et al. 2020, “PyTorch Distributed”), so that
two processes with a batch of b make the steps of one with a batch of 2b. The first alone writes, and talks. (Without
the “--”, torchrun takes “--run” and “--start” for options of its own that are cut short.)
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def number_of_processes() -> int:
    """How many processes ``torchrun`` started; 1 where it did not."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """This process's number among them, 0 for the first."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this is the process that writes and talks."""
    return process_number() == 0


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Meet the other processes for the time of the training.

    Args:
        device: on which each trains; of several GPUs each process takes its own.

    Yields:
        This process's device: ``device``, or where several processes share out GPUs, for example "cuda:1".
    """
    if number_of_processes() == 1:
        yield device
        return
    import ignite.distributed as idist

    on_gpu = device.startswith("cuda")
    idist.initialize("nccl" if on_gpu else "gloo")
    try:
        with warnings.catch_warnings():
            # Of a kernel that sees one channel, torch tells two orders in memory apart that are the same.
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            yield f"cuda:{idist.get_local_rank()}" if on_gpu else device
    finally:
        idist.finalize()


def wait_for_all() -> None:
    """Go on only when all processes have come here."""
    import ignite.distributed as idist

    idist.barrier()


def gathered(value: Any) -> list:
    """What each process holds, in the order of their numbers."""
    import torch.distributed as dist

    if number_of_processes() == 1:
        return [value]
    values: list = [None] * number_of_processes()
    dist.all_gather_object(values, value)
    return values


def in_step(network: torch.nn.Module, device: str) -> torch.nn.Module:
    """The network as the trainer sees it: with several processes one whose gradients are those of all."""
    if number_of_processes() == 1:
        return network
    from torch.nn.parallel import DistributedDataParallel

    # Every step uses the same parameters; MONAI's UNETR has some that none uses, which torch has to be told.
    return DistributedDataParallel(
        network, device_ids=[device] if device.startswith("cuda") else None, static_graph=True
    )
