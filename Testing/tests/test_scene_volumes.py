"""Volume nodes of a real MRML scene, read as the engine's volumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from slicer.util import updateVolumeFromArray

from TransformerSegLib.errors import EmptyVolume, GridMismatch, VectorVoxels
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.volumes import add_volume_node, volume_from_node, volumes_from_nodes

from dicom_files import REAL
from example_segmentation import AFFINES, example_volume, geometry, rotation
from host.dicom_database import DicomDatabase
from mrml_transforms import add_grid_transform, add_linear_transform

OBLIQUE = AFFINES["oblique"]


@pytest.fixture
def scene():
    with offscreen_application() as application:
        yield application.GetMRMLScene()


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_volume_comes_out_of_the_scene_as_it_went_in(scene, affine: np.ndarray, dtype: type):
    given = example_volume(affine)
    node = add_volume_node(scene, type(given)(given.array.astype(dtype), affine, "Kopf größer", "MR"))
    volume = volume_from_node(node)
    assert volume.array.dtype == dtype
    assert volume.array.flags.c_contiguous
    np.testing.assert_array_equal(volume.array, given.array.astype(dtype))
    np.testing.assert_allclose(volume.affine, affine, atol=1e-12)
    assert (volume.name, volume.modality) == ("Kopf größer", "MR")


def test_voxels_and_affine_agree_with_slicers_own_functions(scene):
    node = add_volume_node(scene, example_volume(OBLIQUE))
    volume = volume_from_node(node)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node)[3, 2, 1], volume.array[1, 2, 3])
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    np.testing.assert_array_equal(slicer.util.arrayFromVTKMatrix(matrix), volume.affine)


def test_voxels_that_change_later_do_not_change_the_volume(scene):
    node = add_volume_node(scene, example_volume(OBLIQUE))
    volume = volume_from_node(node)
    before = volume.array.copy()
    slicer.util.arrayFromVolume(node)[:] = 7
    np.testing.assert_array_equal(volume.array, before)


def test_a_node_without_voxels_is_refused(scene):
    with pytest.raises(EmptyVolume, match="no voxels"):
        volume_from_node(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))


def test_rgb_voxels_are_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photograph")
    updateVolumeFromArray(node, np.zeros((4, 5, 6, 3), np.uint8))
    with pytest.raises(VectorVoxels, match="3 values"):
        volume_from_node(node)


@pytest.mark.parametrize(("code", "modality"), [("112031", "CT"), ("110852", "MR"), ("110821", None)])
def test_the_modality_is_told_by_what_slicer_notes_of_dicom_voxels(scene, code: str, modality: str | None):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "series")
    updateVolumeFromArray(node, np.zeros((4, 5, 6), np.int16))
    assert volume_from_node(node).modality is None
    quantity = slicer.vtkCodedEntry()
    quantity.SetValueSchemeMeaning(code, "DCM", "what the voxels measure")
    node.SetVoxelValueQuantity(quantity)
    assert volume_from_node(node).modality == modality


def test_a_volume_under_a_transform_keeps_its_own_affine(scene):
    node = add_volume_node(scene, example_volume(OBLIQUE))
    node.SetAndObserveTransformNodeID(add_linear_transform(scene, geometry(rotation(5), (1.0, 1.0, 1.0))).GetID())
    np.testing.assert_allclose(volume_from_node(node).affine, OBLIQUE, atol=1e-12)


def test_inputs_under_unlike_linear_transforms_come_into_the_frame_of_the_first(scene):
    first, second = (add_volume_node(scene, example_volume(AFFINES[name])) for name in ("oblique", "sagittal"))
    to_world = [geometry(rotation(seed), (1.0, 1.0, 1.0)) for seed in (5, 6)]
    for node, matrix in zip((first, second), to_world, strict=True):
        node.SetAndObserveTransformNodeID(add_linear_transform(scene, matrix).GetID())
    volumes = volumes_from_nodes([first, second])
    np.testing.assert_allclose(volumes[0].affine, AFFINES["oblique"], atol=1e-9)
    # the same voxel, by either way, is at the same place in the world
    np.testing.assert_allclose(to_world[0] @ volumes[1].affine, to_world[1] @ AFFINES["sagittal"], atol=1e-9)


def test_a_non_linear_transform_that_both_inputs_share_does_not_matter(scene):
    first, second = (add_volume_node(scene, example_volume(OBLIQUE)) for _ in range(2))
    bent = add_grid_transform(scene, OBLIQUE, first.GetImageData().GetDimensions())
    shifted = add_linear_transform(scene, geometry(np.eye(3), (1.0, 1.0, 1.0)))
    shifted.SetAndObserveTransformNodeID(bent.GetID())
    first.SetAndObserveTransformNodeID(bent.GetID())
    second.SetAndObserveTransformNodeID(shifted.GetID())
    volumes = volumes_from_nodes([first, second])
    expected = geometry(np.eye(3), (1.0, 1.0, 1.0)) @ OBLIQUE
    np.testing.assert_allclose(volumes[1].affine, expected, atol=1e-9)


def test_inputs_of_which_one_is_bent_are_refused(scene):
    straight, bent = (add_volume_node(scene, example_volume(OBLIQUE)) for _ in range(2))
    grid = add_grid_transform(scene, OBLIQUE, bent.GetImageData().GetDimensions())
    bent.SetAndObserveTransformNodeID(grid.GetID())
    for nodes in ([straight, bent], [bent, straight]):
        with pytest.raises(GridMismatch, match="non-linear"):
            volumes_from_nodes(nodes)


def test_the_modality_is_looked_up_in_slicers_dicom_database(scene, monkeypatch: pytest.MonkeyPatch):
    """Through the stand-in for the database, over real DICOM files."""
    node = add_volume_node(scene, replace(example_volume(OBLIQUE), modality=None))
    files = sorted((REAL / "gantry_tilt").iterdir())
    database = DicomDatabase()
    node.SetAttribute("DICOM.instanceUIDs", " ".join(database.add(files)))
    monkeypatch.delattr(slicer, "dicomDatabase", raising=False)
    assert volume_from_node(node).modality is None
    monkeypatch.setattr(slicer, "dicomDatabase", None, raising=False)
    assert volume_from_node(node).modality is None
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert volume_from_node(node).modality == "CT"
    monkeypatch.setattr(slicer, "dicomDatabase", DicomDatabase(), raising=False)
    assert volume_from_node(node).modality is None
