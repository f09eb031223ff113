"""Scenes saved as .mrb, and opened again."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slicer

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.segment_metadata import provenance_tags
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.mrb import save_scene, write_mrb
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.segmentations import add_segmentation_node
from TransformerSegLib.scene.volumes import add_volume_node, volume_from_node

from example_segmentation import AFFINES, SHAPE, example_segmentation, example_volume, geometry, rotation
from mrml_reading import assert_holds
from mrml_transforms import add_grid_transform, add_linear_transform

OBLIQUE = AFFINES["oblique"]


def only_node(scene: slicer.vtkMRMLScene, node_class: str) -> slicer.vtkMRMLNode:
    assert scene.GetNumberOfNodesByClass(node_class) == 1
    return scene.GetFirstNodeByClass(node_class)


def open_scene(application: slicer.vtkSlicerApplicationLogic, path: Path) -> None:
    unpacked = path.parent / "unpacked"
    unpacked.mkdir()
    assert application.OpenSlicerDataBundle(str(path), str(unpacked))


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_volume_and_segmentation_come_out_of_a_saved_scene_as_they_went_in(affine: np.ndarray, tmp_path: Path):
    volume, segmentation = example_volume(affine, "Kopf größer"), example_segmentation(affine, layers=2)
    path = tmp_path / "Ergebnis 1.mrb"
    write_mrb(path, [volume], segmentation)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with offscreen_application() as application:
        scene = application.GetMRMLScene()
        open_scene(application, path)
        node = only_node(scene, "vtkMRMLSegmentationNode")
        assert_holds(node, segmentation, saved_by_slicer=True)
        assert node.GetName() == segmentation.name
        for key, value in provenance_tags(segmentation.provenance).items():
            assert node.GetAttribute(key) == value
        found = volume_from_node(only_node(scene, "vtkMRMLScalarVolumeNode"))
        assert_same_voxels(found, volume)
        assert (found.name, found.modality) == (volume.name, volume.modality)


def scene_volume(path: Path) -> Volume:
    """The one volume of a saved scene."""
    with offscreen_application() as application:
        open_scene(application, path)
        return volume_from_node(only_node(application.GetMRMLScene(), "vtkMRMLScalarVolumeNode"))


@pytest.mark.parametrize(
    ("dtype", "lowest", "highest", "stored"),
    [
        (np.bool_, 0, 1, np.uint8),
        (np.int8, -128, 127, np.int16),
        (np.uint8, 0, 255, np.uint8),
        (np.int16, -1024, 3071, np.int16),
        (np.uint16, 0, 65535, np.uint16),
        (np.int32, -(2**31), 2**31 - 1, np.int32),
        (np.uint32, 0, 2**32 - 1, np.uint32),
        (np.int64, -1024, 3071, np.int16),
        (np.int64, -(2**53), 2**53, np.float64),
        (np.uint64, 0, 2**32 - 1, np.uint32),
        (np.uint64, 0, 2**53, np.float64),
        (np.float16, -1024, 2048, np.float32),
        (np.float32, -1.5, 3e38, np.float32),
        (np.float64, -1.5, 1e300, np.float64),
        (np.longdouble, -1.5, 1e300, np.float64),
    ],
)
def test_voxels_of_every_type_come_out_of_a_saved_scene_with_their_values(
    dtype, lowest, highest, stored, tmp_path: Path
):
    array = np.zeros(SHAPE, dtype)
    array[0, 0, 0], array[1, 2, 3] = lowest, highest
    volume = replace(example_volume(AFFINES["RAS, 1 mm"]), array=array)
    write_mrb(tmp_path / "a.mrb", [volume], example_segmentation(AFFINES["RAS, 1 mm"]))
    found = scene_volume(tmp_path / "a.mrb").array
    assert found.dtype == stored
    np.testing.assert_array_equal(found, array)


def test_a_scene_is_saved_by_a_path_that_starts_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_mrb(Path("a.mrb"), [example_volume(OBLIQUE)], example_segmentation(OBLIQUE))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mrb"]
    np.testing.assert_array_equal(scene_volume(tmp_path / "a.mrb").array, example_volume(OBLIQUE).array)


def assert_same_voxels(found: Volume, given: Volume) -> None:
    """Slicer turns left-handed grids round when it loads them: their last axis runs the other way."""
    array, affine = given.array, given.affine.copy()
    if np.linalg.det(affine) < 0:
        affine[:3, 3] += affine[:3, 2] * (array.shape[2] - 1)
        affine[:3, 2] *= -1
        array = array[:, :, ::-1]
    np.testing.assert_array_equal(found.array, array)
    np.testing.assert_allclose(found.affine, affine, atol=1e-6)


def test_transforms_and_places_come_out_of_a_saved_scene_as_they_went_in(tmp_path: Path):
    path = tmp_path / "scene.mrb"
    with offscreen_application() as application:
        scene = application.GetMRMLScene()
        volume_node = add_volume_node(scene, example_volume(OBLIQUE))
        linear = add_linear_transform(scene, geometry(rotation(7), (1.0, 1.0, 1.0)))
        linear.SetAndObserveTransformNodeID(add_grid_transform(scene, OBLIQUE, SHAPE).GetID())
        volume_node.SetAndObserveTransformNodeID(linear.GetID())
        node = add_segmentation_node(scene, example_segmentation(OBLIQUE), volume_node)
        expected = world_point(node)
        save_scene(scene, path)
    with offscreen_application() as application:
        scene = application.GetMRMLScene()
        open_scene(application, path)
        node = only_node(scene, "vtkMRMLSegmentationNode")
        volume_node = only_node(scene, "vtkMRMLScalarVolumeNode")
        assert node.GetTransformNodeID() == volume_node.GetTransformNodeID()
        np.testing.assert_allclose(world_point(node), expected, atol=0.02)  # mm; Slicer saves the inverse of grids
        assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume_node
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        items = [hierarchy.GetItemByDataNode(data_node) for data_node in (node, volume_node)]
        assert hierarchy.GetInvalidItemID() not in items
        assert len({hierarchy.GetItemParent(item) for item in items}) == 1
        assert_holds(node, example_segmentation(OBLIQUE))


def world_point(node: slicer.vtkMRMLSegmentationNode) -> list[float]:
    point = [0.0, 0.0, 0.0]
    node.TransformPointToWorld((-10.0, 40.0, 12.0), point)
    return point


def test_all_inputs_of_a_several_input_model_are_in_the_scene(tmp_path: Path):
    volumes = [example_volume(OBLIQUE, name) for name in ("T1", "FLAIR")]
    write_mrb(tmp_path / "a.mrb", volumes, example_segmentation(OBLIQUE))
    with offscreen_application() as application:
        scene = application.GetMRMLScene()
        open_scene(application, tmp_path / "a.mrb")
        nodes = [scene.GetNthNodeByClass(n, "vtkMRMLScalarVolumeNode") for n in range(2)]
        assert [node.GetName() for node in nodes] == ["T1", "FLAIR"]


def test_a_scene_that_is_there_already_is_replaced_only_when_told(tmp_path: Path):
    path = tmp_path / "a.mrb"
    path.write_text("corrected by hand")
    arguments = ([example_volume(OBLIQUE)], example_segmentation(OBLIQUE))
    with pytest.raises(OutputRejected, match="--overwrite"):
        write_mrb(path, *arguments)
    assert path.read_text() == "corrected by hand"
    write_mrb(path, *arguments, overwrite=True)
    assert zipfile.is_zipfile(path)
