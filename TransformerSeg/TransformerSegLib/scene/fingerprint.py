"""Whether a segment still has the voxels that it had, in another scene and after Slicer has saved it, too.

Slicer numbers labels anew when it saves, crops, counts voxels from another corner and turns left-handed grids round;
none of that changes which places in the patient belong to a segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

import numpy as np
import slicer

from TransformerSegLib.scene.labelmaps import Mask, mask_of

_TOLERANCE_MM = 0.01
"""By which corners may differ: headers are rounded."""

_TIE = 1e-3
"""Axes that are so nearly as steep as another count as equally steep, whatever rounding did to them."""

_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Fingerprint:
    """Of the voxels of a segment.

    Attributes:
        voxels: how many.
        digest: of the mask, with its axes along R, A, S as far as they go; hexadecimal.
        corners: of its bounding box, R, A, S in mm of the first voxel's centre and of the last one's; empty where the
            segment is.
    """

    voxels: int
    digest: str
    corners: tuple[float, ...]

    def is_of(self, other: Fingerprint) -> bool:
        """Whether both are of the same voxels at the same place."""
        return (
            (self.voxels, self.digest, len(self.corners)) == (other.voxels, other.digest, len(other.corners))
        ) and np.allclose(self.corners, other.corners, rtol=0, atol=_TOLERANCE_MM)

    def to_json(self) -> list[object]:
        """As plain JSON values."""
        return [self.voxels, self.digest, [round(corner, 4) for corner in self.corners]]

    @classmethod
    def from_json(cls, content: object) -> Self:
        """What ``to_json`` gave.

        Raises:
            ValueError, TypeError: it is something else.
        """
        voxels, digest, corners = content
        return cls(int(voxels), str(digest), tuple(float(corner) for corner in corners))


def fingerprint(segment: slicer.vtkSegment) -> Fingerprint | None:
    """Taken now; None where the segment has only a surface."""
    mask = mask_of(segment)
    return None if mask is None else fingerprint_of(mask)


def fingerprint_of(mask: Mask) -> Fingerprint:
    """Of a segment's voxels."""
    if not mask.array.size:
        return Fingerprint(0, "", ())
    axes, signs = _axes(mask.affine)
    turned = mask.array.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
    digest = blake2b(np.packbits(turned).tobytes(), digest_size=_DIGEST_BYTES)
    digest.update(np.array(turned.shape, "<i8").tobytes())
    first = np.array(mask.start)
    last = first + mask.array.shape - 1
    forwards = np.empty(3, bool)
    forwards[list(axes)] = np.array(signs) > 0
    ends = (np.where(forwards, first, last), np.where(forwards, last, first))
    corners = [float(part) for end in ends for part in (mask.affine @ (*end, 1))[:3]]
    return Fingerprint(int(np.count_nonzero(turned)), digest.hexdigest(), tuple(corners))


def _axes(affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Which axis of the grid runs most nearly along R, A and S, and which way (``_sign``).

    Each axis of the grid is taken once. It does not matter in which order the grid has its axes.
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, axes = [0, 1, 2], []
    for along in range(3):
        steepness = np.abs(directions[along, left])
        candidates = [axis for axis, value in zip(left, steepness, strict=True) if value > steepness.max() - _TIE]
        chosen = max(candidates, key=lambda axis: _rank(directions[:, axis]))
        axes.append(chosen)
        left.remove(chosen)
    return tuple(axes), tuple(_sign(directions[:, axis]) for axis in axes)


def _rank(direction: np.ndarray) -> tuple[float, ...]:
    """Puts equally steep axes in an order that depends neither on theirs in the grid nor on which way they point."""
    right, anterior, superior = direction
    products = right * anterior, right * superior, anterior * superior
    return tuple(np.round([*np.abs(direction), *products], 2) + 0.0)


def _sign(direction: np.ndarray) -> int:
    """1 for an axis that runs to R, A or S, whichever it runs along most; −1 for one that runs the other way."""
    steepness = np.abs(direction)
    steepest = int(np.flatnonzero(steepness > steepness.max() - _TIE)[0])
    return 1 if direction[steepest] > 0 else -1
