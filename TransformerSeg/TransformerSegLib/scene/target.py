"""Whether a run's segments can go into a segmentation that is there already."""

from __future__ import annotations

import numpy as np
import slicer
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform, vtkTransform

from TransformerSegLib.errors import GridMismatch, OutputRejected
from TransformerSegLib.scene.labelmaps import BINARY_LABELMAP, labelmap_of, labels_of, segments_of
from TransformerSegLib.scene.lattice import Lattice
from TransformerSegLib.scene.volumes import numpy_matrix, volume_affine

_SAME_PLACE_MM = 1e-3
"""Transforms that differ by less, in their matrices, put a segment at the same place."""

_REMEDY = "Choose a new segmentation for the result"


def check_target(target: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Refuse a segmentation that does not lie on the volume. One without segments always fits.

    Raises:
        GridMismatch: it lies on another grid, or under another transform.
        OutputRejected: its segments are kept as surfaces.
    """
    if not target.GetSegmentation().GetNumberOfSegments():
        return
    check_labelmaps(target)
    if not same_place(target, volume_node):
        raise GridMismatch(
            f"“{target.GetName()}” and “{volume_node.GetName()}” lie under different transforms",
            why="the new segments would not lie where the volume is shown",
            remedy=f"{_REMEDY}, or put both under the same transform",
        )
    if not _same_grid(target, volume_node):
        raise GridMismatch(
            f"“{target.GetName()}” lies on another grid than “{volume_node.GetName()}”",
            why="its segments would have to be resampled, which changes what was drawn",
            remedy=_REMEDY,
        )


def check_labelmaps(target: slicer.vtkMRMLSegmentationNode) -> None:
    """Raises:
    OutputRejected: the segments are kept as surfaces.
    """
    if target.GetSegmentation().GetSourceRepresentationName() != BINARY_LABELMAP:
        raise OutputRejected(
            f"The segments of “{target.GetName()}” are kept as surfaces",
            why="voxels would have to be made of them, which changes what was drawn",
            remedy=f"{_REMEDY}, or make “{BINARY_LABELMAP}” its source in the module Segmentations",
        )


def same_place(target: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether the parent transforms of both put the same RAS at the same place."""
    one, other = target.GetParentTransformNode(), volume_node.GetParentTransformNode()
    if one is other:
        return True
    between, linear = vtkGeneralTransform(), vtkTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(one, other, between)
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(between, linear):
        return False
    return bool(np.allclose(numpy_matrix(linear.GetMatrix()), np.eye(4), atol=_SAME_PLACE_MM, rtol=0))


def _same_grid(target: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether voxels meet, and the volume does not reach beyond what the segmentation is saved and exported on."""
    image, affine = volume_node.GetImageData(), volume_affine(volume_node)
    if image is None:
        return False
    shape = image.GetDimensions()
    reference = reference_grid(target)
    if reference is not None:
        (i0, i1, j0, j1, k0, k1), reference_affine = reference
        lattice = Lattice.between(affine, reference_affine, shape)
        if lattice is None:
            return False
        covered, start = lattice.placed(np.empty(shape, np.bool_), (0, 0, 0))
        stop = np.add(start, covered.shape)
        return bool((np.greater_equal(start, (i0, j0, k0))).all() and (stop <= np.add((i1, j1, k1), 1)).all())
    labelmaps = {labelmap_of(segment) for segment in segments_of(target.GetSegmentation()).values()} - {None}
    grids = [labels for labels in map(labels_of, labelmaps) if labels.array.size]
    return not grids or any(Lattice.between(grid.affine, affine, grid.reach) for grid in grids)


def reference_grid(target: slicer.vtkMRMLSegmentationNode) -> tuple[tuple[int, ...], np.ndarray] | None:
    """Extent and affine of the grid on which Slicer edits and exports the segmentation; None where it has none."""
    converter = slicer.vtkSegmentationConverter
    text = target.GetSegmentation().GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    grid = slicer.vtkOrientedImageData()
    if not text or not converter.DeserializeImageGeometry(text, grid, False):
        return None
    return grid.GetExtent(), labels_of(grid).affine
