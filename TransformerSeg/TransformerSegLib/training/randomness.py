"""Random numbers that follow from a run's seed, so that a continued run repeats those of an uninterrupted one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from TransformerSegLib.training.processes import number_of_processes, process_number

if TYPE_CHECKING:
    from monai.engines import SupervisedTrainer
    from torch.utils.data import DataLoader

LOADING_PROCESSES = 8
"""That prepare patches while a GPU computes, at most."""

_EPOCHS, _CASES, _PROCESSES = 100_003, 1_000_003, 15_485_863
"""Primes that keep apart the seeds of a run's epochs, cases and processes."""


class RandomPart(Protocol):
    """What draws random numbers in a data set: MONAI's ``Randomizable``, a ``Compose`` of such among them."""

    def set_random_state(self, seed: int) -> object: ...


class PerCase:
    """A data set whose random numbers follow from seed, epoch and case: whoever reads a case, in whatever order, gets
    the same patch of it.

    Args:
        dataset: the cases, ``random_part`` included.
        random_part: of it.
        seed: of the run.
    """

    def __init__(self, dataset, random_part: RandomPart, seed: int) -> None:
        self.dataset = dataset
        self.random_part = random_part
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: tuple[int, int]):
        epoch, index = place
        self.random_part.set_random_state((self.seed * _EPOCHS + epoch) * _CASES + index)
        return self.dataset[index]


def loader_of(dataset, random_part: RandomPart, batch: int, seed: int, per_case: bool, device: str) -> DataLoader:
    """Batches of this process's share of the cases, in an order that follows from seed and epoch.

    Args:
        dataset: one item a case.
        random_part: of it.
        batch: cases a batch and process; cases that fill none are left out of the epoch.
        seed: of the run.
        per_case: whether random numbers follow from the case, so that they are the same with any number of processes,
            of training or of loading; otherwise from the epoch, as one stream.
        device: that the batches are for.
    """
    from monai.data import DataLoader, DistributedSampler

    class NumberedSampler(DistributedSampler):
        """Tells the epoch with every case; loading processes that outlive an epoch know it by no other way."""

        def __iter__(self):
            return ((self.epoch, index) for index in super().__iter__())

    processes, number = number_of_processes(), process_number()
    # MONAI's engine tells this sampler the epoch.
    kind = NumberedSampler if per_case else DistributedSampler
    # What does not fill a step of all processes is left out, as it is where one process makes the same steps.
    sampler = kind(dataset, num_replicas=processes, rank=number, shuffle=True, seed=seed, drop_last=processes > 1)
    cores = (os.cpu_count() or 1) // processes
    loading = min(LOADING_PROCESSES, cores - 1) if per_case and device.startswith("cuda") else 0
    return DataLoader(
        PerCase(dataset, random_part, seed) if per_case else dataset,
        batch_size=batch,
        sampler=sampler,
        drop_last=True,
        num_workers=max(0, loading),
        persistent_workers=loading > 0,
        pin_memory=loading > 0,
    )


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Have a GPU compute the same twice, as a CPU does anyway: its fastest ways add up in an order that chance decides.

    A few operations have no other way, such as the gradients of the trilinear interpolation in a pretraining's
    reconstruction: what follows from those differs by rounding from run to run.

    Args:
        device: that is trained on.
    """
    import torch

    if not device.startswith("cuda"):
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS asks for, before it is first called
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def seed_every_epoch(trainer: SupervisedTrainer, seed: int, random_part: RandomPart) -> None:
    """Each epoch's random numbers follow from seed, epoch and process alone; those of the first process are the ones
    that a run with a single process has."""
    import torch
    from ignite.engine import Events

    @trainer.on(Events.EPOCH_STARTED)
    def reseed(engine) -> None:
        epoch_seed = seed * _EPOCHS + engine.state.epoch + process_number() * _PROCESSES
        torch.manual_seed(epoch_seed)
        random_part.set_random_state(epoch_seed)
