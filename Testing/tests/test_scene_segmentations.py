"""Segmentation nodes in a real MRML scene: every segment, in its place, with all that is known of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import slicer

from TransformerSegLib.errors import GridMismatch
from TransformerSegLib.export.segment_metadata import segment_id
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.segmentations import add_segmentation_node
from TransformerSegLib.scene.volumes import add_volume_node, numpy_matrix, voxels, vtk_matrix

from example_segmentation import (
    AFFINES,
    PROVENANCE,
    SHAPE,
    example_segmentation,
    example_volume,
    geometry,
    rotation,
    segment_class,
)
from mrml_reading import assert_holds, mask_on_grid, read_segmentation_node
from mrml_transforms import add_grid_transform, add_linear_transform

OBLIQUE = AFFINES["oblique"]
every_geometry = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
one_or_more_layers = pytest.mark.parametrize("layers", [1, 3])


@pytest.fixture
def scene():
    with offscreen_application() as application:
        yield application.GetMRMLScene()


@every_geometry
@one_or_more_layers
def test_every_class_is_a_segment_with_its_voxels_name_colour_codes_and_tags(scene, affine: np.ndarray, layers: int):
    segmentation = example_segmentation(affine, layers)
    node = add_segmentation_node(scene, segmentation, add_volume_node(scene, example_volume(affine)))
    assert_holds(node, segmentation)
    assert node.GetName() == segmentation.name
    assert node.GetDisplayNode() is not None
    assert node.GetSegmentation().GetNumberOfLayers() == layers


@every_geometry
@one_or_more_layers
def test_the_file_that_slicer_saves_reloads_the_same(scene, affine: np.ndarray, layers: int, tmp_path):
    segmentation = example_segmentation(affine, layers)
    node = add_segmentation_node(scene, segmentation, add_volume_node(scene, example_volume(affine)))
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "a.seg.nrrd"))
    assert storage.WriteData(node) == 1
    assert_holds(read_segmentation_node(scene, tmp_path / "a.seg.nrrd"), segmentation, saved_by_slicer=True)


def test_one_labelmap_cropped_to_the_labels_serves_all_segments_of_a_layer(scene):
    segmentation = example_segmentation(OBLIQUE)
    node = add_segmentation_node(scene, segmentation, add_volume_node(scene, example_volume(OBLIQUE)))
    found = node.GetSegmentation()
    labelmaps = {found.GetNthSegment(n).GetRepresentation("Binary labelmap") for n in range(3)}
    assert len(labelmaps) == 1
    assert labelmaps.pop().GetExtent() == (2, 10, 3, 7, 1, 9)


def test_an_empty_segment_can_be_drawn_into(scene):
    segmentation = example_segmentation(OBLIQUE, layers=3)
    volume_node = add_volume_node(scene, example_volume(OBLIQUE))
    node = add_segmentation_node(scene, segmentation, volume_node)
    for segment in segmentation.empty_segments:
        name = segment_id(segment.definition)
        brush = slicer.vtkOrientedImageData()
        brush.SetExtent(0, 2, 0, 2, 0, 1)
        brush.AllocateScalars(3, 1)
        brush.SetImageToWorldMatrix(vtk_matrix(OBLIQUE))
        voxels(brush)[:] = 1
        assert slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(brush, node, name)
        assert mask_on_grid(node, name, SHAPE, OBLIQUE).sum() == 3 * 3 * 2
    for segment in segmentation.segments:
        if not segment.empty:
            mask = mask_on_grid(node, segment_id(segment.definition), SHAPE, OBLIQUE)
            np.testing.assert_array_equal(mask, segmentation.mask(segment))


def exported(scene, node: slicer.vtkMRMLSegmentationNode, volume_node) -> np.ndarray:
    """Labels on the volume's voxels, (I, J, K), as Slicer's own export puts them there: 1, 2, … in segments' order."""
    labelmap = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert slicer.vtkSlicerSegmentationsModuleLogic.ExportAllSegmentsToLabelmapNode(
        node, labelmap, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    )
    assert labelmap.GetTransformNodeID() == volume_node.GetTransformNodeID()
    return voxels(labelmap.GetImageData()).transpose(2, 1, 0)


@pytest.mark.parametrize("kind", ["none", "linear", "grid", "linear in grid"])
def test_segments_lie_on_the_volume_under_its_parent_transform(scene, kind: str):
    segmentation = example_segmentation(OBLIQUE)
    volume_node = add_volume_node(scene, example_volume(OBLIQUE))
    linear = add_linear_transform(scene, geometry(rotation(7), (1.0, 1.0, 1.0)))
    grid = add_grid_transform(scene, OBLIQUE, SHAPE)
    if kind == "linear in grid":
        linear.SetAndObserveTransformNodeID(grid.GetID())
    parent = {"none": None, "linear": linear, "grid": grid, "linear in grid": linear}[kind]
    volume_node.SetAndObserveTransformNodeID(parent and parent.GetID())

    node = add_segmentation_node(scene, segmentation, volume_node)

    labels = exported(scene, node, volume_node)
    for number, segment in enumerate(segmentation.segments, start=1):
        np.testing.assert_array_equal(labels == number, segmentation.mask(segment))
    for segment in segmentation.segments:
        expected = in_world(volume_node, centres(segmentation.mask(segment), OBLIQUE))
        found = in_world(node, centres(*labelmap_of(node, segment)))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        moved = np.abs(expected - centres(segmentation.mask(segment), OBLIQUE)).max(initial=0)
        assert (moved > 5.0) == (kind != "none" and not segment.empty)


