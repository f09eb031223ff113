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
    """

    affine: np.ndarray
    shape: tuple[int, int, int]
    before: Reorientation = AS_IT_IS
    resampled: Respacing | None = None
    after: Reorientation = AS_IT_IS

    def turned(self, turn: Reorientation) -> ModelGrid:
        """With its axes reordered once more."""
        affine, shape = turn.affine(self.affine, self.shape), tuple(self.shape[axis] for axis in turn.order)
        if self.resampled is None:
            return replace(self, affine=affine, shape=shape, before=self.before.then(turn))
        return replace(self, affine=affine, shape=shape, after=self.after.then(turn))

    def spaced(self, pixdim: tuple[float, float, float]) -> ModelGrid:
        """At other distances of voxel centres, in mm; the same grid where they are near enough already.

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
        return replace(self, affine=respaced.new_affine, shape=respaced.new_shape, resampled=respaced)

    def onto_input(self, array: np.ndarray) -> np.ndarray:
        """An array on the input's grid, seen along the model's axes (at the input's spacing): a view."""
        return self.after.view(self.before.view(array))

    def input_axes(self) -> tuple[AxisMap, AxisMap, AxisMap]:
        """How the voxels of ``onto_input`` lie between those of the model's grid, along each of its axes.

        Raises:
            ValueError: the grid is not resampled.
        """
        if self.resampled is None:
            raise ValueError("a grid that is not resampled has nothing to interpolate")
        resampled = self.resampled
        axes = axis_maps(resampled.new_from_old, resampled.new_shape, resampled.shape)
        return tuple(
            axes[axis].reversed(resampled.new_shape[axis]) if flip else axes[axis] for axis, flip in self.after.axes()
        )
