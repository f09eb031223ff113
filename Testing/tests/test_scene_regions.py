"""Regions of interest, from and into a real MRML scene."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from TransformerSegLib.bundles.card import Card, InputChannel, Requirements
from TransformerSegLib.errors import RegionRejected
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.regions import place_region, region_from_node, suggested_size
from TransformerSegLib.scene.volumes import add_volume_node, vtk_matrix

from example_segmentation import AFFINES, SHAPE, example_volume, geometry, rotation, segment_class
from mrml_transforms import add_grid_transform, add_linear_transform

OBLIQUE = AFFINES["oblique"]
SIZE = np.array([4.0, 3.0, 6.0])


@pytest.fixture
def scene():
    with offscreen_application() as application:
        yield application.GetMRMLScene()


def add_roi(scene, center, size=SIZE, axes=None):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    to_node = np.eye(4)
    to_node[:3, 3] = center
    if axes is not None:
        to_node[:3, :3] = axes
    node.SetSize(size)
    node.SetAndObserveObjectToNodeMatrix(vtk_matrix(to_node))
    return node


def transformed(scene, node, matrix: np.ndarray) -> None:
    node.SetAndObserveTransformNodeID(add_linear_transform(scene, matrix).GetID())


def inside_in_slicer(roi_node, volume_node, affine: np.ndarray) -> np.ndarray:
    """Which of the volume's voxels Slicer itself says to be in the box, (I, J, K)."""
    found = np.zeros(SHAPE, bool)
    for index in np.ndindex(*SHAPE):
        place = np.zeros(3)
        volume_node.TransformPointToWorld((affine @ (*index, 1))[:3], place)
        found[index] = roi_node.IsPointInROIWorld(place)
    return found


@pytest.mark.parametrize("of_volume", [False, True])
@pytest.mark.parametrize("of_roi", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_the_voxels_in_a_region_are_those_that_slicer_puts_in_the_box(scene, of_volume, of_roi, turned):
    volume = example_volume(OBLIQUE)
    volume_node = add_volume_node(scene, volume)
    center = (OBLIQUE @ (6, 4, 5, 1))[:3]
    roi_node = add_roi(scene, center, axes=rotation(9) if turned else None)
    shift = np.eye(4)
    shift[:3, 3] = (1.0, -2.0, 0.5)
    if of_volume:
        transformed(scene, volume_node, geometry(rotation(5), (1, 1, 1)))
    if of_roi:
        to_world = geometry(rotation(5), (1, 1, 1)) if of_volume else np.eye(4)
        transformed(scene, roi_node, to_world @ shift)
    elif of_volume:
        roi_node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())

    region = region_from_node(roi_node, volume_node)

    expected = inside_in_slicer(roi_node, volume_node, OBLIQUE)
    assert 3 < expected.sum() < expected.size / 2
    found = np.zeros(SHAPE, bool)
    box = region.crop(volume).box
    found[box] = region.inside(OBLIQUE, box)
    np.testing.assert_array_equal(found, expected)


def test_a_region_counts_millimetres_of_the_volume_where_a_transform_scales(scene):
    volume_node = add_volume_node(scene, example_volume(OBLIQUE))
    transformed(scene, volume_node, np.diag([2.0, 2.0, 2.0, 1.0]))
    region = region_from_node(add_roi(scene, (10.0, 20.0, 30.0)), volume_node)
    np.testing.assert_allclose(region.size, SIZE / 2)
    np.testing.assert_allclose(region.center, (5.0, 10.0, 15.0))


def test_a_bent_transform_that_both_share_does_not_matter(scene):
    volume_node = add_volume_node(scene, example_volume(OBLIQUE))
    roi_node = add_roi(scene, (OBLIQUE @ (6, 4, 5, 1))[:3])
    bent = add_grid_transform(scene, OBLIQUE, SHAPE)
    volume_node.SetAndObserveTransformNodeID(bent.GetID())
    with pytest.raises(RegionRejected, match="no box"):
        region_from_node(roi_node, volume_node)
    roi_node.SetAndObserveTransformNodeID(bent.GetID())
    np.testing.assert_allclose(region_from_node(roi_node, volume_node).size, SIZE)


def test_regions_that_are_no_boxes_are_refused(scene):
    volume_node = add_volume_node(scene, example_volume(OBLIQUE))
    roi_node = add_roi(scene, (0, 0, 0))
    roi_node.SetInsideOut(True)
    with pytest.raises(RegionRejected, match="inside of a box"):
        region_from_node(roi_node, volume_node)
    with pytest.raises(RegionRejected, match="no size"):
        region_from_node(scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "not placed"), volume_node)
    sheared = add_roi(scene, (0, 0, 0))
    shear = np.eye(4)
    shear[0, 1] = 0.5
    transformed(scene, sheared, shear)
    with pytest.raises(RegionRejected, match="no box"):
        region_from_node(sheared, volume_node)


def corners(affine: np.ndarray, center: np.ndarray, half: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Indices of a box's corners."""
    ras = center + np.array(list(product((-1, 1), repeat=3))) * half @ axes.T
    return (np.linalg.inv(affine) @ np.c_[ras, np.ones(8)].T)[:3].T


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
@pytest.mark.parametrize("center", [None, (0, 0, 0), (12, 8, 10), (-100, 4, 5)])
def test_a_box_is_placed_inside_the_volume(scene, affine: np.ndarray, center):
    volume_node = add_volume_node(scene, example_volume(affine))
    transformed(scene, volume_node, geometry(rotation(5), (1, 1, 1)))
    ras = None if center is None else (affine @ (*center, 1))[:3]
    node = place_region(scene, volume_node, SIZE, ras)
    assert node.GetParentTransformNode() is volume_node.GetParentTransformNode()
    region = region_from_node(node, volume_node)
    np.testing.assert_allclose(region.size, SIZE)
    found = corners(affine, region.center, region.size / 2, region.axes)
    assert (found > -0.5 - 1e-6).all()
    assert (found < np.array(SHAPE) - 0.5 + 1e-6).all()
    if center is None:
        np.testing.assert_allclose(region.center, (affine @ (6, 4, 5, 1))[:3])


def test_a_box_is_no_larger_than_the_volume_and_can_be_dragged(scene):
    volume = example_volume(OBLIQUE)
    volume_node = add_volume_node(scene, volume)
    node = place_region(scene, volume_node, (1000, 3, 1000))
    region = region_from_node(node, volume_node)
    np.testing.assert_allclose(region.size, (volume.extent[0], 3, volume.extent[2]))
    assert region.crop(volume).box[0] == slice(0, SHAPE[0])
    assert node.GetDisplayNode().GetVisibility()
    assert node.GetDisplayNode().GetHandlesInteractive()
    assert place_region(scene, volume_node, SIZE).GetName() != node.GetName()


def card(bounds: tuple[float, float] | None) -> Card:
    return Card(
        name="a",
        title="A",
        version="1",
        description="",
        inputs=(InputChannel(name="image"),),
        classes=(segment_class(1, "one"),),
        requirements=Requirements(field_of_view_mm=bounds),
    )


def test_the_suggested_box_is_of_a_size_that_the_model_accepts():
    assert suggested_size(card(None)) is None
    assert suggested_size(card((30.0, 70.0))) == (50.0, 50.0, 50.0)
