"""A network run over an image part by part, with as much memory as there is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.inference.placement import Placement, is_out_of_memory, nothing_smaller
from TransformerSegLib.inference.preparation import PreparedImage
from TransformerSegLib.inference.progress import CancelToken

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class ScoreBlock:
    """Finished scores of a part of the image.

    Attributes:
        rows, columns: which part, along the first and second axis; it is whole along the third.
        scores: (classes, rows, columns, depth), float32.
    """

    rows: slice
    columns: slice
    scores: torch.Tensor


class NetworkRun(ABC):
    """One run of a network over an image, whose parts (windows, slices) it sees in batches.

    Args:
        network: (B, C, *size) float32 → (B, classes, *size); it is moved to where it fits.
        on_done: told after every batch how many parts are done.
        on_smaller: told when memory ran out and the run goes on with less: from where, to where.

    Attributes:
        placement: where the run has come to.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        image: PreparedImage,
        placement: Placement,
        *,
        on_done: Callable[[int], None] = lambda done: None,
        on_smaller: Callable[[Placement, Placement], None] = lambda before, after: None,
        cancel: CancelToken | None = None,
    ) -> None:
        self.placement = placement
        self._network = network
        self._image = image
        self._on_done = on_done
        self._on_smaller = on_smaller
        self._cancel = cancel or CancelToken()

    @abstractmethod
    def __len__(self) -> int:
        """How many parts there are."""

    @abstractmethod
    def blocks(self) -> Iterator[ScoreBlock]:
        """Run the network; give the image's scores block by block, rows rising, and columns within rows.

        Raises:
            BundleRejected: the network's output is not of its input's size.
            OutOfMemory: after every fallback.
            Cancelled: on the token's demand, between any two layers of the network.
        """

    def _with_the_memory_there_is(self, work: Callable[[], Result]) -> Result:
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                smaller = self.placement.smaller()
                if smaller is None:
                    raise nothing_smaller(self.placement.device) from error
            self._go_on_with(smaller)  # outside of "except", whose traceback keeps what did not fit alive

    def _move_in(self) -> None:
        """The network onto the device."""
        self._network.to(self.placement.device)

    def _go_on_with(self, placement: Placement) -> None:
        before, self.placement = self.placement, placement
        self._on_smaller(before, placement)
        if placement.device != before.device:
            self._network.to(placement.device)

    def _answer(self, batch: list[torch.Tensor]) -> torch.Tensor:
        """(B, classes, *size): the network's scores for a batch of parts, each (C, *size)."""
        import torch

        with torch.no_grad(), _asking_between_layers(self._cancel, self._network):
            scores = self._network(_sent(torch.stack(batch), self.placement.device))
        if not isinstance(scores, torch.Tensor) or scores.shape[2:] != batch[0].shape[1:]:
            raise BundleRejected(
                "The model's network does not answer with one score for each voxel that it sees",
                why="its scores cannot be laid onto the volume",
                remedy="Check network_def and the size of the inferer in the bundle's configs/inference.json",
            )
        return scores


def _sent(images: torch.Tensor, device: str) -> torch.Tensor:
    """On the device. To a GPU of NVIDIA's they go from memory that stays in its place, so that nobody waits for them:
    while it works on one batch, the next one is made and sent."""
    if device.startswith("cuda"):
        return images.pin_memory().to(device, non_blocking=True)
    return images.to(device)


@contextmanager
def _asking_between_layers(cancel: CancelToken, network: torch.nn.Module) -> Iterator[None]:
    """A batch of many parts takes long: it is left where it is when the run is cancelled."""

    def ask(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        cancel.raise_if_cancelled()

    hooks = [module.register_forward_pre_hook(ask) for module in network.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
