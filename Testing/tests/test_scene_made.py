"""Which voxels a person set is known: now, and in a scene that was saved and opened again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer

from TransformerSegLib.scene.labelmaps import segments_of
from TransformerSegLib.scene.made import Maker, edited_voxels, is_protected, maker, makers, refresh_makers
from TransformerSegLib.scene.run_records import run_records
from TransformerSegLib.scene.segment_tags import MAKER_TAG, tag
from TransformerSegLib.scene.stored_proposals import IDENTIFIER_ATTRIBUTE
from TransformerSegLib.scene.undoing import undo_run
from TransformerSegLib.scene.volumes import add_volume_node, vtk_matrix

from example_segmentation import AFFINES, SHAPE, example_segmentation, example_volume, geometry, rotation
from mrml_transforms import add_linear_transform
from scene_runs import assert_same_masks, masks, names, other_result, proposed, put, reopened, shifted
from segment_edits import EDITOR, Pencil, set_completed

OBLIQUE = AFFINES["oblique"]
FIRST, EMPTY, LAST, OVERLAPPING = "Segment_2", "Segment_4", "Segment_9", "Segment_20"


def whole(edited: tuple[np.ndarray, tuple[int, int, int]] | None) -> np.ndarray:
    array = np.zeros(SHAPE, bool)
    if edited is not None:
        mask, start = edited
        array[tuple(slice(first, first + count) for first, count in zip(start, mask.shape, strict=True))] = mask
    return array


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_the_voxels_that_a_person_set_are_those_that_differ_from_the_model(scene, affine: np.ndarray):
    volume_node = add_volume_node(scene, example_volume(affine))
    result = example_segmentation(affine, layers=2)
    node = put(scene, result, volume_node).node
    pencil = Pencil(scene, node, volume_node)
    pencil.paint(FIRST, np.s_[0:4, 2:4, 0:2])
    pencil.erase(FIRST, np.s_[5:7, 3:6, 7:9])
    expected = masks(node, affine)[FIRST] ^ result.mask(result.segments[0])
    assert expected.any()
    np.testing.assert_array_equal(whole(edited_voxels(node, FIRST)), expected)
    assert edited_voxels(node, LAST) is None


def test_all_of_a_persons_segment_are_a_persons_voxels(node, pencil):
    mine = node.GetSegmentation().AddEmptySegment("", "mine")
    assert edited_voxels(node, mine) is None
    pencil.paint(mine, np.s_[1:3, 1:4, 1:5])
    mask, start = edited_voxels(node, mine)
    assert mask.sum() == 2 * 3 * 4
    np.testing.assert_array_equal(whole((mask, start)), masks(node, OBLIQUE)[mine])


def test_who_made_a_segment_is_written_on_it_when_asked(node, pencil):
    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])
    mine = node.GetSegmentation().AddEmptySegment("", "mine")
    assert tag(node.GetSegmentation().GetSegment(FIRST), MAKER_TAG) == "model"
    refresh_makers(node)
    written = {name: tag(segment, MAKER_TAG) for name, segment in segments_of(node.GetSegmentation()).items()}
    assert written == {
        FIRST: "model, then a person",
        EMPTY: "model",
        LAST: "model",
        OVERLAPPING: "model",
        mine: "a person",
    }


def test_runs_and_their_undo_write_on_segments_who_made_them(scene, node, pencil, volume_node):
    def written() -> str | None:
        return tag(node.GetSegmentation().GetSegment(FIRST), MAKER_TAG)

    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])
    put(scene, example_segmentation(OBLIQUE, layers=2), volume_node, node)
    assert written() == "model, then a person"
    pencil.erase(FIRST, np.s_[0:3, 0:3, 0:3])
    undo_run(node)
    assert written() == "model"


def test_a_completed_segment_is_protected_though_nobody_drew_in_it(node):
    set_completed(node, FIRST)
    assert maker(node, FIRST) is Maker.MODEL
    assert is_protected(node, FIRST)
    assert not is_protected(node, LAST)


def test_a_changed_name_colour_or_surface_is_no_edit(node):
    segment = node.GetSegmentation().GetSegment(FIRST)
    segment.SetName("mine")
    segment.SetColor(0.1, 0.2, 0.3)
    node.CreateClosedSurfaceRepresentation()
    assert maker(node, FIRST) is Maker.MODEL


def test_a_labelmap_that_only_reaches_farther_is_no_edit(node, pencil):
    pencil.paint(FIRST, np.s_[0:1, 0:1, 0:1])
    pencil.erase(FIRST, np.s_[0:1, 0:1, 0:1])
    assert maker(node, FIRST) is Maker.MODEL


def test_another_source_geometry_makes_all_of_it_a_persons(node):
    for segment in segments_of(node.GetSegmentation()).values():
        labelmap = segment.GetRepresentation("Binary labelmap")
    moved = OBLIQUE.copy()
    moved[:3, 3] += 0.3
    labelmap.SetImageToWorldMatrix(vtk_matrix(moved))
    assert makers(node) == {
        FIRST: Maker.MODEL,
        EMPTY: Maker.MODEL,
        LAST: Maker.MODEL,
        OVERLAPPING: Maker.MODEL_THEN_PERSON,
    }
    assert edited_voxels(node, OVERLAPPING)[0].sum() == 5 * 5 * 5


def test_a_transform_that_was_hardened_makes_all_of_it_a_persons(scene, node):
    node.SetAndObserveTransformNodeID(add_linear_transform(scene, geometry(rotation(5), (1, 1, 1))).GetID())
    assert set(makers(node).values()) == {Maker.MODEL}
    node.HardenTransform()
    found = makers(node)
    assert {found[name] for name in (FIRST, LAST, OVERLAPPING)} == {Maker.MODEL_THEN_PERSON}


def test_surfaces_as_source_make_all_of_it_a_persons(node):
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    assert set(makers(node).values()) == {Maker.MODEL_THEN_PERSON}


def test_without_the_stored_proposal_everything_is_a_persons(scene, node):
    scene.RemoveNode(scene.GetFirstNodeByClass("vtkMRMLTextNode"))
    assert set(makers(node).values()) == {Maker.PERSON}


@pytest.mark.parametrize("damage", ["", "nonsense", "[]", "{}", '{"format": 1}', "cut off", "another voxel type"])
def test_with_a_damaged_proposal_everything_is_a_persons(scene, node, tmp_path, damage: str):
    text_node = scene.GetFirstNodeByClass("vtkMRMLTextNode")
    content = json.loads(text_node.GetText())
    if damage == "cut off":
        damage = text_node.GetText()[: len(text_node.GetText()) // 2]
    elif damage == "another voxel type":
        content["layers"][0]["type"] = "float64"
        damage = json.dumps(content)
    text_node.SetText(damage)
    with reopened(scene, tmp_path / "saved") as other_scene:
        found = makers(other_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode"))
        assert set(found.values()) == {Maker.PERSON}


def test_a_clone_of_a_segmentation_knows_as_much(scene, node, pencil):
    pencil.paint(FIRST, np.s_[0:3, 0:3, 0:3])
    clone = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    clone.Copy(node)
    assert makers(clone) == makers(node)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_a_reopened_scene_knows_what_a_person_set(scene, affine: np.ndarray, tmp_path):
    volume_node = add_volume_node(scene, example_volume(affine))
    result = example_segmentation(affine, layers=3)
    node = put(scene, result, volume_node).node
    put(scene, other_result(affine), volume_node, node)
    pencil = Pencil(scene, node, volume_node)
    pencil.paint(FIRST, np.s_[6:10, 2:5, 0:2])
    mine = node.GetSegmentation().AddEmptySegment("", "mine")
    pencil.paint(mine, np.s_[0:13, 8:9, 9:11], EDITOR.OverwriteAllSegments)
    set_completed(node, LAST)
    before, found, records = masks(node, affine), makers(node), run_records(node)
    assert found[FIRST] is Maker.MODEL_THEN_PERSON
    assert found[LAST] is Maker.MODEL
    edited = whole(edited_voxels(node, FIRST))

    with reopened(scene, tmp_path / "saved") as other_scene:
        node = other_scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        volume_node = other_scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        assert_same_masks(masks(node, affine), before)
        assert makers(node) == found
        assert run_records(node) == records
        np.testing.assert_array_equal(whole(edited_voxels(node, FIRST)), edited)

        outcome = put(other_scene, on_grid_of(volume_node, shifted(result)), volume_node, node)

        assert outcome.run_number == 3
        assert outcome.kept == (FIRST, LAST)
        after = masks(node, affine)
        for name in (FIRST, LAST, mine):
            np.testing.assert_array_equal(after[name], before[name])
        for name in (EMPTY, OVERLAPPING):
            assert name in outcome.replaced
        np.testing.assert_array_equal(after[OVERLAPPING], proposed(shifted(result), "Overlapping 1"))
        for name in outcome.added:
            class_name = names(node)[name].removesuffix(" (run 3)")
            np.testing.assert_array_equal(after[name], proposed(shifted(result), class_name))


def on_grid_of(volume_node, result):
    """Slicer turns left-handed grids round when it loads volumes: then the run sees them so."""
    from dataclasses import replace

    from TransformerSegLib.scene.volumes import volume_affine

    affine = volume_affine(volume_node)
    if np.allclose(affine, result.affine, atol=1e-6):
        return result
    turned = tuple(np.ascontiguousarray(layer[:, :, ::-1]) for layer in result.layers)
    return replace(result, layers=turned, affine=affine)


def test_the_proposal_is_hidden_and_saved_within_the_scenes_own_file(scene, node):
    text_node = scene.GetFirstNodeByClass("vtkMRMLTextNode")
    assert text_node.GetAttribute(IDENTIFIER_ATTRIBUTE)
    assert text_node.GetHideFromEditors()
    text_node.AddDefaultStorageNode()
    assert text_node.GetStorageNode() is None
    assert scene.GetNumberOfNodesByClass("vtkMRMLTextStorageNode") == 0


def test_an_unknown_segment_is_an_error(node):
    with pytest.raises(KeyError):
        maker(node, "no such segment")


def test_records_that_are_no_records_are_none():
    node = slicer.vtkMRMLSegmentationNode()
    for text in ("", "nonsense", "{}", "[1]"):
        node.SetAttribute("TransformerSeg.runs", text)
        assert run_records(node) == []
