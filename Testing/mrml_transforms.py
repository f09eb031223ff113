"""Parent transforms of the kinds that Slicer makes."""

from __future__ import annotations

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import VTK_DOUBLE
from vtkmodules.vtkCommonDataModel import vtkImageData

from TransformerSegLib.scene.volumes import vtk_matrix


def add_linear_transform(scene: slicer.vtkMRMLScene, to_parent: np.ndarray) -> slicer.vtkMRMLLinearTransformNode:
    """A 4×4 matrix, RAS mm, as registration makes it."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    node.SetMatrixTransformToParent(vtk_matrix(to_parent))
    return node


def add_grid_transform(
    scene: slicer.vtkMRMLScene, affine: np.ndarray, shape: tuple[int, int, int]
) -> slicer.vtkMRMLGridTransformNode:
    """Displacements in RAS mm that grow with the square of k, 30 mm at the last slice.

    On the grid of a volume, as Slicer's DICOM import makes them for gantry tilt and uneven slices.
    """
    grid = slicer.vtkOrientedGridTransform()
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = np.eye(4)
    directions[:3, :3] = affine[:3, :3] / spacing
    grid.SetGridDirectionMatrix(vtk_matrix(directions))
    displacements = vtkImageData()
    displacements.SetDimensions(shape)
    displacements.SetOrigin(affine[:3, 3])
    displacements.SetSpacing(spacing)
    displacements.AllocateScalars(VTK_DOUBLE, 3)
    along_k = 30 * (np.arange(shape[2]) / (shape[2] - 1)) ** 2
    values = vtk_to_numpy(displacements.GetPointData().GetScalars()).reshape(*shape[::-1], 3)
    values[:] = along_k[:, None, None, None] * np.array([0.0, 1.0, 0.3])
    grid.SetDisplacementGridData(displacements)
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "acquisition transform")
    node.SetAndObserveTransformToParent(grid)
    return node
