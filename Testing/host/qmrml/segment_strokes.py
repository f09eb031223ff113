"""The labelmaps of single edits, on the editor's grid."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy


def ball(grid: slicer.vtkOrientedImageData, center: tuple[float, float, float], radius: float):
    """The voxels whose centres lie within ``radius`` mm of a point in RAS."""
    matrix = vtk.vtkMatrix4x4()
    grid.GetImageToWorldMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    extent = grid.GetExtent()
    axes = [np.arange(extent[2 * axis], extent[2 * axis + 1] + 1) for axis in range(3)]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    ras = np.einsum("rc,cijk->rijk", affine[:3, :3], np.stack([i, j, k])) + affine[:3, 3, None, None, None]
    distance = np.linalg.norm(ras - np.reshape(center, (3, 1, 1, 1)), axis=0)
    return _labelmap(grid, (distance <= radius).transpose(2, 1, 0))


def threshold(grid: slicer.vtkOrientedImageData, volume: slicer.vtkOrientedImageData, lowest: float, highest: float):
    """The voxels whose intensity lies between two, ends included."""
    values = vtk_to_numpy(volume.GetPointData().GetScalars()).reshape(volume.GetDimensions()[::-1])
    return _labelmap(grid, (values >= lowest) & (values <= highest))


def _labelmap(grid: slicer.vtkOrientedImageData, mask: np.ndarray) -> slicer.vtkOrientedImageData:
    made = slicer.vtkOrientedImageData()
    made.CopyDirections(grid)
    made.SetOrigin(grid.GetOrigin())
    made.SetSpacing(grid.GetSpacing())
    made.SetExtent(grid.GetExtent())
    scalars = numpy_to_vtk(np.ascontiguousarray(mask, np.uint8).ravel(), deep=True)
    scalars.SetName("ImageScalars")
    made.GetPointData().SetScalars(scalars)
    return made
