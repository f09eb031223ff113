"""Segmentation files, read back by Slicer's own storage node, nibabel and SimpleITK."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import OUTPUT_SUFFIXES
from TransformerSegLib.export.segmentation_file import write_segmentation
from TransformerSegLib.inference.segmentation import Segment
from TransformerSegLib.scene.offscreen import offscreen_application

from example_segmentation import AFFINES, SHAPE, example_segmentation, segment_class
from mrml_reading import assert_holds, read_segmentation_node

every_geometry = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
LABEL_MAPS = [suffix for suffix in OUTPUT_SUFFIXES if suffix not in (".seg.nrrd", ".dcm", ".mrb")]


@every_geometry
@pytest.mark.parametrize("layers", [1, 3])
def test_slicer_loads_the_same_segments_from_a_seg_nrrd(affine: np.ndarray, layers: int, tmp_path: Path):
    segmentation = example_segmentation(affine, layers)
    write_segmentation(tmp_path / "a.seg.nrrd", segmentation)
    with offscreen_application() as application:
        node = read_segmentation_node(application.GetMRMLScene(), tmp_path / "a.seg.nrrd")
        assert node.GetSegmentation().GetNumberOfLayers() == layers
        assert_holds(node, segmentation)


def test_slicer_loads_a_segmentation_in_which_nothing_was_found(tmp_path: Path):
    segmentation = example_segmentation(AFFINES["oblique"])
    nothing = replace(segmentation, layers=(np.zeros(SHAPE, np.uint8),))
    write_segmentation(tmp_path / "a.seg.nrrd", nothing)
    with offscreen_application() as application:
        assert_holds(read_segmentation_node(application.GetMRMLScene(), tmp_path / "a.seg.nrrd"), nothing)


@every_geometry
@pytest.mark.parametrize("suffix", LABEL_MAPS)
def test_a_label_map_lies_on_the_input_grid_in_the_bundles_own_values(affine, suffix: str, tmp_path: Path):
    segmentation = example_segmentation(affine)
    path = tmp_path / f"a{suffix}"
    write_segmentation(path, segmentation)
    labels, found_affine = read_label_map(path)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, segmentation.layers[0])
    np.testing.assert_allclose(found_affine, affine, atol=1e-5)


@pytest.mark.parametrize("suffix", LABEL_MAPS)
def test_overlapping_classes_lie_along_a_fourth_axis(suffix: str, tmp_path: Path):
    segmentation = example_segmentation(AFFINES["oblique"], layers=3)
    path = tmp_path / f"a{suffix}"
    write_segmentation(path, segmentation)
    labels, _ = read_label_map(path)
    assert labels.shape == (*SHAPE, 3)
    for number, layer in enumerate(segmentation.layers):
        np.testing.assert_array_equal(labels[..., number], layer)


def test_slicer_and_nibabel_agree_on_where_a_nifti_label_map_lies(tmp_path: Path):
    write_segmentation(tmp_path / "a.nii.gz", example_segmentation(AFFINES["oblique"]))
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert int(header["sform_code"]) > 0
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)


@pytest.mark.parametrize("suffix", [".seg.nrrd", *LABEL_MAPS])
def test_labels_above_255_are_kept(suffix: str, tmp_path: Path):
    segmentation = example_segmentation(AFFINES["RAS, 1 mm"])
    layer = np.where(segmentation.layers[0] == 9, 300, 0).astype(np.uint16)
    large = replace(segmentation, layers=(layer,), segments=(Segment(segment_class(300, "Large"), 0, 1.0),))
    write_segmentation(tmp_path / f"a{suffix}", large)
    labels, _ = read_label_map(tmp_path / f"a{suffix}")
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, layer)


def test_an_existing_file_is_not_replaced_without_being_told(tmp_path: Path):
    path = tmp_path / "a.nii.gz"
    path.write_text("corrected by hand")
    segmentation = example_segmentation(AFFINES["oblique"])
    with pytest.raises(OutputRejected, match="--overwrite"):
        write_segmentation(path, segmentation)
    assert path.read_text() == "corrected by hand"
    write_segmentation(path, segmentation, overwrite=True)
    np.testing.assert_array_equal(read_label_map(path)[0], segmentation.layers[0])


@pytest.mark.parametrize("suffix", [".seg.nrrd", *LABEL_MAPS])
def test_a_suffix_in_capitals_is_the_same_format(suffix: str, tmp_path: Path):
    segmentation = example_segmentation(AFFINES["oblique"])
    write_segmentation(tmp_path / f"A{suffix.upper()}", segmentation)
    (tmp_path / f"A{suffix.upper()}").rename(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(read_label_map(tmp_path / f"b{suffix}")[0], segmentation.layers[0])


def test_a_scene_is_not_a_segmentation_file(tmp_path: Path):
    with pytest.raises(OutputRejected, match="whole scene"):
        write_segmentation(tmp_path / "a.mrb", example_segmentation(AFFINES["oblique"]))
    assert not list(tmp_path.iterdir())


WRITE_ON_A_FULL_DISK = """
import resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from example_segmentation import AFFINES, SHAPE, example_segmentation
from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.segmentation_file import write_segmentation
noise = np.random.default_rng(0).integers(0, 255, (60, 60, 60)).astype(np.uint8)
segmentation = replace(example_segmentation(AFFINES["oblique"]), layers=(noise,))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_segmentation(Path(sys.argv[1]), segmentation)
except OutputRejected as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("suffix", [".seg.nrrd", *LABEL_MAPS])
def test_a_full_disk_is_said_and_no_truncated_file_is_left(suffix: str, tmp_path: Path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", WRITE_ON_A_FULL_DISK, tmp_path / f"a{suffix}"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert "could not be written" in done.stdout
    assert done.stderr == ""
    assert not list(tmp_path.iterdir())


def read_label_map(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels (I, J, K) or (I, J, K, layers), and the affine index → RAS in mm."""
    if ".nii" in path.name:
        image = nibabel.load(path)
        return np.asanyarray(image.dataobj), image.affine
    image = SimpleITK.ReadImage(str(path))
    dimension = image.GetDimension()
    directions = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = directions * image.GetSpacing()[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return SimpleITK.GetArrayFromImage(image).T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
