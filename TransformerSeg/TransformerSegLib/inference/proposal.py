"""What a run proposed, small enough to be kept beside what a person makes of it."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from TransformerSegLib.errors import ProposalDamaged
from TransformerSegLib.inference.slabs import slabs

if TYPE_CHECKING:
    from TransformerSegLib.inference.segmentation import Segmentation

FORMAT = 1

COMPRESSION_LEVEL = 3
"""Labels shrink to a hundredth at any level; higher ones take several times as long."""

MAXIMUM_LAYER_BYTES = 4 * 1024**3
"""What a layer may take uncompressed: a file that claims more is damaged, or made to fill the memory."""

BYTES_CHECKED_AT_A_TIME = 1 << 20

TYPES = ("uint8", "uint16", "uint32")

Index = tuple[int, int, int]


@dataclass(frozen=True)
class CroppedLayer:
    """One label layer, without the rows, columns and planes at its sides that hold no label.

    Attributes:
        start: index (i, j, k) of its first voxel on the whole grid.
        size: voxels along i, j and k; all 0 for a layer without labels.
        type: of a label: one of ``TYPES``.
        data: the labels in C order, little-endian, compressed by zlib.
    """

    start: Index
    size: Index
    type: str
    data: bytes

    def labels(self) -> np.ndarray:
        """Of shape ``size``; a copy, read-only."""
        dtype = np.dtype(self.type).newbyteorder("<")
        return np.frombuffer(zlib.decompress(self.data), dtype).reshape(self.size)


@dataclass(frozen=True, eq=False)
class Proposal:
    """The label layers of a segmentation, compressed.

    Attributes:
        shape: (I, J, K) of the whole grid.
        affine: 4×4, index of the whole grid → RAS in mm.
        layers: as in ``Segmentation.layers``.
    """

    shape: Index
    affine: np.ndarray
    layers: tuple[CroppedLayer, ...]

    @classmethod
    def of(cls, segmentation: Segmentation) -> Self:
        """Compress a result; other threads run meanwhile."""
        layers = tuple(map(_cropped, segmentation.layers))
        return cls(tuple(segmentation.layers[0].shape), segmentation.affine.copy(), layers)

    def mask(self, layer: int, label: int) -> tuple[np.ndarray, Index]:
        """Which voxels of a layer hold a label.

        To look at several labels of a layer, unpack it once (``layers[n].labels()``).

        Returns:
            boolean, cropped to the label's own extent, and the index (i, j, k) of its first voxel on the whole grid;
            of no voxels where there is no such label.
        """
        mask = self.layers[layer].labels() == label
        box = occupied_box(mask)
        start = tuple(first + extent.start for first, extent in zip(self.layers[layer].start, box, strict=True))
        return np.ascontiguousarray(mask[box]), start

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "format": FORMAT,
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "layers": [
                {
                    "start": list(layer.start),
                    "size": list(layer.size),
                    "type": layer.type,
                    "zlib": base64.b64encode(layer.data).decode("ascii"),
                }
                for layer in self.layers
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Self:
        """What ``to_json`` gave. All of it is checked, the compressed labels too.

        Raises:
            ProposalDamaged: it is something else, or was changed.
        """
        try:
            if content["format"] != FORMAT:
                raise ValueError("another format")
            shape = _index(content["shape"])
            affine = np.array(content["affine"], np.float64)
            if affine.shape != (4, 4) or not np.isfinite(affine).all():
                raise ValueError("no affine")
            layers = tuple(_layer_from_json(layer, shape) for layer in content["layers"])
            if not layers:
                raise ValueError("no layers")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, binascii.Error, zlib.error) as error:
            raise ProposalDamaged(
                "What the model had proposed for this segmentation can no longer be read",
                why="so it is not known which voxels were changed by a person, and all count as changed",
                remedy="Run the model into a new segmentation",
            ) from error
        return cls(shape, affine, layers)


def occupied_box(array: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box that holds everything but zeros; of no voxels, at the origin, where there is nothing else."""
    occupied = [np.zeros(size, bool) for size in array.shape]
    for rows in slabs(array.shape):
        slab = array[rows] != 0
        planes = slab.any(axis=0)
        occupied[0][rows] = slab.any(axis=(1, 2))
        occupied[1] |= planes.any(axis=1)
        occupied[2] |= planes.any(axis=0)
    if not occupied[0].any():
        return (slice(0, 0),) * 3
    bounds = [np.flatnonzero(along)[[0, -1]] for along in occupied]
    return tuple(slice(int(first), int(last) + 1) for first, last in bounds)


def _cropped(layer: np.ndarray) -> CroppedLayer:
    box = occupied_box(layer)
    cropped = layer[box]
    compressor = zlib.compressobj(COMPRESSION_LEVEL)
    pieces = [
        compressor.compress(np.ascontiguousarray(cropped[rows], cropped.dtype.newbyteorder("<")))
        for rows in slabs(cropped.shape)
    ]
    pieces.append(compressor.flush())
    start, size = tuple(extent.start for extent in box), cropped.shape
    return CroppedLayer(start, size, layer.dtype.name, b"".join(pieces))


def _layer_from_json(content: Mapping[str, object], shape: Index) -> CroppedLayer:
    start, size = _index(content["start"]), _index(content["size"])
    if any(first + count > whole for first, count, whole in zip(start, size, shape, strict=True)):
        raise ValueError("outside of the grid")
    if content["type"] not in TYPES:
        raise ValueError("not labels")
    data = base64.b64decode(content["zlib"], validate=True)
    _check_length(data, math.prod(size) * np.dtype(content["type"]).itemsize)
    return CroppedLayer(start, size, content["type"], data)


def _check_length(data: bytes, expected: int) -> None:
    """Unpack piece by piece, keeping nothing."""
    if expected > MAXIMUM_LAYER_BYTES:
        raise ValueError("too large")
    unpacking, length = zlib.decompressobj(), 0
    while not unpacking.eof and length <= expected:
        piece = unpacking.decompress(data, BYTES_CHECKED_AT_A_TIME)
        data = unpacking.unconsumed_tail
        if not piece and not data and not unpacking.eof:
            raise ValueError("cut off")
        length += len(piece)
    if length != expected or unpacking.unused_data:
        raise ValueError("of another length")


def _index(values: object) -> Index:
    i, j, k = values
    if any(type(value) is not int or value < 0 for value in (i, j, k)):
        raise ValueError("no index")
    return i, j, k
