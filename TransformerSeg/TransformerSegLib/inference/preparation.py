"""Volumes as a network wants to see them: oriented, resampled and scaled as the bundle says.

Orientation is a view. Intensities are measured once and then changed window by window, on a copy of the window.
Only a change of spacing makes a new array. Voxels stay of the type in which they were stored for as long as possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.bundles.plan import IntensityStep, Orientation, PreparationStep, Spacing
from TransformerSegLib.inference.intensity import Pointwise, measured, measures_image
from TransformerSegLib.inference.model_grid import ModelGrid
from TransformerSegLib.inference.orientation import reorientation
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.resampling import (
    RowInterpolator,
    axis_maps,
    interpolated,
    nearest_indices,
    row_positions,
)
from TransformerSegLib.inference.respacing import Respacing
from TransformerSegLib.inference.volume import Volume

if TYPE_CHECKING:
    import torch

ROWS_AT_A_TIME = 16
"""Rows of the first axis that are read together where a volume is resampled."""


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """The network's input, of which any window can be had.

    Attributes:
        channels: one array (X, Y, Z) an input volume, along the axes of the model's grid; of any type and strides.
        intensity: what is done to the values of a window, in this order.
        grid: where it lies.
    """

    channels: tuple[np.ndarray, ...]
    intensity: tuple[Pointwise, ...]
    grid: ModelGrid

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.grid.shape

    def at(self, index: tuple[slice, slice, slice] | tuple[np.ndarray, np.ndarray, np.ndarray]) -> torch.Tensor:
        """(C, …) float32: the voxels at slices or at indices, ready for the network; a copy."""
        import torch

        part = torch.from_numpy(np.stack([channel[index] for channel in self.channels], dtype=np.float32))
        for step in self.intensity:
            part = step(part)
        return part


def prepare(
    volumes: Sequence[Volume],
    steps: Sequence[PreparationStep],
    cancel: CancelToken | None = None,
    measure_on: Sequence[Volume] | None = None,
) -> PreparedImage:
    """Do what a bundle's preprocessing does.

    Equal to MONAI's transforms of the same names to the last bit where nothing is resampled, and up to the rounding
    of float32 where something is.

    Args:
        volumes: one per channel, all on the same grid, which is the first one's.
        measure_on: of which ``volumes`` are a part; intensities are measured on these. None: on ``volumes``.

    Raises:
        BundleRejected: the steps resample twice.
        Cancelled: on the token's demand.
    """
    cancel = cancel or CancelToken()
    image = _unprepared(volumes)
    whole = None if measure_on is None else _unprepared(measure_on)
    for number, step in enumerate(steps):
        cancel.raise_if_cancelled()
        if not any(map(_measures, steps[number:])):
            whole = None
        image = _done(image, step, cancel, whole or image)
        if whole is not None and any(map(_measures, steps[number + 1 :])):
            whole = _done(whole, step, cancel, whole)
    return image


def _unprepared(volumes: Sequence[Volume]) -> PreparedImage:
    return PreparedImage(
        tuple(volume.array for volume in volumes), (), ModelGrid(volumes[0].affine, volumes[0].array.shape)
    )


def _measures(step: PreparationStep) -> bool:
    return not isinstance(step, Orientation | Spacing) and measures_image(step)


def _done(
    image: PreparedImage, step: PreparationStep, cancel: CancelToken, measured_on: PreparedImage
) -> PreparedImage:
    match step:
        case Orientation():
            return _oriented(image, step)
        case Spacing():
            return _spaced(image, step, cancel)
    return _scaled(image, step, measured_on)


def _oriented(image: PreparedImage, step: Orientation) -> PreparedImage:
    turn = reorientation(image.grid.affine, step.axcodes)
    return replace(image, channels=tuple(map(turn.view, image.channels)), grid=image.grid.turned(turn))


def _spaced(image: PreparedImage, step: Spacing, cancel: CancelToken) -> PreparedImage:
    grid = image.grid.spaced(step.pixdim, nearest=step.mode == "nearest")
    if grid is image.grid:
        return image
    resample = _nearest if grid.nearest else _linear_oblique if grid.resampled.oblique else _linear
    resampled = np.empty((len(image.channels), *grid.shape), np.float32)
    for row, values in resample(image, grid.resampled, cancel):
        resampled[:, row] = values
    return PreparedImage(tuple(resampled), (), grid)


def _linear(image: PreparedImage, respacing: Respacing, cancel: CancelToken) -> Iterator[tuple[int, torch.Tensor]]:
    """Rows of the new grid, each (C, Y, Z), computed in float64 as MONAI does by default."""
    rows = RowInterpolator(axis_maps(respacing.old_from_new, respacing.shape, respacing.new_shape))
    for start in range(0, respacing.shape[0], ROWS_AT_A_TIME):
        cancel.raise_if_cancelled()
        slab = image.at((slice(start, start + ROWS_AT_A_TIME), slice(None), slice(None)))
        for row in range(slab.shape[1]):
            for new_row, _, values in rows.push(start + row, 0, slab[:, row].double()):
                yield new_row, values


def _nearest(image: PreparedImage, respacing: Respacing, cancel: CancelToken) -> Iterator[tuple[int, torch.Tensor]]:
    for row in range(respacing.new_shape[0]):
        cancel.raise_if_cancelled()
        positions = row_positions(respacing.old_from_new, respacing.shape, respacing.new_shape, row)
        yield row, image.at(nearest_indices(positions))


def _linear_oblique(
    image: PreparedImage, respacing: Respacing, cancel: CancelToken
) -> Iterator[tuple[int, torch.Tensor]]:
    for row in range(respacing.new_shape[0]):
        cancel.raise_if_cancelled()
        along_rows, *others = row_positions(respacing.old_from_new, respacing.shape, respacing.new_shape, row)
        start = int(along_rows.min())
        slab = image.at((slice(start, int(along_rows.max()) + 2), slice(None), slice(None)))
        yield row, interpolated(slab.double().numpy(), [along_rows - start, *others])


def _scaled(image: PreparedImage, step: IntensityStep, measured_on: PreparedImage) -> PreparedImage:
    import torch

    whole = _whole(measured_on) if measures_image(step) else torch.empty((len(image.channels), 0, 0, 0))
    return replace(image, intensity=(*image.intensity, measured(step, whole)))


def _whole(image: PreparedImage) -> torch.Tensor:
    """(C, X, Y, Z) float32, a copy that lies in memory as MONAI's would: sums depend on it in their last bits.

    MONAI's image is flipped in memory, but permuted only as a view; each intensity step then asks for it to be
    contiguous, which torch grants only to the one permutation that it knows as channels_last.
    """
    import torch

    slow_to_fast = np.argsort([-abs(stride) for stride in image.channels[0].strides], kind="stable")
    stored = np.stack([channel.transpose(slow_to_fast) for channel in image.channels], dtype=np.float32)
    whole = torch.from_numpy(stored.transpose(0, *(1 + np.argsort(slow_to_fast))))
    for step in image.intensity:
        whole = step(whole.to(memory_format=torch.contiguous_format))
    return whole.to(memory_format=torch.contiguous_format)
