"""A network run over windows that overlap, its scores handed on as soon as no further window touches them.

The scores are those of MONAI's ``SlidingWindowInferer`` to the last bit: the same windows in the same order and the
same batches, added up and divided in the same order. But where that holds the scores of all classes for the whole
image, here windows run along the first axis, and what is held is, for the length of one window, the part that a
coming window still touches.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.plan import WindowPlan
from TransformerSegLib.inference.network_run import NetworkRun, ScoreBlock
from TransformerSegLib.inference.placement import Placement
from TransformerSegLib.inference.preparation import PreparedImage
from TransformerSegLib.inference.windows import importance, overlap_of, summed_importance, windows_over

if TYPE_CHECKING:
    import torch

LENGTH_OF_A_PIECE = 16
"""Most rows, and columns, whose sums are held and finished together."""


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


class SlidingWindow(NetworkRun):
    """A three-dimensional network run over windows of an image; ``arguments`` are those of every ``NetworkRun``."""

    def __init__(
        self,
        network: torch.nn.Module,
        image: PreparedImage,
        plan: WindowPlan,
        placement: Placement,
        **arguments,
    ) -> None:
        super().__init__(network, image, placement, **arguments)
        self.windows = windows_over(image.shape, plan)
        self._plan = plan
        self._weights: torch.Tensor | None = None
        # The image's columns in pieces along its first two axes; a piece has sums from its first window to its last.
        self._rows, self._columns = (
            _cut(starts, size) for starts, size in zip(self.windows.starts[:2], self.windows.image_size, strict=False)
        )
        self._sums: dict[tuple[int, int], torch.Tensor] = {}  # (classes, rows, columns, depth)

    def __len__(self) -> int:
        return len(self.windows)

    def blocks(self) -> Iterator[ScoreBlock]:
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
            self._on_done(done)

    def _move_in(self) -> None:
        super()._move_in()
        self._weights = importance(self._plan, self.windows, self.placement.device)

    def _go_on_with(self, placement: Placement) -> None:
        super()._go_on_with(placement)
        self._sums = {piece: sums.to(placement.accumulate_on) for piece, sums in self._sums.items()}
        self._weights = None if self._weights is None else self._weights.to(placement.device)

    def _scores(self, corners: list[tuple[int, int, int]]) -> torch.Tensor:
        """(B, classes, *roi): the scores of the first few of these windows, weighted; as many as a batch takes."""
        scores = self._answer([self._window(corner) for corner in corners[: self.placement.batch_size]])
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
