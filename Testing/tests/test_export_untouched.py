"""A result is replaced only while nobody has worked on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import check_output
from TransformerSegLib.export.segmentation_file import write_segmentation
from TransformerSegLib.export.untouched import is_untouched
from TransformerSegLib.scene.offscreen import offscreen_application

from example_segmentation import AFFINES, example_segmentation
from mrml_reading import read_segmentation_node

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_result_as_it_was_written_is_replaced_without_being_told(suffix: str, layers: int, tmp_path: Path):
    path = tmp_path / f"a{suffix}"
    write_segmentation(path, example_segmentation(AFFINES["oblique"], layers))
    assert is_untouched(path)
    write_segmentation(path, example_segmentation(AFFINES["RAS, 1 mm"], layers))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_result_with_one_changed_voxel_is_kept(suffix: str, tmp_path: Path):
    path = tmp_path / f"a{suffix}"
    write_segmentation(path, example_segmentation(AFFINES["RAS, 1 mm"], 1))
    image = SimpleITK.ReadImage(str(path))
    image[3, 4, 5] = 1 if image[3, 4, 5] != 1 else 2
    SimpleITK.WriteImage(image, str(path))
    with pytest.raises(OutputRejected, match="--overwrite"):
        check_output(path)


def test_a_result_that_slicer_saved_again_is_kept(tmp_path: Path):
    path = tmp_path / "a.seg.nrrd"
    write_segmentation(path, example_segmentation(AFFINES["oblique"], 1))
    with offscreen_application() as application:
        node = read_segmentation_node(application.GetMRMLScene(), path)
        node.GetSegmentation().GetNthSegment(0).SetName("renamed by a person")
        assert node.GetStorageNode().WriteData(node)
    with pytest.raises(OutputRejected, match="--overwrite"):
        check_output(path)


def test_a_volume_of_another_program_is_kept(tmp_path: Path):
    path = tmp_path / "a.nii.gz"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((4, 5, 6), np.uint8)), str(path))
    assert not is_untouched(path)
