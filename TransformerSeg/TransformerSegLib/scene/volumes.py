"""Volume nodes in, and out for scenes that are made outside of Slicer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import slicer
from vtkmodules.util.numpy_support import get_vtk_array_type, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform, vtkTransform

from TransformerSegLib.errors import EmptyVolume, GridMismatch, VectorVoxels
from TransformerSegLib.export.label_layer import reversed_axes
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.dicom_values import modality_attribute, modality_of, origin_of

# Those of which Slicer's scene writer saves voxels.
_INTEGER_TYPES = (np.uint8, np.int16, np.uint16, np.int32, np.uint32)
_STORED_TYPES = (*_INTEGER_TYPES, np.float32, np.float64)


def volume_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """A copy of a volume node's voxels, so that a run never reads what a person is changing.

    Args:
        node: any scalar volume. Its parent transform is left out: the affine maps to the RAS of the node itself, and
            the segmentation that comes of it goes under the same transform (``add_segmentation_node``).

    Raises:
        EmptyVolume: the node has no voxels.
        VectorVoxels: several values per voxel.
    """
    check_has_voxels(node)
    array = reversed_axes(voxels(node.GetImageData()))
    return Volume(array, volume_affine(node), node.GetName(), modality_of(node), origin_of(node))


def volumes_from_nodes(nodes: Sequence[slicer.vtkMRMLScalarVolumeNode]) -> tuple[Volume, ...]:
    """The inputs of a several-input model, all in the RAS frame of the first node.

    Nodes may lie under different parent transforms: what lies between a node and the first one is multiplied into
    its affine, so that voxels that coincide in Slicer's views coincide here.

    Raises:
        GridMismatch: a non-linear transform lies between a node and the first one.
    """
    return tuple(
        replace(volume_from_node(node), affine=_between(node, nodes[0]) @ volume_affine(node)) for node in nodes
    )


def add_volume_node(scene: slicer.vtkMRMLScene, volume: Volume) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a volume to a scene, with the default display and a place in the subject hierarchy.

    Voxels of a type that Slicer does not store take the smallest that it stores and that holds their values. (Where
    that is 64-bit floating-point, integers beyond 2^53 are rounded.)
    """
    array = _storable(volume.array)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", volume.name)
    image = vtkImageData()
    image.SetDimensions(array.shape)
    image.AllocateScalars(get_vtk_array_type(array.dtype), 1)
    reversed_axes(array, out=voxels(image))
    node.SetIJKToRASMatrix(vtk_matrix(volume.affine))
    node.SetAndObserveImageData(image)
    node.CreateDefaultDisplayNodes()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy_item(hierarchy, node)
    if volume.modality is not None:
        hierarchy.SetItemAttribute(item, modality_attribute(), volume.modality)
    return node


def voxels(image: vtkImageData) -> np.ndarray:
    """A live view of an image's voxels, (K, J, I)."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def vtk_matrix(affine: np.ndarray) -> vtkMatrix4x4:
    """The same 4×4 matrix for VTK."""
    matrix = vtkMatrix4x4()
    matrix.DeepCopy(affine.ravel().tolist())
    return matrix


def numpy_matrix(matrix: vtkMatrix4x4) -> np.ndarray:
    """The same 4×4 matrix for numpy, float64."""
    return np.array(matrix.GetData(), np.float64).reshape(4, 4)


def check_has_voxels(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Raises:
    EmptyVolume: the node has no voxels.
    VectorVoxels: several values per voxel.
    """
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise EmptyVolume(
            f"“{node.GetName()}” has no voxels",
            why="there is nothing to segment",
            remedy="Load the volume again, or choose another",
        )
    if image.GetNumberOfScalarComponents() != 1:
        raise VectorVoxels(
            f"“{node.GetName()}” has {image.GetNumberOfScalarComponents()} values per voxel",
            why="the model reads one number per voxel",
            remedy="Convert it to a scalar volume",
        )


def volume_affine(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """4×4: index → mm in the RAS of the node itself, before its parent transform."""
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return numpy_matrix(matrix)


def hierarchy_item(hierarchy: slicer.vtkMRMLSubjectHierarchyNode, node: slicer.vtkMRMLNode) -> int:
    """The node's item in the subject hierarchy; made where it is missing, as outside of the application."""
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    return item


def _storable(array: np.ndarray) -> np.ndarray:
    """The array itself if Slicer stores its type, else a converted copy."""
    if array.dtype in _STORED_TYPES:
        return array
    if array.dtype.kind in "iu":
        lowest, highest = array.min(), array.max()
        bounds = ((stored, np.iinfo(stored)) for stored in _INTEGER_TYPES)
        fitting = (stored for stored, bound in bounds if bound.min <= lowest and highest <= bound.max)
    else:
        fitting = (stored for stored in _STORED_TYPES if np.can_cast(array.dtype, stored))
    return array.astype(next(fitting, np.float64))


def _between(node: slicer.vtkMRMLScalarVolumeNode, reference: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """4×4: from the RAS of ``node`` to that of ``reference``, in mm."""
    source, target = node.GetParentTransformNode(), reference.GetParentTransformNode()
    between, linear = vtkGeneralTransform(), vtkTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, between)
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(between, linear):
        raise GridMismatch(
            f"“{node.GetName()}” and “{reference.GetName()}” lie under different transforms, one of them non-linear",
            why="the inputs of one model must lie in one space",
            remedy="Resample one of them onto the other's grid, with the module Resample Scalar/Vector/DWI Volume",
        )
    return numpy_matrix(linear.GetMatrix())
