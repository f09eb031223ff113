"""A network run over windows that overlap, its scores handed on as soon as no further window touches them.

The scores are those of MONAI's ``SlidingWindowInferer`` to the last bit: the same windows in the same order and the
same batches, added up and divided in the same order. But where that holds the scores of all classes for the whole
image, here windows run along the first axis, and what is held is, for the length of one window, the part that a
coming window still touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from TransformerSegLib.bundles.plan import WindowPlan
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.inference.placement import Placement, is_out_of_memory, nothing_smaller
from TransformerSegLib.inference.preparation import PreparedImage
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.windows import importance, overlap_of, summed_importance, windows_over

if TYPE_CHECKING:
    import torch

LENGTH_OF_A_PIECE = 16
"""Most rows, and columns, whose sums are held and finished together."""

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


def _cut(starts: tuple[int, ...], size: int) -> list[slice]:
    """An axis in pieces: cut where windows start, since what lies before a start is finished before it."""
    return [
        slice(first, min(first + LENGTH_OF_A_PIECE, stop))
        for start, stop in pairwise((*starts, size))
        for first in range(start, stop, LENGTH_OF_A_PIECE)
    ]


def _touched(pieces: list[slice], start: int, length: int) -> list[tuple[int, tuple[slice, slice]]]:
    """Which pieces a window touches along an axis, and where: counted from the piece's start, and the window's."""
    meeting = ((n, overlap_of(piece, start, length)) for n, piece in enumerate(pieces))
    return [(n, shared) for n, shared in meeting if shared is not None]


class SlidingWindow:
    """One run of a network over an image.

    Args:
        network: (B, C, *roi) float32 → (B, classes, *roi); it is moved to where it fits.
        on_windows: told after every batch how many windows are done.
        on_smaller: told when memory ran out and the run goes on with less: from where, to where.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        image: PreparedImage,
        plan: WindowPlan,
        placement: Placement,
        *,
        on_windows: Callable[[int], None] = lambda done: None,
        on_smaller: Callable[[Placement, Placement], None] = lambda before, after: None,
        cancel: CancelToken | None = None,
    ) -> None:
        self.windows = windows_over(image.shape, plan)
        self.placement = placement
        self._network = network
        self._image = image
        self._plan = plan
        self._on_windows = on_windows
        self._on_smaller = on_smaller
        self._cancel = cancel or CancelToken()
        self._weights: torch.Tensor | None = None
        # The image's columns in pieces along its first two axes; a piece has sums from its first window to its last.
        self._rows, self._columns = (
            _cut(starts, size) for starts, size in zip(self.windows.starts[:2], self.windows.image_size, strict=False)
        )
        self._sums: dict[tuple[int, int], torch.Tensor] = {}  # (classes, rows, columns, depth)

    def blocks(self) -> Iterator[ScoreBlock]:
        """Run the windows; give the image's scores block by block, rows rising, and columns within rows.

        Raises:
            BundleRejected: the network's output is not of its window's size.
            OutOfMemory: after every fallback.
            Cancelled: on the token's demand, between any two layers of the network.
        """
        self._with_the_memory_there_is(self._move_in)
        corners, done = self.windows.corners(), 0
        while done < len(corners):
            self._cancel.raise_if_cancelled()
            batch = self._with_the_memory_there_is(lambda start=done: self._scores(corners[start:]))
            for corner, scores in zip(corners[done:], batch, strict=False):
                self._cancel.raise_if_cancelled()
                self._with_the_memory_there_is(lambda corner=corner, scores=scores: self._add(corner, scores))
                if corner[2] == self.windows.starts[2][-1]:
                    yield from self._finished(corner)
            done += len(batch)
            del batch, scores
            self._on_windows(done)

    def _with_the_memory_there_is(self, work: Callable[[], Result]) -> Result:
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                smaller = self.placement.smaller()
                if smaller is None:
                    raise nothing_smaller() from error
            self._go_on_with(smaller)  # outside of "except", whose traceback keeps what did not fit alive

    def _move_in(self) -> None:
        """The network and the weights onto the device."""
        self._network.to(self.placement.device)
        self._weights = importance(self._plan, self.windows, self.placement.device)

    def _go_on_with(self, placement: Placement) -> None:
        before, self.placement = self.placement, placement
        self._on_smaller(before, placement)
        self._sums = {piece: sums.to(placement.accumulate_on) for piece, sums in self._sums.items()}
        if placement.device != before.device:
            self._network.to(placement.device)
            self._weights = None if self._weights is None else self._weights.to(placement.device)

    def _scores(self, corners: list[tuple[int, int, int]]) -> torch.Tensor:
        """(B, classes, *roi): the scores of the first few of these windows, weighted; as many as a batch takes."""
        import torch

        batch = [self._window(corner) for corner in corners[: self.placement.batch_size]]
        with torch.no_grad(), _asking_between_layers(self._cancel, self._network):
            scores = self._network(torch.stack(batch).to(self.placement.device))
        if not isinstance(scores, torch.Tensor) or scores.shape[2:] != self.windows.roi_size:
            raise BundleRejected(
                "The model's network does not answer with one score for each voxel of its window",
                why="its scores cannot be laid onto the volume",
                remedy="Check network_def and the inferer's roi_size in the bundle's configs/inference.json",
            )
        return scores if self._weights is None else scores.mul_(self._weights)

    def _window(self, corner: tuple[int, int, int]) -> torch.Tensor:
        from torch.nn.functional import pad

        window, padding = self._image.at(self.windows.inside(corner)), self.windows.padding()
        if not any(padding):
            return window
        value = self._plan.cval if self._plan.padding_mode == "constant" else None
        return pad(window, padding, mode=self._plan.padding_mode, value=value)

    def _add(self, corner: tuple[int, int, int], scores: torch.Tensor) -> None:
        """Add one window's scores to the sums of the pieces that it touches."""
        row, column, start = corner
        height, width, depth = self.windows.roi_size
        touched = [
            ((n, m), of_rows, of_columns)
            for n, of_rows in _touched(self._rows, row, height)
            for m, of_columns in _touched(self._columns, column, width)
        ]
        for piece, _, _ in touched:
            self._allocate(piece, len(scores))
        scores = scores.to(self.placement.accumulate_on)
        for piece, (in_rows, from_rows), (in_columns, from_columns) in touched:
            sums = self._sums[piece][:, in_rows, in_columns, start : start + depth]
            sums += scores[:, from_rows, from_columns]

    def _allocate(self, piece: tuple[int, int], classes: int) -> None:
        import torch

        if piece not in self._sums:
            rows, columns = self._rows[piece[0]], self._columns[piece[1]]
            size = (classes, rows.stop - rows.start, columns.stop - columns.start, self.windows.image_size[2])
            self._sums[piece] = torch.zeros(size, device=self.placement.accumulate_on)

    def _finished(self, corner: tuple[int, int, int]) -> Iterator[ScoreBlock]:
        """What no window behind this one touches, it being the last along the third axis."""
        rows, columns = self.windows.until_next(0, corner[0]), self.windows.until_next(1, corner[1])
        for m, some_columns in enumerate(self._columns):
            for n, some_rows in enumerate(self._rows):
                if columns.start <= some_columns.start < columns.stop and rows.start <= some_rows.start < rows.stop:
                    yield from self._block(n, m)

    def _block(self, n: int, m: int) -> Iterator[ScoreBlock]:
        """The sums of a piece divided, and without what lies in the padding."""
        rows, columns = self._rows[n], self._columns[m]
        self._with_the_memory_there_is(lambda: self._divide((n, m), rows, columns))
        sums = self._sums.pop((n, m))
        (above, below), (left, right), (front, back) = self.windows.margins
        height, width, depth = self.windows.image_size
        inside_rows = overlap_of(rows, above, height - above - below)
        inside_columns = overlap_of(columns, left, width - left - right)
        if inside_rows is None or inside_columns is None:
            return
        scores = sums[:, inside_rows[0], inside_columns[0], front : depth - back]
        yield ScoreBlock(inside_rows[1], inside_columns[1], scores)

    def _divide(self, piece: tuple[int, int], rows: slice, columns: slice) -> None:
        sums = self._sums[piece]
        sums /= summed_importance(self.windows, self._weights, rows, columns, sums.device)


@contextmanager
def _asking_between_layers(cancel: CancelToken, network: torch.nn.Module) -> Iterator[None]:
    """A batch of many windows takes long: it is left where it is when the run is cancelled."""

    def ask(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        cancel.raise_if_cancelled()

    hooks = [module.register_forward_pre_hook(ask) for module in network.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
