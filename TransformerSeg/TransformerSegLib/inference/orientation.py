"""Axes flipped and swapped, so that a volume runs the way a model expects: a view, never a copy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Which RAS axis a code names, and whether an index that runs towards the code runs along (+1) or against it.
_CODES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True)
class Reorientation:
    """A permutation of three axes, with flips.

    Attributes:
        order: axis a of the result is axis ``order[a]`` of what it is made from.
        flipped: per axis of the result, whether it runs against the axis that it is made from.
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    def axes(self) -> tuple[tuple[int, bool], ...]:
        """Per axis of the result: the axis that it is made from, and whether it runs against it."""
        return tuple(zip(self.order, self.flipped, strict=True))

    def view(self, array: np.ndarray) -> np.ndarray:
        """The array (three axes) seen in the new order; it shares the memory of what it is made from."""
        return array.transpose(self.order)[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]

    def then(self, other: Reorientation) -> Reorientation:
        """This, and then the other, as one."""
        return Reorientation(
            tuple(self.order[axis] for axis in other.order),
            tuple(self.flipped[axis] != flip for axis, flip in zip(other.order, other.flipped, strict=True)),
        )

    def inverse(self) -> Reorientation:
        """What undoes it."""
        origin = tuple(self.order.index(axis) for axis in range(3))
        return Reorientation(origin, tuple(self.flipped[axis] for axis in origin))

    def to_index(self, shape: tuple[int, ...]) -> np.ndarray:
        """4×4: index in the view of an array of this shape → index in the array."""
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1.0
        for axis, (source, flip) in enumerate(self.axes()):
            matrix[source, axis] = -1.0 if flip else 1.0
            matrix[source, 3] = shape[source] - 1.0 if flip else 0.0
        return matrix

    def affine(self, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The affine (index → RAS in mm) of the view of an array of this affine and shape."""
        return affine @ self.to_index(shape)


AS_IT_IS = Reorientation()


def reorientation(affine: np.ndarray, axcodes: str) -> Reorientation:
    """What brings a volume of this affine to MONAI's ``Orientation(axcodes)``, "RAS" say.

    Every index axis is named after the RAS axis nearest to it, the clearest axis first (the rule of nibabel's
    ``io_orientation``, which MONAI uses): nearest by the rotation part of the affine's polar decomposition.
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(directions)
    rotation = left @ right
    nearest: dict[int, tuple[int, int]] = {}
    for axis in np.argsort(-np.max(rotation**2, axis=0), kind="stable"):
        world = int(np.argmax(np.abs(rotation[:, axis])))
        nearest[world] = (int(axis), 1 if rotation[world, axis] > 0 else -1)
        rotation[world] = 0.0
    wanted = [(*nearest[_CODES[code][0]], _CODES[code][1]) for code in axcodes]
    return Reorientation(
        tuple(axis for axis, _, _ in wanted), tuple(sign != direction for _, sign, direction in wanted)
    )
