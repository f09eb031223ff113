"""The labelmaps that the segments of a segmentation share, as numpy sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import slicer
from vtkmodules.util.numpy_support import get_vtk_array_type
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from TransformerSegLib.export.label_layer import occupied_extent, reversed_axes
from TransformerSegLib.scene.lattice import Index
from TransformerSegLib.scene.volumes import numpy_matrix, voxels, vtk_matrix

BINARY_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
CLOSED_SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()

HIGHEST_LABEL = 65535
"""Those of this project's classes; a table of what is to be done with each is short."""


@dataclass(frozen=True, eq=False)
class Labels:
    """A live view of a labelmap (a copy where its labels are no integers).

    Attributes:
        array: (I, J, K); its memory runs along i, so that steps along k are the longest.
        start: index of its first voxel.
        affine: 4×4, index → mm in the frame of the segmentation node.
    """

    array: np.ndarray
    start: Index
    affine: np.ndarray

    @property
    def reach(self) -> Index:
        """The farthest index from the origin, on each axis."""
        return tuple(
            max(abs(first), abs(first + count)) for first, count in zip(self.start, self.array.shape, strict=True)
        )

    def same_place(self, other: Labels) -> bool:
        """Whether the other's voxels are of the same kind, and lie where these do."""
        mine, yours = ((*one.start, *one.array.shape, one.array.dtype) for one in (self, other))
        return mine == yours and np.array_equal(self.affine, other.affine)


@dataclass(frozen=True, eq=False)
class Mask:
    """The voxels of one segment.

    Attributes:
        array: boolean, (I, J, K), cropped to where the segment is; of no voxels where it is empty.
        start: index of its first voxel.
        affine: 4×4, index → mm in the frame of the segmentation node.
    """

    array: np.ndarray
    start: Index
    affine: np.ndarray


def labelmap_of(segment: slicer.vtkSegment) -> slicer.vtkOrientedImageData | None:
    """The labelmap that a segment shares with others; None where it has only a surface."""
    return segment.GetRepresentation(BINARY_LABELMAP)


def labels_of(labelmap: slicer.vtkOrientedImageData) -> Labels:
    """What a labelmap holds; it may be of no voxels."""
    matrix = vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    if labelmap.IsEmpty() or labelmap.GetPointData().GetScalars() is None:
        return Labels(np.zeros((0, 0, 0), np.uint8), (0, 0, 0), numpy_matrix(matrix))
    array = voxels(labelmap)
    if array.dtype.kind not in "iu":
        array = array.astype(np.int64)
    return Labels(array.transpose(2, 1, 0), labelmap.GetExtent()[::2], numpy_matrix(matrix))


def mask_of(segment: slicer.vtkSegment) -> Mask | None:
    """The voxels of a segment. Looks through its labelmap a slice at a time; None where it has only a surface."""
    labelmap = labelmap_of(segment)
    if labelmap is None:
        return None
    return mask_in(labels_of(labelmap), segment.GetLabelValue())


def mask_in(labels: Labels, label: int) -> Mask:
    """The voxels of one label."""
    box = _box_of(labels.array, label)
    start = tuple(first + extent.start for first, extent in zip(labels.start, box, strict=True))
    return Mask(labels.array[box] == label, start, labels.affine)


def make_labelmap(
    layer: np.ndarray, affine: np.ndarray, label_type: np.dtype, start: Index = (0, 0, 0)
) -> slicer.vtkOrientedImageData:
    """A labelmap of what is not empty in a layer; its extent counts from the first voxel of the whole grid.

    Args:
        layer: labels, (I, J, K).
        affine: 4×4, index → mm, of the whole grid.
        label_type: that holds every label.
        start: index of the layer's first voxel on the whole grid.
    """
    labelmap = slicer.vtkOrientedImageData()
    extent = occupied_extent(layer) if layer.size else None
    if extent is not None:
        shifted = [bound + start[number // 2] for number, bound in enumerate(extent)]
    labelmap.SetExtent((0, -1, 0, -1, 0, -1) if extent is None else shifted)
    labelmap.AllocateScalars(get_vtk_array_type(label_type), 1)
    labelmap.SetImageToWorldMatrix(vtk_matrix(affine))
    if extent is not None:
        i0, i1, j0, j1, k0, k1 = extent
        reversed_axes(layer[i0 : i1 + 1, j0 : j1 + 1, k0 : k1 + 1], out=voxels(labelmap))
    return labelmap


def drop_strays(segmentation: slicer.vtkSegmentation, labelmaps: Iterable[slicer.vtkOrientedImageData]) -> None:
    """Give the segments that share a labelmap a copy without the labels that belong to no segment any more.

    Otherwise such labels would be saved, and could pass for those of a segment that is added later. The labelmaps
    themselves are not changed.
    """
    for labelmap in dict.fromkeys(labelmaps):
        sharing = [s for s in segments_of(segmentation).values() if labelmap_of(s) is labelmap]
        if not sharing:
            continue
        cleaned = slicer.vtkOrientedImageData()
        cleaned.DeepCopy(labelmap)
        if labels_of(labelmap).array.size:
            _keep_only([segment.GetLabelValue() for segment in sharing], voxels(cleaned))
        for segment in sharing:
            segment.AddRepresentation(BINARY_LABELMAP, cleaned)


def segments_of(segmentation: slicer.vtkSegmentation) -> dict[str, slicer.vtkSegment]:
    """By their ids, in the order in which they are shown."""
    return {segment_id: segmentation.GetSegment(segment_id) for segment_id in segmentation.GetSegmentIDs()}


def _keep_only(labels: list[int], array: np.ndarray) -> None:
    """Set everything else to zero, in place."""
    if array.dtype.kind not in "iu" or not 0 < min(labels) <= max(labels) <= HIGHEST_LABEL:
        array[~np.isin(array, labels)] = 0
        return
    kept = np.zeros(max(labels) + 2, array.dtype)  # the last one is of all labels beyond
    kept[labels] = labels
    for plane in array:
        plane[:] = kept.take(plane, mode="clip")


def _box_of(array: np.ndarray, label: int) -> tuple[slice, slice, slice]:
    """Where a label is. Planes are compared one at a time, which stays in the processor's cache."""
    along_i, along_j = np.zeros(array.shape[0], bool), np.zeros(array.shape[1], bool)
    along_k = np.zeros(array.shape[2], bool)
    for k in range(array.shape[2]):
        plane = array[:, :, k] == label
        here = plane.any(axis=0)
        if here.any():
            along_i |= plane.any(axis=1)
            along_j |= here
            along_k[k] = True
    if not along_k.any():
        return (slice(0, 0),) * 3
    bounds = [np.flatnonzero(along)[[0, -1]] for along in (along_i, along_j, along_k)]
    return tuple(slice(int(first), int(last) + 1) for first, last in bounds)
