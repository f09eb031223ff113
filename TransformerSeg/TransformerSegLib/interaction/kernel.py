"""How much a voxel's correction has to do with that of a voxel some millimetres away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TransformerSegLib.interaction.neighbourhood import Box, Spacing


@dataclass(frozen=True)
class Kernel:
    """A sum of Gaussians of the distance, and a part that is the voxel's own.

    Gaussians are positive definite in any number of dimensions, and a product of one factor an axis on a grid whose
    axes are at right angles: a sum over clicks is then a matrix product. The voxel's own part (a “nugget”, as
    kriging calls it) keeps neighbouring clicks that say opposite things from throwing up waves all around.

    Attributes:
        parts: weight and standard deviation, in mm, of each Gaussian.
        own: what is added where the two voxels are the same.
    """

    parts: tuple[tuple[float, float], ...]
    own: float

    def between(self, voxels: np.ndarray, spacing: Spacing) -> np.ndarray:
        """(n, n) float64, of n voxels.

        Args:
            voxels: (n, 3), indices.
            spacing: of voxel centres, in mm.
        """
        offsets = (voxels[:, None] - voxels[None]) * np.asarray(spacing)
        squared = (offsets**2).sum(axis=-1)
        smooth = sum(weight * np.exp(-squared / (2.0 * sigma**2)) for weight, sigma in self.parts)
        return smooth + self.own * (squared == 0.0)

    def spread(self, amounts: np.ndarray, voxels: np.ndarray, box: Box, spacing: Spacing) -> np.ndarray:
        """Σ over the voxels: amount × kernel, at each voxel of a box.

        Args:
            amounts: (classes, n).
            voxels: (n, 3), indices; those outside of the box count too.

        Returns:
            (classes, *box), float32.
        """
        shape = tuple(extent.stop - extent.start for extent in box)
        total = np.zeros((len(amounts), *shape), np.float32)
        for weight, sigma in self.parts:
            i, j, k = (
                np.exp(-(((np.arange(extent.start, extent.stop) - at[:, None]) * step) ** 2) / (2.0 * sigma**2))
                for extent, at, step in zip(box, voxels.T, spacing, strict=True)
            )
            plane = np.einsum("nj,nk->njk", j, k).reshape(len(voxels), -1)
            rows = weight * amounts[:, None] * i.T  # (classes, i, n)
            total += (rows.reshape(-1, len(voxels)) @ plane).reshape(total.shape)
        starts = np.array([extent.start for extent in box])
        for amount, place in zip(amounts.T, voxels - starts, strict=True):
            if (place >= 0).all() and (place < shape).all():
                total[:, *place] += self.own * amount
        return total
