"""What was corrected in Slicer, saved by Slicer's own writers, as training data."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slicer

from TransformerSegLib.bundles.metadata import color
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.export.segmentation_file import write_segmentation
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.scene.volumes import add_volume_node
from TransformerSegLib.training.cases import Case, ClassName
from TransformerSegLib.training.data_list import read_data
from TransformerSegLib.training.labels import read_label
from TransformerSegLib.training.segment_file import read_layers, read_segments

from example_segmentation import AFFINES, PROVENANCE, SHAPE, example_segmentation, example_volume, segment_class
from scene_runs import masks, names, put
from segment_edits import Pencil, set_completed

CLASSES = ["Anterior Größe", "Nothing", "C", "Overlapping 1"]


def save(node, storage: slicer.vtkMRMLStorageNode, path: Path, cropped: bool = False) -> Path:
    if cropped:
        storage.SetCropToMinimumExtent(True)
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1
    return path


def save_case(node, volume_node, folder: Path, name: str, cropped: bool = False) -> Path:
    """As a person saves both from Slicer."""
    save(volume_node, slicer.vtkMRMLVolumeArchetypeStorageNode(), folder / f"{name}.nrrd")
    segments = folder / f"{name} hippocampus.seg.nrrd"
    return save(node, slicer.vtkMRMLSegmentationStorageNode(), segments, cropped)


def review(node, but: tuple[str, ...] = ()) -> None:
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        if segment_id not in but:
            set_completed(node, segment_id)


def test_reviewed_cases_are_read_and_the_others_are_left_out_and_named(scene, volume_node, node, tmp_path: Path):
    save_case(node, volume_node, tmp_path, "untouched")
    review(node, but=("Segment_9",))
    save_case(node, volume_node, tmp_path, "half")
    review(node)
    save_case(node, volume_node, tmp_path, "done")
    data = read_data(tmp_path)
    (case,) = data.training
    assert (case.name, case.image.name) == ("done", "done.nrrd")
    assert [each.name for each in data.classes] == CLASSES
    assert [each.label for each in data.classes] == [1, 2, 3, 4]
    assert "2 segmentations are left out" in data.notes[0]
    assert "“half hippocampus.seg.nrrd” (C not completed)" in data.notes[0]


@pytest.mark.parametrize("cropped", [False, True])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_what_a_person_drew_is_what_is_learned(scene, tmp_path: Path, affine: np.ndarray, cropped: bool):
    volume_node = add_volume_node(scene, example_volume(affine))
    node = put(scene, example_segmentation(affine, layers=2), volume_node).node
    Pencil(scene, node, volume_node).paint("Segment_2", np.s_[2:4, 0:4, 1:3])
    review(node)
    path = save_case(node, volume_node, tmp_path, "case", cropped)
    assert (read_layers(path).layers.shape[1:] != SHAPE) is cropped
    data = read_data(tmp_path)
    labels = read_label(data.training[0], data.classes)
    drawn = {names(node)[segment_id]: mask for segment_id, mask in masks(node, affine).items()}
    assert drawn["Anterior Größe"][2:4, 0:4, 1:3].all()
    expected = np.zeros(SHAPE, np.uint8)
    for name in sorted(drawn, key=lambda name: -drawn[name].sum()):
        expected[drawn[name]] = CLASSES.index(name) + 1
    image = read_volume(data.training[0].image)
    assert labels.array.shape == image.array.shape
    if (np.abs(image.affine - affine) < 1e-3).all():  # Slicer turns left-handed volumes round
        np.testing.assert_array_equal(labels.array, expected)
    else:
        assert np.bincount(labels.array.ravel()).tolist() == np.bincount(expected.ravel()).tolist()
        index = np.argwhere(labels.array == 1)
        there = np.linalg.inv(affine) @ image.affine @ np.c_[index, np.ones(len(index))].T
        assert (expected[tuple(np.rint(there[:3]).astype(int))] == 1).all()


def test_segments_get_the_labels_of_the_classes_of_their_names(scene, volume_node, node, tmp_path: Path):
    review(node)
    case = Case(tmp_path / "case.nrrd", save_case(node, volume_node, tmp_path, "case"))
    own = read_label(case, [ClassName(n, name, color(n)) for n, name in enumerate(CLASSES, start=1)]).array
    turned = read_label(case, [ClassName(9 - n, name, color(n)) for n, name in enumerate(CLASSES, start=1)]).array
    np.testing.assert_array_equal(turned, np.where(own > 0, 9 - own, 0))


def test_segmentations_may_also_lie_in_a_folder_of_labels(scene, volume_node, node, tmp_path: Path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    save(volume_node, slicer.vtkMRMLVolumeArchetypeStorageNode(), tmp_path / "images" / "case.nrrd")
    save(node, slicer.vtkMRMLSegmentationStorageNode(), tmp_path / "labels" / "case.seg.nrrd")
    data = read_data(tmp_path)
    assert [each.name for each in data.classes] == CLASSES
    assert set(np.unique(read_label(data.training[0], data.classes).array)) == {0, 1, 3, 4}


def test_segments_beside_labels_that_are_numbers_are_refused_unless_classes_are_named(
    scene, volume_node, node, tmp_path: Path
):
    path = save_case(node, volume_node, tmp_path, "case")
    (tmp_path / "other.nrrd").write_bytes((tmp_path / "case.nrrd").read_bytes())
    pairs = (("case.nrrd", path.name), ("other.nrrd", "other.nrrd"))
    listed = {"training": [{"image": image, "label": label} for image, label in pairs]}
    (tmp_path / "list.json").write_text(json.dumps(listed), encoding="utf-8")
    with pytest.raises(TrainingDataRejected, match="nothing tells which number is which segment"):
        read_data(tmp_path / "list.json")
    named = listed | {"labels": {str(number): name for number, name in enumerate(CLASSES, start=1)}}
    (tmp_path / "list.json").write_text(json.dumps(named), encoding="utf-8")
    assert [each.name for each in read_data(tmp_path / "list.json", validation=0).classes] == CLASSES


def test_segments_saved_in_numbers_with_a_sign_are_read(scene, volume_node, node, tmp_path: Path):
    import SimpleITK

    path = save_case(node, volume_node, tmp_path, "case")
    before, stored = read_layers(path).layers, SimpleITK.ReadImage(str(path))
    signed = SimpleITK.Cast(stored, SimpleITK.sitkVectorInt16 if len(before) > 1 else SimpleITK.sitkInt16)
    SimpleITK.WriteImage(signed, str(path))
    np.testing.assert_array_equal(read_layers(path).layers, before)


def test_a_segment_that_is_no_class_is_refused_by_its_name(scene, volume_node, node, tmp_path: Path):
    case = Case(tmp_path / "case.nrrd", save_case(node, volume_node, tmp_path, "case"))
    known = [ClassName(1, "Anterior Größe", color(0)), ClassName(2, "Nothing", color(1))]
    with pytest.raises(TrainingDataRejected, match="the segments “C”, “Overlapping 1”"):
        read_label(case, known)


def test_of_segments_that_contain_one_another_the_smaller_is_on_top(tmp_path: Path):
    parts = np.zeros(SHAPE, np.uint8)
    parts[1:12, 1:8, 1:10] = 2
    parts[3:9, 2:7, 2:8] = 3
    parts[4:7, 3:6, 3:6] = 1
    regions = {"Tumour core": (1, 3), "Whole tumour": (1, 2, 3), "Enhancing tumour": (3,)}
    layers = tuple(np.isin(parts, held).astype(np.uint8) * (n + 1) for n, held in enumerate(regions.values()))
    segments = tuple(Segment(segment_class(n + 1, name, False), n, 1.0) for n, name in enumerate(regions))
    affine = AFFINES["oblique"]
    write_segmentation(tmp_path / "case.seg.nrrd", Segmentation(layers, affine, segments, "case", PROVENANCE))
    classes = [ClassName(n + 1, name, color(n)) for n, name in enumerate(regions)]
    image = replace(example_volume(affine), name="case")
    labels = read_label(Case(tmp_path / "case.nrrd", tmp_path / "case.seg.nrrd"), classes, image)
    np.testing.assert_array_equal(labels.array, parts)


def test_a_volume_is_found_by_what_the_run_wrote_into_the_segments(scene, tmp_path: Path):
    affine = AFFINES["oblique"]
    made = replace(example_segmentation(affine), provenance={**PROVENANCE, "inputs": ["t1c 1", "flair"]})
    volume_node = add_volume_node(scene, example_volume(affine))
    node = put(scene, made, volume_node).node
    review(node)
    for name in ("flair", "t1c 1", "localiser"):
        save(volume_node, slicer.vtkMRMLVolumeArchetypeStorageNode(), tmp_path / f"{name}.nrrd")
    save(node, slicer.vtkMRMLSegmentationStorageNode(), tmp_path / "tumour.seg.nrrd")
    (case,) = read_data(tmp_path).training
    assert [path.name for path in case.images] == ["t1c 1.nrrd", "flair.nrrd"]


def test_segments_without_a_volume_and_damaged_ones_are_all_named_at_once(scene, volume_node, node, tmp_path: Path):
    review(node)
    whole = save_case(node, volume_node, tmp_path, "case")
    shutil.copyfile(whole, tmp_path / "alone.seg.nrrd")
    (tmp_path / "torn.seg.nrrd").write_bytes(whole.read_bytes()[:300])
    with pytest.raises(TrainingDataRejected, match="Nothing tells which volume “alone") as raised:
        read_data(tmp_path)
    assert raised.value.details == ("“torn.seg.nrrd” cannot be read",)


def test_data_of_which_nothing_is_reviewed_are_refused_with_what_to_do(scene, volume_node, node, tmp_path: Path):
    save_case(node, volume_node, tmp_path, "case")
    with pytest.raises(TrainingDataRejected, match="set the status of every segment") as raised:
        read_data(tmp_path)
    assert "Anterior Größe" in raised.value.details[0]


def test_torn_voxels_are_refused(scene, volume_node, node, tmp_path: Path):
    path = save_case(node, volume_node, tmp_path, "case")
    assert len(read_segments(path)) == 4
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TrainingDataRejected, match="cannot be read"):
        read_label(Case(tmp_path / "case.nrrd", path), [])
