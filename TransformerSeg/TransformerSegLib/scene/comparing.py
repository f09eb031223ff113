"""Two label arrays compared, segment by segment, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from TransformerSegLib.scene.labelmaps import HIGHEST_LABEL
from TransformerSegLib.scene.lattice import Index

Placed = tuple[np.ndarray, Index]
"""Labels, (I, J, K), and the index of the first of them on the grid that both arrays lie on."""

Box = tuple[slice, slice, slice]


def differing(members: Mapping[str, tuple[int, int]], one: Placed, other: Placed, axis: int) -> set[str]:
    """The members whose voxels are not the same in both arrays.

    Args:
        members: name → its label in the one, and in the other array. Labels of no member are background.
        one: whose memory runs along i, as in VTK.
        other: likewise, or along k.
        axis: the arrays are compared plane by plane across this axis: 1 where their memories run along different axes,
            so that both keep long pieces together, else 2.
    """
    own = [label for labels in members.values() for label in labels]
    highest = max(own)
    if highest > HIGHEST_LABEL or min(own) < 1:
        return set(members)
    if len(members) == 1:
        ((left_label, right_label),) = members.values()
        planes = _planes(one, other, axis)
        return set(members) if any(((a == left_label) != (b == right_label)).any() for a, b in planes) else set()
    codes = np.zeros((2, highest + 2), np.uint16)  # the last one is of all labels beyond
    for code, labels in enumerate(members.values(), start=1):
        codes[[0, 1], labels] = code
    same_codes = np.array_equal(*codes)
    found = np.zeros(len(members) + 1, bool)
    for left, right in _planes(one, other, axis):
        if same_codes and np.array_equal(left, right):
            continue
        left, right = np.broadcast_arrays(codes[0].take(left, mode="clip"), codes[1].take(right, mode="clip"))
        unlike = left != right
        if unlike.any():
            found[left[unlike]] = True
            found[right[unlike]] = True
    return {name for name, is_found in zip(members, found[1:], strict=True) if is_found}


def _planes(one: Placed, other: Placed, axis: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where both are, and where one is alone and not empty, beside a zero."""
    nothing = np.zeros((1, 1), np.uint8)
    start = np.maximum(one[1], other[1])
    stop = np.maximum(np.minimum(np.add(one[1], one[0].shape), np.add(other[1], other[0].shape)), start)
    left_box, right_box = (tuple(map(slice, start - first, stop - first)) for _, first in (one, other))
    left, right = np.moveaxis(one[0][left_box], axis, 0), np.moveaxis(other[0][right_box], axis, 0)
    for left_plane, right_plane in zip(left, right, strict=True):
        yield left_plane.T, np.ascontiguousarray(right_plane.T)
    for part in filter(np.any, _outside(one[0], left_box)):
        for plane in np.moveaxis(part, axis, 0):
            yield plane.T, nothing
    for part in filter(np.any, _outside(other[0], right_box)):
        for plane in np.moveaxis(part, axis, 0):
            yield nothing, plane.T


def _outside(array: np.ndarray, box: Box) -> Iterator[np.ndarray]:
    """What of an array is not in a box of it, in up to six parts."""
    if any(extent.start >= extent.stop for extent in box):
        yield array
        return
    i, j, k = box
    yield array[: i.start]
    yield array[i.stop :]
    yield array[i, : j.start]
    yield array[i, j.stop :]
    yield array[i, j, : k.start]
    yield array[i, j, k.stop :]
