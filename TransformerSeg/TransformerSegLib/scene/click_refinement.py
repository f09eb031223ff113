"""The learned step of a correction, on the volume that a segmentation was made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import slicer

from TransformerSegLib.interaction.refining import LearnedRefinement
from TransformerSegLib.interaction.trained_refiner import TrainedRefiner, refiner_at_hand
from TransformerSegLib.scene.volumes import volume_affine, voxels

if TYPE_CHECKING:
    from TransformerSegLib.interaction.correction import Situation
    from TransformerSegLib.scene.segment_voxels import Grid


class ClickRefinement:
    """A corrector's ``Refine`` that follows a scene; where there is no volume or no network, it changes nothing.

    Args:
        node: the segmentation.
        refiner: gives the network, or None.
    """

    def __init__(
        self,
        node: slicer.vtkMRMLSegmentationNode,
        refiner: Callable[[], TrainedRefiner | None] = refiner_at_hand,
    ) -> None:
        self._node = node
        self._refiner = refiner
        self._learned: LearnedRefinement | None = None

    def take_up(self, grid: Grid | None) -> None:
        """The volume and its voxels as they are by now.

        Args:
            grid: that clicks are counted on; None: there is none yet.
        """
        image = _voxels_on(self._node, grid) if grid is not None else None
        refiner = self._refiner() if image is not None else None
        self._learned = refiner and LearnedRefinement(refiner.network, image, refiner.card.spacing_mm)

    def __call__(self, situation: Situation) -> np.ndarray:
        return situation.corrected.copy() if self._learned is None else self._learned(situation)


def _voxels_on(node: slicer.vtkMRMLSegmentationNode, grid: Grid) -> np.ndarray | None:
    """A view of the reference volume's voxels, (I, J, K); None where it does not lie on the grid, voxel for voxel."""
    volume = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    image = volume.GetImageData() if isinstance(volume, slicer.vtkMRMLScalarVolumeNode) else None
    if image is None or image.GetDimensions() != grid.shape or image.GetNumberOfScalarComponents() != 1:
        return None
    return voxels(image).T if np.allclose(volume_affine(volume), grid.affine) else None
