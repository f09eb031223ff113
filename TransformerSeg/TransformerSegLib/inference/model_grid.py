"""How the grid that a network sees lies on the grid of the input."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.inference.orientation import AS_IT_IS, Reorientation
from TransformerSegLib.inference.resampling import AxisMap, axis_maps
from TransformerSegLib.inference.respacing import Respacing, respacing


@dataclass(frozen=True, eq=False)
class ModelGrid:
    """The input's axes reordered (``before``), then resampled or not, then reordered again (``after``).

    Attributes:
        affine: 4×4, index on the model's grid → RAS in mm.
        shape: voxels along the three axes of the model's grid.
        resampled: None where the model sees the input's own voxels.
        nearest: whether it was resampled to the nearest voxel, rather than linearly.
    """

    affine: np.ndarray
    shape: tuple[int, int, int]
    before: Reorientation = AS_IT_IS
    resampled: Respacing | None = None
    after: Reorientation = AS_IT_IS
    nearest: bool = False

    def turned(self, turn: Reorientation) -> ModelGrid:
        """With its axes reordered once more."""
        affine, shape = turn.affine(self.affine, self.shape), tuple(self.shape[axis] for axis in turn.order)
        if self.resampled is None:
            return replace(self, affine=affine, shape=shape, before=self.before.then(turn))
        return replace(self, affine=affine, shape=shape, after=self.after.then(turn))

    def spaced(self, pixdim: tuple[float, float, float], nearest: bool = False) -> ModelGrid:
        """At other distances of voxel centres, in mm; the same grid where they are near enough already.

        Args:
            nearest: voxels are taken over, not interpolated; then so are labels on their way back.

        Raises:
            BundleRejected: it is resampled already.
        """
        respaced = respacing(self.affine, self.shape, pixdim)
        if respaced is None:
            return self
        if self.resampled is not None:
            raise BundleRejected(
                "The model's preparation resamples the volume twice",
                why="the result could not be brought back to the volume's own grid as the bundle means it",
                remedy="Leave only one Spacing in the preprocessing of the bundle's configs/inference.json",
            )
        return replace(self, affine=respaced.new_affine, shape=respaced.new_shape, resampled=respaced, nearest=nearest)

    def onto_input(self, array: np.ndarray) -> np.ndarray:
        """An array on the input's grid, seen along the model's axes (at the input's spacing): a view."""
        return self.after.view(self.before.view(array))

    def resampled_from_input(self) -> np.ndarray:
        """4×4: index after ``before``, on the input → index (not whole) before ``after``, on the resampled grid."""
        there = self.after.to_index(self.resampled.new_shape)
        back = self.after.inverse().to_index(self.shape)
        return self.resampled.new_from_old(there, back)

    def input_axes(self) -> tuple[AxisMap, AxisMap, AxisMap]:
        """How the voxels of ``onto_input`` lie between those of the model's grid, along each of its axes.

        Raises:
            ValueError: the grid is not resampled.
        """
        if self.resampled is None:
            raise ValueError("a grid that is not resampled has nothing to interpolate")
        resampled = self.resampled
        axes = axis_maps(self.resampled_from_input(), resampled.new_shape, resampled.shape)
        return tuple(
            axes[axis].reversed(resampled.new_shape[axis]) if flip else axes[axis] for axis, flip in self.after.axes()
        )
