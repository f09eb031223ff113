"""A two-dimensional network run over a volume slice by slice.

As the official test code of TransUNet and Swin-Unet does (``test_single_volume``): each slice is zoomed to the size
that the network wants, with cubic interpolation, and what the network says of it is zoomed back to the nearest voxel.
That code zooms labels, here scores are zoomed: each voxel takes those of one voxel that the network saw, and the
highest of them is the same label. So all that follows a network's scores follows these, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.bundles.plan import OutputPlan, SlicePlan
from TransformerSegLib.inference.cubic_zoom import cubic_zoom
from TransformerSegLib.inference.nearest_zoom import OUTSIDE, nearest_zoom
from TransformerSegLib.inference.network_run import NetworkRun, ScoreBlock
from TransformerSegLib.inference.placement import Placement
from TransformerSegLib.inference.preparation import PreparedImage
from TransformerSegLib.inference.resampling import taken

if TYPE_CHECKING:
    import torch

CERTAIN = 1e4
"""A score of what is certain, and its negative of what is ruled out: even after softmax and sigmoid, float32."""


class SliceRun(NetworkRun):
    """A network run over the slices of an image, which lie across its first axis.

    Args:
        output: how scores become labels; with it goes what a voxel outside of the zoomed labels scores.
        arguments: those of every ``NetworkRun``.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        image: PreparedImage,
        plan: SlicePlan,
        output: OutputPlan,
        placement: Placement,
        **arguments,
    ) -> None:
        super().__init__(network, image, placement, **arguments)
        self._exclusive = output.threshold is None
        sizes = list(zip(image.shape[1:], plan.size, strict=True))
        as_they_are = all(own == wanted for own, wanted in sizes)
        self._there = None if as_they_are else [cubic_zoom(own, wanted) for own, wanted in sizes]
        self._back = None if as_they_are else [nearest_zoom(wanted, own) for own, wanted in sizes]

    def __len__(self) -> int:
        return self._image.shape[0]

    def blocks(self) -> Iterator[ScoreBlock]:
        self._with_the_memory_there_is(self._move_in)
        done = 0
        while done < len(self):
            self._cancel.raise_if_cancelled()
            batch = self._with_the_memory_there_is(lambda first=done: self._scores(first))
            for row, scores in enumerate(batch, done):
                self._cancel.raise_if_cancelled()
                yield self._with_the_memory_there_is(lambda row=row, scores=scores: self._block(row, scores))
            done += len(batch)
            del batch, scores
            self._on_done(done)

    def _scores(self, first: int) -> torch.Tensor:
        """(B, classes, *size): the scores of this slice and of those behind it, as many as a batch takes."""
        stop = min(first + self.placement.batch_size, len(self))
        return self._answer([self._slice(row) for row in range(first, stop)])

    def _slice(self, row: int) -> torch.Tensor:
        """(C, *size) float32: a slice as large as the network wants it; zoomed in float64, as scipy does."""
        import torch

        seen = self._image.at((slice(row, row + 1), slice(None), slice(None)))[:, 0]
        if self._there is None:
            return seen
        along_rows, along_columns = self._there
        return torch.from_numpy((along_rows @ seen.double().numpy() @ along_columns.T).astype(np.float32))

    def _block(self, row: int, scores: torch.Tensor) -> ScoreBlock:
        """A slice's scores (classes, *size) at its own size."""
        scores = scores.to(self.placement.accumulate_on)
        if self._back is not None:
            for axis, indices in enumerate(self._back, start=1):
                scores = taken(scores, np.maximum(indices, 0), axis)
                self._rule_out(scores, axis, np.flatnonzero(indices == OUTSIDE))
        return ScoreBlock(slice(row, row + 1), slice(0, scores.shape[1]), scores[:, np.newaxis])

    def _rule_out(self, scores: torch.Tensor, axis: int, outside: np.ndarray) -> None:
        """What is outside gets scipy's zero: the label 0, or none of the classes where they may overlap."""
        import torch

        where = torch.as_tensor(outside, device=scores.device)
        scores.index_fill_(axis, where, -CERTAIN)
        if self._exclusive:
            scores[0].index_fill_(axis - 1, where, CERTAIN)
