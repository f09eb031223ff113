"""Scores on the model's grid → labels on the input's own grid, without ever holding all classes at full size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.bundles.plan import Activation, OutputPlan
from TransformerSegLib.inference.discretising import Discretiser
from TransformerSegLib.inference.model_grid import ModelGrid
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.resampling import RowInterpolator, nearest_indices, row_positions
from TransformerSegLib.inference.sliding_window import ScoreBlock

if TYPE_CHECKING:
    import torch

COLUMNS_AT_A_TIME = 32
"""Columns (of all classes, at full depth) that are worked on together: little memory, and near to the processor."""


def restore(
    blocks: Iterable[ScoreBlock],
    grid: ModelGrid,
    output: OutputPlan,
    discretiser: Discretiser,
    numbers: np.ndarray,
    cancel: CancelToken | None = None,
) -> None:
    """Bring scores to the input's grid, as MONAI's ``Activationsd``, ``Invertd`` and ``AsDiscreted`` would.

    Scores are activated on the model's grid. Linear: they are interpolated row by row and discretised at once.
    Nearest neighbour (asked for, or because the image was resampled so): they are discretised on the model's grid
    first, which is all the same, and their numbers restored.

    Args:
        blocks: the model's scores; each is changed into labels as it comes, and let go.
        numbers: written to; (planes, I, J, K) on the input's grid, of the discretiser's planes and type.

    Raises:
        ScoresNotFinite: a score is NaN.
        Cancelled: on the token's demand, between rows.
    """
    rows = _activated_rows(blocks, output.activation, cancel or CancelToken())
    if grid.resampled is None:
        onto_input = [grid.onto_input(plane) for plane in numbers]
        _discretise(rows, discretiser, onto_input)
    elif output.nearest or output.restore_labels or grid.nearest:
        on_model = np.zeros((discretiser.planes, *grid.shape), discretiser.dtype)
        _discretise(rows, discretiser, list(on_model))
        _restore_nearest(on_model, grid, numbers, cancel or CancelToken())
    else:
        onto_input = [grid.onto_input(plane) for plane in numbers]
        _discretise(_interpolated(rows, grid), discretiser, onto_input)


Rows = Iterator[tuple[int, slice, "torch.Tensor"]]
"""Row, columns, and their scores (classes, columns, depth)."""


def _activated_rows(blocks: Iterable[ScoreBlock], activation: Activation, cancel: CancelToken) -> Rows:
    for block in blocks:
        pieces = range(0, block.scores.shape[2], COLUMNS_AT_A_TIME)
        for row in range(block.scores.shape[1]):
            cancel.raise_if_cancelled()
            for start in pieces:
                scores = block.scores[:, row, start : start + COLUMNS_AT_A_TIME]
                first = block.columns.start + start
                yield block.rows.start + row, slice(first, first + scores.shape[1]), _activated(scores, activation)


def _activated(scores: torch.Tensor, activation: Activation) -> torch.Tensor:
    match activation:
        case Activation.SOFTMAX:
            return scores.softmax(dim=0)
        case Activation.SIGMOID:
            return scores.sigmoid()
    return scores


def _interpolated(rows: Rows, grid: ModelGrid) -> Rows:
    """In float64 and then rounded, as MONAI does: where two classes meet half-way, the last bit decides."""
    interpolator = RowInterpolator(grid.input_axes())
    for row, columns, scores in rows:
        exact = scores.double() if scores.device.type != "mps" else scores  # Apple's GPUs know no float64
        for target_row, target_columns, values in interpolator.push(row, columns.start, exact):
            yield target_row, target_columns, values.float()


def _discretise(rows: Rows, discretiser: Discretiser, planes: list[np.ndarray]) -> None:
    for row, columns, scores in rows:
        for plane, values in zip(planes, discretiser.numbers(scores), strict=True):
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
