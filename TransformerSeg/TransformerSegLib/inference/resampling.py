"""Resampling between two grids whose axes run the same way, row by row, so that little is held at a time.

A "row" is one index of the first axis with all that lies in it: a plane of voxels, for each channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class AxisMap:
    """Linear interpolation along one axis: target n is (1 - weight) · source[lower] + weight · source[upper].

    Outside of the source the border voxel is repeated.

    Attributes:
        lower, upper: source indices, whole numbers that do not fall; one per target.
        weight: 0…1, float64; one per target.
    """

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray

    @staticmethod
    def from_positions(positions: np.ndarray, source_size: int) -> AxisMap:
        """Made from where each target lies on the source's axis, in source indices, rising."""
        clamped = np.clip(positions, 0.0, source_size - 1.0)
        lower = np.minimum(np.floor(clamped).astype(np.int64), max(source_size - 2, 0))
        return AxisMap(lower, np.minimum(lower + 1, source_size - 1), clamped - lower)

    def reversed(self, source_size: int) -> AxisMap:
        """The same with source and target both counted from their other end."""
        last = source_size - 1
        return AxisMap(last - self.upper[::-1], last - self.lower[::-1], 1.0 - self.weight[::-1])

    def between(self, start: int, stop: int) -> slice:
        """The targets that can be computed once sources up to ``stop`` are known, and could not up to ``start``."""
        return slice(*(int(n) for n in np.searchsorted(self.upper, (start, stop))))

    def apply(self, source: torch.Tensor, axis: int, targets: slice, origin: int = 0) -> torch.Tensor:
        """Interpolate along an axis of a tensor whose index 0 is source index ``origin``."""
        import torch

        shape = [1] * source.ndim
        shape[axis] = -1
        weight = torch.as_tensor(self.weight[targets], dtype=source.dtype, device=source.device).reshape(shape)
        lower = taken(source, self.lower[targets] - origin, axis)
        return torch.lerp(lower, taken(source, self.upper[targets] - origin, axis), weight)


def taken(source: torch.Tensor, indices: np.ndarray, axis: int) -> torch.Tensor:
    """Those of a tensor's slices along an axis, in that order: a copy, where the tensor is."""
    import torch

    if source.device.type == "cpu":  # ten times faster than index_select along the last axis
        return torch.from_numpy(np.take(source.numpy(), indices, axis))
    return source.index_select(axis, torch.as_tensor(indices, device=source.device))


class RowInterpolator:
    """Linear interpolation of rows that come one after the other, in blocks that need not be whole rows.

    Each row is shortened or stretched along its own two axes as it comes, and waits only for its successor. Rows
    may be cut along the second axis into blocks, the same for all rows; of each cut, one column is kept.

    Args:
        axes: how each of the three axes of the target lies on the source's.
    """

    def __init__(self, axes: tuple[AxisMap, AxisMap, AxisMap]) -> None:
        self.axes = axes
        self._last_column: dict[int, torch.Tensor] = {}
        self._last_row: dict[int, torch.Tensor] = {}

    def push(self, row: int, start: int, block: torch.Tensor) -> Iterator[tuple[int, slice, torch.Tensor]]:
        """Take one block of one source row; give what can be computed with it.

        Args:
            row: index of the source row. Rows come in rising order, the blocks of a row likewise.
            start: where the block starts on the source's second axis.
            block: (C, columns, depth): columns ``start`` and following, whole along the third axis.

        Yields:
            Target row, target columns, and their values (C, columns, depth). Every target voxel comes once; but
            where memory ran out before the last of them, the block can be given again, also on another device.
        """
        import torch

        rows, columns, depth = self.axes
        stop = start + block.shape[1]
        block = depth.apply(block, 2, slice(None))
        last_column = block[:, -1:].clone()
        if start > 0:
            block = torch.cat((self._last_column[row].to(block), block), dim=1)
        targets = columns.between(start, stop)
        block = columns.apply(block, 1, targets, origin=max(start - 1, 0))
        if targets.start < targets.stop:
            previous = self._last_row.get(start, block).to(block)
            ready = rows.between(row, row + 1)
            for target in range(ready.start, ready.stop):
                yield target, targets, torch.lerp(previous, block, float(rows.weight[target]))
        self._last_row[start] = block
        self._last_column.pop(row, None)
        if stop <= columns.upper[-1]:
            self._last_column[row] = last_column


