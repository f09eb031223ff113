"""Voxels put into the order of memory that the engine works in."""

from __future__ import annotations

import numpy as np

TILE = 32
"""Voxels. 32×32 of them, of 8 bytes, are read and written within a processor's first cache."""


def c_order(array: np.ndarray) -> np.ndarray:
    """A C-contiguous array, of native byte order, with the voxels of ``array``, shape (I, J, K).

    The array itself if it is one already. Otherwise a copy, made in tiles: of an array whose first axis is the
    fastest, which is how image files store them, NumPy's own copy takes four times as long.
    """
    native = array.dtype.newbyteorder("=")
    if array.flags.c_contiguous and array.dtype == native and type(array) is np.ndarray:
        return array
    copy = np.empty(array.shape, native)
    for i in range(0, array.shape[0], TILE):
        for k in range(0, array.shape[2], TILE):
            copy[i : i + TILE, :, k : k + TILE] = array[i : i + TILE, :, k : k + TILE]
    return copy
