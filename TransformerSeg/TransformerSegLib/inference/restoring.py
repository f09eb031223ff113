"""Scores on the model's grid → labels on the input's own grid, without ever holding all classes at full size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from TransformerSegLib.bundles.plan import Activation, OutputPlan
from TransformerSegLib.inference.discretising import Discretiser
from TransformerSegLib.inference.model_grid import ModelGrid
from TransformerSegLib.inference.network_run import ScoreBlock
from TransformerSegLib.inference.placement import is_out_of_memory
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.resampling import RowInterpolator, nearest_indices, row_positions
from TransformerSegLib.inference.threads import one_thread

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")

COLUMNS_AT_A_TIME = 32
"""Columns (of all classes, at full depth) that are worked on together: little memory, and near to the processor."""


OnScores = Callable[[int, slice, "torch.Tensor"], None]
"""Called with a row, columns, and their activated scores (classes, columns, depth)."""


class ScoreObserver(Protocol):
    """Sees a run's scores as they pass by."""

    def begin(self, grid: ModelGrid, shape: tuple[int, int, int], box: tuple[slice, slice, slice]) -> None:
        """Before the first scores: the model's grid, and on which part of the input's (I, J, K) it lies."""

    def take(self, row: int, columns: slice, scores: torch.Tensor) -> None:
        """As ``OnScores``."""


def not_observed(row: int, columns: slice, scores: torch.Tensor) -> None:
    """Nobody wants them."""


def restore(
    blocks: Iterable[ScoreBlock],
    grid: ModelGrid,
    output: OutputPlan,
    discretiser: Discretiser,
    numbers: np.ndarray,
    cancel: CancelToken | None = None,
    on_scores: OnScores = not_observed,
) -> None:
    """Bring scores to the input's grid, as MONAI's ``Activationsd``, ``Invertd`` and ``AsDiscreted`` would.

    Scores are activated on the model's grid. Linear: they are interpolated row by row and discretised at once.
    Nearest neighbour (asked for, or because the image was resampled so): they are discretised on the model's grid
    first, which is all the same, and their numbers restored. All this is done where the scores are, and on the CPU
    where memory lacks there.

    Args:
        blocks: the model's scores; each is changed into labels as it comes, and let go.
        numbers: written to; (planes, I, J, K) on the input's grid, of the discretiser's planes and type.
        on_scores: shown the scores as they are discretised, on the input's grid, along the model's axes. Not called
            where they are discretised on another grid.

    Raises:
        ScoresNotFinite: a score is NaN.
        Cancelled: on the token's demand, between rows.
    """
    cancel = cancel or CancelToken()
    if grid.resampled is not None and (output.nearest or output.restore_labels or grid.nearest):
        on_model = np.zeros((discretiser.planes, *grid.shape), discretiser.dtype)
        planes, interpolator = list(on_model), None
    else:
        on_model = None
        planes = [grid.onto_input(plane) for plane in numbers]
        interpolator = None if grid.resampled is None else RowInterpolator(grid.input_axes())
    for block in blocks:
        with one_thread():
            rows = _activated_rows(block, output.activation, cancel)
            restored = rows if interpolator is None else _interpolated(rows, interpolator)
            _discretise(restored, discretiser, planes, on_scores if on_model is None else not_observed)
    if on_model is not None:
        _restore_nearest(on_model, grid, numbers, cancel)


Rows = Iterator[tuple[int, slice, "torch.Tensor"]]
"""Row, columns, and their scores (classes, columns, depth)."""


def _activated_rows(block: ScoreBlock, activation: Activation, cancel: CancelToken) -> Rows:
    pieces = range(0, block.scores.shape[2], COLUMNS_AT_A_TIME)
    for row in range(block.scores.shape[1]):
        cancel.raise_if_cancelled()
        for start in pieces:
            scores = block.scores[:, row, start : start + COLUMNS_AT_A_TIME]
            first = block.columns.start + start
            activated = _or_on_the_cpu(lambda scores: _activated(scores, activation), scores)
            yield block.rows.start + row, slice(first, first + scores.shape[1]), activated


def _or_on_the_cpu(work: Callable[[torch.Tensor], Result], scores: torch.Tensor) -> Result:
    try:
        return work(scores)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return work(scores.cpu())


def _activated(scores: torch.Tensor, activation: Activation) -> torch.Tensor:
    match activation:
        case Activation.SOFTMAX:
            return scores.softmax(dim=0)
        case Activation.SIGMOID:
            return scores.sigmoid()
    return scores


def _interpolated(rows: Rows, interpolator: RowInterpolator) -> Rows:
    """In float64 and then rounded, as MONAI does: where two classes meet half-way, the last bit decides."""

    def push(row: int, start: int, scores: torch.Tensor) -> Rows:
        exact = scores.double() if scores.device.type != "mps" else scores  # Apple's GPUs know no float64
        for target_row, target_columns, values in interpolator.push(row, start, exact):
            yield target_row, target_columns, values.float()

    for row, columns, scores in rows:
        try:
            yield from push(row, columns.start, scores)
            continue
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        yield from push(row, columns.start, scores.cpu())  # all of it: what came already, comes again


def _discretise(rows: Rows, discretiser: Discretiser, planes: list[np.ndarray], on_scores: OnScores) -> None:
    for row, columns, scores in rows:
        on_scores(row, columns, scores)
        for plane, values in zip(planes, _or_on_the_cpu(discretiser.numbers, scores), strict=True):
            plane[row, columns] = values


def _restore_nearest(on_model: np.ndarray, grid: ModelGrid, numbers: np.ndarray, cancel: CancelToken) -> None:
    resampled, undo = grid.resampled, grid.after.inverse()
    planes = [(undo.view(source), grid.before.view(target)) for source, target in zip(on_model, numbers, strict=True)]
    source_from_target = grid.resampled_from_input()
    for row in range(resampled.shape[0]):
        cancel.raise_if_cancelled()
        positions = row_positions(source_from_target, resampled.new_shape, resampled.shape, row)
        for source, target in planes:
            target[row] = source[nearest_indices(positions)]
