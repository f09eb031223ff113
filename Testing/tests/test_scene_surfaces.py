"""Surfaces of segments as files: in the right place, in LPS, and without a trace in the scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkSTLReader

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.scene.surfaces import SurfaceFormat, write_surfaces
from TransformerSegLib.scene.volumes import add_volume_node

from example_segmentation import AFFINES, example_segmentation, example_volume, geometry, rotation
from mrml_transforms import add_linear_transform
from scene_runs import masks, names, put

_FLIP = np.diag([-1.0, -1.0, 1.0])


def points(path: Path) -> np.ndarray:
    """(n, 3), as the file has them."""
    reader = {".stl": vtkSTLReader, ".obj": vtkOBJReader}[path.suffix]()
    reader.SetFileName(str(path))
    reader.Update()
    return vtk_to_numpy(reader.GetOutput().GetPoints().GetData()).astype(float)


def assert_surrounds(found: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> None:
    """Surface points, LPS, lie around a box of voxels: within a voxel of its corners, and not inside."""
    indices = (np.linalg.inv(affine) @ np.c_[found @ _FLIP, np.ones(len(found))].T)[:3].T
    inside = np.argwhere(mask)
    np.testing.assert_allclose(indices.min(axis=0), inside.min(axis=0) - 0.5, atol=0.5)
    np.testing.assert_allclose(indices.max(axis=0), inside.max(axis=0) + 0.5, atol=0.5)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_each_segment_is_a_file_that_lies_where_the_segment_does(scene, affine: np.ndarray, tmp_path: Path):
    volume_node = add_volume_node(scene, example_volume(affine))
    node = put(scene, example_segmentation(affine, layers=2), volume_node).node
    before = scene.GetNumberOfNodes()

    written = write_surfaces(node, tmp_path)

    assert [path.name for path in written] == ["Anterior_Größe.stl", "C.stl", "Overlapping_1.stl"]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert scene.GetNumberOfNodes() == before
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")
    found = {names(node)[name]: mask for name, mask in masks(node, affine).items()}
    for path, name in zip(written, ["Anterior Größe", "C", "Overlapping 1"], strict=True):
        assert b"SPACE=LPS" in path.read_bytes()[:80]
        assert_surrounds(points(path), found[name], affine)


def test_the_nodes_transform_is_applied(scene, node, tmp_path: Path):
    moved = geometry(rotation(4), (1, 1, 1))
    node.SetAndObserveTransformNodeID(add_linear_transform(scene, moved).GetID())
    (path,) = write_surfaces(node, tmp_path, ["Segment_9"])
    affine = AFFINES["oblique"]
    assert_surrounds(points(path), masks(node, affine)["Segment_9"], moved @ affine)


def test_an_obj_holds_all_chosen_segments_with_their_colours(node, tmp_path: Path):
    written = write_surfaces(node, tmp_path, ["Segment_9", "Segment_20"], SurfaceFormat.OBJ)
    assert sorted(path.name for path in written) == ["Kopf_hippocampus.mtl", "Kopf_hippocampus.obj"]
    obj, mtl = (tmp_path / f"Kopf_hippocampus.{suffix}" for suffix in ("obj", "mtl"))
    text = obj.read_text()
    assert "SPACE=LPS" in text.splitlines()[0]
    assert "mtllib Kopf_hippocampus.mtl" in text
    assert text.count("usemtl ") == mtl.read_text().count("newmtl ") == 2
    affine = AFFINES["oblique"]
    both = masks(node, affine)
    assert_surrounds(points(obj), both["Segment_9"] | both["Segment_20"], affine)


def test_two_segments_of_one_name_are_two_files(node, tmp_path: Path):
    node.GetSegmentation().GetSegment("Segment_9").SetName("a/b")
    node.GetSegmentation().GetSegment("Segment_20").SetName("A:B")
    written = write_surfaces(node, tmp_path, ["Segment_9", "Segment_20"])
    assert [path.name for path in written] == ["a_b.stl", "A_B_2.stl"]


def test_a_name_of_signs_alone_gets_one_that_files_can_have(node, tmp_path: Path):
    node.GetSegmentation().GetSegment("Segment_9").SetName("../..")
    (path,) = write_surfaces(node, tmp_path, ["Segment_9"])
    assert path == tmp_path / "Segment_9.stl"


def test_empty_segments_alone_are_refused(node, tmp_path: Path):
    with pytest.raises(OutputRejected, match="no surface"):
        write_surfaces(node, tmp_path, ["Segment_4"])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_without_being_told(node, tmp_path: Path):
    (tmp_path / "C.stl").write_text("mine")
    with pytest.raises(OutputRejected, match="there already"):
        write_surfaces(node, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["C.stl"]
    assert (tmp_path / "C.stl").read_text() == "mine"
    assert len(write_surfaces(node, tmp_path, overwrite=True)) == 3


def test_a_folder_that_is_not_there_is_refused(node, tmp_path: Path):
    with pytest.raises(OutputRejected, match="does not exist"):
        write_surfaces(node, tmp_path / "gone")
