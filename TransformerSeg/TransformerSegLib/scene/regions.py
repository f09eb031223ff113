"""Regions of interest as Slicer's users place them, and boxes placed for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import slicer
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform, vtkTransform

from TransformerSegLib.errors import RegionRejected
from TransformerSegLib.export.segment_metadata import TAG_PREFIX
from TransformerSegLib.inference.region import Region
from TransformerSegLib.scene.volumes import numpy_matrix, volume_affine, vtk_matrix

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Card

AGAIN_ROLE = f"{TAG_PREFIX}again"
"""Of a segmentation's box in which it is to be segmented again."""

BOX_COLOR = (1.0, 0.75, 0.2)

_RIGHT_ANGLES = 1e-3
"""Cosine of the angle between two edges of a box, at most."""


def region_from_node(roi_node: slicer.vtkMRMLMarkupsROINode, volume_node: slicer.vtkMRMLScalarVolumeNode) -> Region:
    """The box of a markups ROI, in the volume node's own RAS; the parent transforms of both count.

    Raises:
        RegionRejected: it is not placed yet, no box, inside out, or bent or sheared by what lies between the two nodes.
    """
    name = f"“{roi_node.GetName()}”"
    boxes = (slicer.vtkMRMLMarkupsROINode.ROITypeBox, slicer.vtkMRMLMarkupsROINode.ROITypeBoundingBox)
    if roi_node.GetROIType() not in boxes or roi_node.GetInsideOut():
        raise RegionRejected(
            f"The region of interest {name} is not the inside of a box",
            why="only a box can be cut out of a volume",
            remedy="Place a new one",
        )
    size = np.array(roi_node.GetSize())
    if not (size > 0).all():
        raise RegionRejected(
            f"The region of interest {name} has no size",
            why="there is nothing in it",
            remedy="Place it in the slice views, by two of its corners",
        )
    to_ras = _between(roi_node, volume_node) @ numpy_matrix(roi_node.GetObjectToNodeMatrix())
    lengths = np.linalg.norm(to_ras[:3, :3], axis=0)
    axes = to_ras[:3, :3] / lengths
    if np.abs(axes.T @ axes - np.eye(3)).max() > _RIGHT_ANGLES:
        raise _bent(roi_node, volume_node)
    return Region(to_ras[:3, 3].copy(), size * lengths, axes)


def place_region(
    scene: slicer.vtkMRMLScene,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    size_mm: Sequence[float],
    center: Sequence[float] | None = None,
) -> slicer.vtkMRMLMarkupsROINode:
    """Put a box on a volume, inside of it, for a person to drag into place.

    Args:
        size_mm: along the volume's i, j and k; cut down to the volume where that is smaller.
        center: in the volume node's own RAS; None: the volume's. The box is moved to lie inside the volume.

    Returns:
        a visible ROI with handles, turned as the volume is and under the same parent transform.
    """
    affine, shape = volume_affine(volume_node), np.array(volume_node.GetImageData().GetDimensions())
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    size = np.minimum(np.asarray(size_mm, np.float64), shape * spacing)
    middle = (shape - 1) / 2
    if center is not None:
        middle = np.linalg.solve(affine, (*center, 1.0))[:3]
    half = size / spacing / 2
    middle = np.clip(middle, half - 0.5, shape - 0.5 - half)
    to_node = np.eye(4)
    to_node[:3, :3] = affine[:3, :3] / spacing
    to_node[:3, 3] = (affine @ (*middle, 1.0))[:3]
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", scene.GenerateUniqueName("Region"))
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetROIType(slicer.vtkMRMLMarkupsROINode.ROITypeBox)
    node.SetSize(size)
    node.SetAndObserveObjectToNodeMatrix(vtk_matrix(to_node))
    _show(node)
    return node


def suggested_size(card: Card) -> tuple[float, float, float] | None:
    """The edges, in mm, of a box that suits a model: the middle of what it was trained on; None where it takes any."""
    bounds = card.requirements.field_of_view_mm
    if bounds is None:
        return None
    return (sum(bounds) / 2,) * 3


def _show(node: slicer.vtkMRMLMarkupsROINode) -> None:
    display = node.GetDisplayNode()
    if display is None:
        return
    display.SetVisibility(True)
    display.SetHandlesInteractive(True)
    display.SetSelectedColor(BOX_COLOR)
    display.SetFillOpacity(0.1)
    display.SetPropertiesLabelVisibility(False)


def _between(roi_node: slicer.vtkMRMLMarkupsROINode, volume_node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """4×4: from the ROI node's own RAS to that of the volume node."""
    between, linear = vtkGeneralTransform(), vtkTransform()
    source, target = roi_node.GetParentTransformNode(), volume_node.GetParentTransformNode()
    if source is target:
        return np.eye(4)
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, between)
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(between, linear):
        raise _bent(roi_node, volume_node)
    return numpy_matrix(linear.GetMatrix())


def _bent(roi_node: slicer.vtkMRMLMarkupsROINode, volume_node: slicer.vtkMRMLScalarVolumeNode) -> RegionRejected:
    return RegionRejected(
        f"The region of interest “{roi_node.GetName()}” is no box on the voxels of “{volume_node.GetName()}”",
        why="a transform that bends or shears lies between the two",
        remedy="Put the region under the same transform as the volume",
    )