def axis_maps(
    source_from_target: np.ndarray, source_shape: tuple[int, int, int], target_shape: tuple[int, int, int]
) -> tuple[AxisMap, AxisMap, AxisMap]:
    """How the voxels of the target lie between those of the source, along each axis.

    Args:
        source_from_target: 4×4, index on the target's grid → index (not whole) on the source's; what it holds
            beside its diagonal and its last column is taken for rounding.
    """
    matrix = _between_faces(source_from_target, source_shape, target_shape)
    steps = [_face_coordinates(size) for size in target_shape]
    return tuple(
        AxisMap.from_positions(_index(steps[axis] * matrix[axis, axis] + matrix[axis, 3], size).numpy(), size)
        for axis, size in enumerate(source_shape)
    )


def row_positions(
    source_from_target: np.ndarray, source_shape: tuple[int, int, int], target_shape: tuple[int, int, int], row: int
) -> list[np.ndarray]:
    """Where the voxels of one target row lie on the source's grid, all three axes taken together.

    For what rounding decides. A voxel half-way between two others is common (2 mm restored to 1 mm), and so is one
    that should lie on another but comes out 10⁻¹⁶ beside it; on oblique grids either differs from voxel to voxel.

    Args:
        source_from_target: 4×4, index on the target's grid → index (not whole) on the source's.

    Returns:
        Positions along the source's three axes, each (Y, Z), float64, clamped to the first and last voxel.
    """
    import torch

    last_axis_first = [2, 1, 0]
    matrix = _between_faces(source_from_target, source_shape, target_shape)[last_axis_first][:, [2, 1, 0, 3]]
    steps = [_face_coordinates(size) for size in target_shape]
    planes = torch.meshgrid(steps[0][row : row + 1], *steps[1:], indexing="ij")
    targets = torch.stack([*reversed(planes), torch.ones_like(planes[0])], dim=-1)
    positions = (targets.reshape(-1, 4) @ matrix.T).reshape(*target_shape[1:], 3)
    return [_index(positions[..., 2 - axis], size).clamp(0, size - 1).numpy() for axis, size in enumerate(source_shape)]


def nearest_indices(positions: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The source voxels nearest to the positions; halves go to the even neighbour."""
    return tuple(np.rint(along_axis).astype(np.int64) for along_axis in positions)


def interpolated(source: np.ndarray, positions: list[np.ndarray]) -> np.ndarray:
    """Linear interpolation in float64 at any positions, as ``grid_sample`` sums it: corner by corner.

    Args:
        source: (C, X, Y, Z).
        positions: along X, Y and Z, each of one shape, within the first and last voxel.

    Returns:
        (C, *shape of the positions).
    """
    lower = [np.floor(along_axis) for along_axis in positions]
    weights = [((low + 1) - along, along - low) for low, along in zip(lower, positions, strict=True)]
    first = [low.astype(np.int64) for low in lower]
    total = np.zeros((source.shape[0], *positions[0].shape))
    for x, y, z in itertools.product((0, 1), repeat=3):
        corner = [np.minimum(n + up, size - 1) for n, up, size in zip(first, (x, y, z), source.shape[1:], strict=True)]
        total += source[:, *corner] * (weights[2][z] * weights[1][y] * weights[0][x])
    return total


# MONAI resamples by AffineTransform, over torch's affine_grid and grid_sample, whose coordinates run from -1 to 1
# between the outer faces of the first and the last voxel. To go the same way through the same roundings makes
# labels half-way between two voxels, and zeros beside other values, come out the same.


def _between_faces(
    source_from_target: np.ndarray, source_shape: tuple[int, int, int], target_shape: tuple[int, int, int]
) -> torch.Tensor:
    """3×4: face coordinates of the target → face coordinates of the source."""
    import torch

    to_index = torch.from_numpy(np.linalg.inv(_to_face_coordinates(target_shape).numpy()))
    return (_to_face_coordinates(source_shape) @ torch.as_tensor(source_from_target) @ to_index)[:3]


def _to_face_coordinates(shape: tuple[int, int, int]) -> torch.Tensor:
    """4×4: index → -1…1."""
    import torch

    sizes = torch.tensor(shape, dtype=torch.float64)
    matrix = torch.diag(torch.cat((2.0 / sizes, torch.ones(1, dtype=torch.float64))))
    matrix[:3, 3] = 1.0 / sizes - 1.0
    return matrix


def _face_coordinates(size: int) -> torch.Tensor:
    """Face coordinates of the voxel centres of one axis."""
    import torch

    if size == 1:
        return torch.zeros(1, dtype=torch.float64)
    return torch.linspace(-1, 1, size, dtype=torch.float64) * (size - 1) / size


def _index(face_coordinates: torch.Tensor, size: int) -> torch.Tensor:
    return ((face_coordinates + 1) * size - 1) / 2
