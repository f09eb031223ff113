"""Large arrays piece by piece: little memory, and no step that holds up other threads for long."""

from __future__ import annotations

from collections.abc import Iterator

VOXELS_AT_A_TIME = 1_000_000


def slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Rows of the first axis, some at a time, that together cover an array of this shape."""
    rows = max(VOXELS_AT_A_TIME // max(shape[1] * shape[2], 1), 1)
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))
