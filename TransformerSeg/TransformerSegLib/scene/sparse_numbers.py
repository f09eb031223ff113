"""Numbers at some of a grid's voxels, small enough to be kept as text."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence

import numpy as np

from TransformerSegLib.errors import ProposalDamaged

Index = tuple[int, int, int]
Box = tuple[slice, slice, slice]

PIECE = 1 << 16
"""So many voxels are packed anew with each change; those that came before stay packed."""

MOST_BYTES = 1 << 30
"""Of a piece, unpacked: a text that claims more is damaged, or made to fill the memory."""

_LEVEL = 1
_PLACE, _NUMBER = np.dtype("<u8"), np.dtype("<u4")


class SparseNumbers:
    """Numbers by voxel; a later one takes the place of an earlier one.

    Args:
        shape: (I, J, K) of the grid.
        pieces: packed ones, the earliest first.

    Raises:
        ProposalDamaged: a piece is something else, or was changed.
    """

    def __init__(self, shape: Index, pieces: Sequence[str] = ()) -> None:
        self._shape = shape
        self._packed = list(pieces)
        self._recent: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self._count = 0
        unpacked = [_unpacked(piece, int(np.prod(shape))) for piece in pieces]
        self._places = np.concatenate([np.zeros(0, _PLACE), *(places for places, _ in unpacked)])
        self._numbers = np.concatenate([np.zeros(0, _NUMBER), *(numbers for _, numbers in unpacked)])

    def __len__(self) -> int:
        return len(self._places)

    def note(self, voxels: np.ndarray, numbers: np.ndarray) -> None:
        """Add some.

        Args:
            voxels: (n, 3), indices.
            numbers: (n,).
        """
        places = np.ravel_multi_index(tuple(voxels.T), self._shape).astype(_PLACE)
        numbers = numbers.astype(_NUMBER)
        self._places = np.concatenate([self._places, places])
        self._numbers = np.concatenate([self._numbers, numbers])
        for parts, part in zip(self._recent, (places, numbers), strict=True):
            parts.append(part)
        self._count += len(places)
        if self._count > PIECE:
            self._packed = self.packed()
            self._recent, self._count = ([], []), 0

    def latest(self) -> tuple[np.ndarray, np.ndarray]:
        """Voxels (n, 3), each once, and their numbers (n,)."""
        places, first = np.unique(self._places[::-1], return_index=True)
        return self._voxels(places), self._numbers[::-1][first]

    def within(self, box: Box, otherwise: int) -> np.ndarray | None:
        """The numbers in a box, uint32; None where there are none.

        Args:
            otherwise: the number of voxels that have none.
        """
        start = np.array([extent.start for extent in box])
        shape = np.array([extent.stop - extent.start for extent in box])
        voxels = self._voxels(self._places) - start
        inside = ((voxels >= 0) & (voxels < shape)).all(axis=1)
        if not inside.any():
            return None
        result = np.full(shape, otherwise, np.uint32)
        result[tuple(voxels[inside].T)] = self._numbers[inside]  # of repeated voxels the last one counts
        return result

    def packed(self) -> list[str]:
        """As ``pieces``."""
        if not self._count:
            return list(self._packed)
        return [*self._packed, _packed(*(np.concatenate(parts) for parts in self._recent))]

    def _voxels(self, places: np.ndarray) -> np.ndarray:
        return np.stack(np.unravel_index(places.astype(np.int64), self._shape), axis=1)


def _packed(places: np.ndarray, numbers: np.ndarray) -> str:
    steps = np.diff(places.astype(np.int64), prepend=0)  # which are small, mostly, and alike
    data = steps.astype("<i8").tobytes() + numbers.tobytes()
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode("ascii")


def _unpacked(piece: str, voxels: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(base64.b64decode(piece, validate=True), MOST_BYTES)
        if unpacking.unconsumed_tail or not unpacking.eof:
            raise ValueError("too large, or cut off")
        count, rest = divmod(len(data), _PLACE.itemsize + _NUMBER.itemsize)
        if rest:
            raise ValueError("of another length")
        places = np.frombuffer(data, "<i8", count).cumsum()
        if count and not (places.min() >= 0 and places.max() < voxels):
            raise ValueError("outside of the grid")
        return places.astype(_PLACE), np.frombuffer(data, _NUMBER, count, count * _PLACE.itemsize)
    except (ValueError, TypeError, AttributeError, binascii.Error, zlib.error) as error:
        raise ProposalDamaged(
            "What clicks had changed in this segmentation can no longer be read",
            why="so it is not known which voxels were changed by a person, and all that clicks changed counts as such",
            remedy="Run the model into a new segmentation",
        ) from error