def centres(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Where the voxels of a mask (I, J, K) lie: (n, 3), mm, in the frame of the affine."""
    return (affine @ np.c_[np.argwhere(mask), np.ones(mask.sum())].T)[:3].T


def in_world(node: slicer.vtkMRMLTransformableNode, points: np.ndarray) -> np.ndarray:
    """Where Slicer's views show points of a node's own frame, after all its parent transforms: (n, 3), mm."""
    seen = np.zeros_like(points)
    for point, place in zip(points, seen, strict=True):
        node.TransformPointToWorld(point, place)
    return seen


def labelmap_of(node: slicer.vtkMRMLSegmentationNode, segment: Segment) -> tuple[np.ndarray, np.ndarray]:
    """A segment's mask as the node holds it, and its affine into the node's frame."""
    labelmap = node.GetSegmentation().GetSegment(segment_id(segment.definition)).GetRepresentation("Binary labelmap")
    affine = vtk_matrix(np.eye(4))
    labelmap.GetImageToWorldMatrix(affine)
    affine = numpy_matrix(affine)
    affine[:3, 3] += affine[:3, :3] @ labelmap.GetExtent()[::2]
    return voxels(labelmap).transpose(2, 1, 0) == segment.definition.label, affine


def test_the_volumes_grid_is_the_reference_geometry(scene):
    volume_node = add_volume_node(scene, example_volume(OBLIQUE))
    node = add_segmentation_node(scene, example_segmentation(OBLIQUE), volume_node)
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume_node
    geometry_text = node.GetSegmentation().GetConversionParameter(
        slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    )
    grid = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry_text, grid, False)
    matrix = vtk_matrix(np.eye(4))
    grid.GetImageToWorldMatrix(matrix)
    np.testing.assert_allclose(numpy_matrix(matrix), OBLIQUE, atol=1e-9)
    assert grid.GetDimensions() == SHAPE


def test_the_segmentation_stands_beside_its_volume_in_the_subject_hierarchy(scene):
    volume_node = add_volume_node(scene, example_volume(OBLIQUE))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume_node), study)
    node = add_segmentation_node(scene, example_segmentation(OBLIQUE), volume_node)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_a_second_run_makes_a_second_node_with_a_name_of_its_own(scene):
    volume_node = add_volume_node(scene, example_volume(OBLIQUE))
    segmentation = example_segmentation(OBLIQUE)
    first = add_segmentation_node(scene, segmentation, volume_node)
    second = add_segmentation_node(scene, segmentation, volume_node)
    assert first.GetName() != second.GetName()
    assert_holds(first, segmentation)
    assert_holds(second, segmentation)


def test_the_node_tells_what_made_it(scene):
    volume_node = add_volume_node(scene, example_volume(OBLIQUE))
    node = add_segmentation_node(scene, example_segmentation(OBLIQUE), volume_node)
    assert node.GetAttribute("TransformerSeg.weights_sha256") == PROVENANCE["weights_sha256"]
    assert json.loads(node.GetAttribute("TransformerSeg.options")) == PROVENANCE["options"]


def test_a_volume_that_changed_since_it_was_read_is_refused(scene):
    segmentation = example_segmentation(OBLIQUE)
    moved = OBLIQUE.copy()
    moved[0, 3] += 0.5
    for volume in (example_volume(moved), example_volume(OBLIQUE, shape=(13, 9, 12))):
        with pytest.raises(GridMismatch, match="changed"):
            add_segmentation_node(scene, segmentation, add_volume_node(scene, volume))
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def whole_body(shape: tuple[int, int, int], classes: int) -> Segmentation:
    """Boxes of every class, spread over the whole grid."""
    layer = np.zeros(shape, np.uint8)
    random = np.random.default_rng(0)
    for label in range(1, classes + 1):
        corner = random.integers(0, np.array(shape) - 20)
        layer[tuple(slice(start, start + 20) for start in corner)] = label
    segments = tuple(Segment(segment_class(n, f"Class {n}"), 0, 1.0) for n in range(1, classes + 1))
    return replace(example_segmentation(np.eye(4)), layers=(layer,), segments=segments)


def test_a_hundred_classes_share_one_labelmap(scene):
    """One for each class would take 30 s and gigabytes on a whole body."""
    segmentation = whole_body((64, 64, 50), classes=104)
    volume = example_volume(np.eye(4), shape=(64, 64, 50))
    found = add_segmentation_node(scene, segmentation, add_volume_node(scene, volume)).GetSegmentation()
    assert found.GetNumberOfSegments() == 104
    assert len({found.GetNthSegment(n).GetRepresentation("Binary labelmap") for n in range(104)}) == 1
