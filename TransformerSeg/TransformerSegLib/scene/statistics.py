"""Volume and mean intensity of segments as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import slicer

from TransformerSegLib.scene.labelmaps import Mask, mask_of
from TransformerSegLib.scene.lattice import Lattice
from TransformerSegLib.scene.target import same_place
from TransformerSegLib.scene.volumes import volume_affine, voxels

if TYPE_CHECKING:
    from TransformerSegLib.inference.statistics import Statistics

MM3_PER_ML = 1000.0


def segment_statistics_of(
    node: slicer.vtkMRMLSegmentationNode,
    segment_id: str,
    volume_node: slicer.vtkMRMLScalarVolumeNode | None,
) -> Statistics:
    """Measure one segment. Touches no more of the volume than the box around it.

    Args:
        volume_node: whose intensities are averaged. The mean is None without a volume, where the segment is empty,
            where it reaches beyond the volume, and where their voxels do not meet.
    """
    from TransformerSegLib.inference.statistics import Statistics

    mask = mask_of(node.GetSegmentation().GetSegment(segment_id))
    if mask is None or not mask.array.size:
        return Statistics(0.0, None, 0)
    count = int(np.count_nonzero(mask.array))
    voxel_ml = abs(float(np.linalg.det(mask.affine))) / MM3_PER_ML
    image = None
    if volume_node is not None and volume_node.GetImageData() is not None and same_place(node, volume_node):
        image = _intensities(mask, volume_node)
    return Statistics(count * voxel_ml, None if image is None else float(image.mean(dtype=np.float64)), count)


def _intensities(mask: Mask, volume_node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray | None:
    """Those of the volume's voxels that are in the mask."""
    image = volume_node.GetImageData()
    if not image.GetNumberOfPoints() or image.GetNumberOfScalarComponents() != 1:
        return None
    reach = np.abs(mask.start) + mask.array.shape
    lattice = Lattice.between(mask.affine, volume_affine(volume_node), reach)
    if lattice is None:
        return None
    placed, start = lattice.placed(mask.array, mask.start)
    if min(start) < 0 or (np.add(start, placed.shape) > image.GetDimensions()).any():
        return None
    box = tuple(slice(first, first + count) for first, count in zip(start, placed.shape, strict=True))
    return voxels(image).transpose(2, 1, 0)[box][placed]
