"""Which volumes of a scene a model takes, and a look at them without a copy."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from slicer.util import updateVolumeFromArray

from TransformerSegLib.bundles.card import Card, InputChannel
from TransformerSegLib.errors import EmptyVolume, VectorVoxels
from TransformerSegLib.inference.checks import check_volume
from TransformerSegLib.scene.inputs import glance, propose_inputs
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.volumes import add_volume_node, volume_from_node

from example_segmentation import AFFINES, example_volume, segment_class

OBLIQUE = AFFINES["oblique"]


@pytest.fixture
def scene():
    with offscreen_application() as application:
        yield application.GetMRMLScene()


def card(**hints: tuple[str, ...]) -> Card:
    return Card(
        name="a",
        title="A",
        version="1",
        description="",
        inputs=tuple(InputChannel(name=name, hints=words) for name, words in hints.items()),
        classes=(segment_class(1, "one"),),
    )


BRAIN = card(FLAIR=("flair",), T1=("t1",), T1c=("t1c", "t1ce", "t1gd", "contrast"), T2=("t2",))
ONE = card(image=())


def add(scene, *names: str):
    return [add_volume_node(scene, example_volume(OBLIQUE, name)) for name in names]


def chosen(scene, card: Card, shown=None) -> dict[str, str | None]:
    found = propose_inputs(scene, card, shown)
    assert list(found) == [channel.name for channel in card.inputs]
    return {channel: node and node.GetName() for channel, node in found.items()}


def test_a_glance_shows_what_a_copy_would_without_copying(scene):
    (node,) = add(scene, "Kopf")
    volume, copy = glance(node), volume_from_node(node)
    np.testing.assert_array_equal(volume.array, copy.array)
    np.testing.assert_array_equal(volume.affine, copy.affine)
    assert (volume.name, volume.modality) == (copy.name, copy.modality)
    assert np.shares_memory(volume.array, slicer.util.arrayFromVolume(node))
    check_volume(volume)


def test_a_glance_refuses_what_no_model_reads(scene):
    with pytest.raises(EmptyVolume):
        glance(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    colours = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photograph")
    updateVolumeFromArray(colours, np.zeros((4, 5, 6, 3), np.uint8))
    with pytest.raises(VectorVoxels):
        glance(colours)


def test_a_model_with_one_input_takes_the_volume_that_is_shown(scene):
    assert chosen(scene, ONE) == {"image": None}
    first, second = add(scene, "first", "second")
    assert chosen(scene, ONE, second) == {"image": "second"}
    assert chosen(scene, ONE) == {"image": None}
    scene.RemoveNode(first)
    assert chosen(scene, ONE) == {"image": "second"}


@pytest.mark.parametrize(
    "names",
    [
        ("BraTS_001_flair", "BraTS_001_t1", "BraTS_001_t1ce", "BraTS_001_t2"),
        ("AX T2 FLAIR", "AX T1", "AX T1 post contrast", "AX T2"),
        ("t2-flair", "T1w", "T1Gd", "T2w"),
        ("FLAIR", "T1", "T1c", "T2"),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_several_inputs_are_told_by_their_names(scene, names, order):
    add(scene, *(names[number] for number in order))
    assert chosen(scene, BRAIN) == dict(zip(("FLAIR", "T1", "T1c", "T2"), names, strict=True))


def test_what_does_not_suggest_itself_is_left_to_a_person(scene):
    add(scene, "t1", "unknown")
    assert chosen(scene, BRAIN) == {"FLAIR": None, "T1": "t1", "T1c": None, "T2": None}


def test_no_volume_is_taken_twice(scene):
    add(scene, "T2 FLAIR")
    assert sorted(map(str, chosen(scene, BRAIN).values())) == ["None", "None", "None", "T2 FLAIR"]


def test_of_two_that_fit_alike_the_shown_one_is_taken(scene):
    first, second = add(scene, "T1", "T1")
    for shown in (first, second):
        assert propose_inputs(scene, BRAIN, shown)["T1"] is shown


def test_the_study_of_the_shown_volume_goes_before_others(scene):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    studies = []
    for study in ("before", "after"):
        item = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), study)
        studies.append(add(scene, "flair", "t1", "t1ce", "t2"))
        for node in studies[-1]:
            hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), item)
    for nodes in studies:
        assert list(propose_inputs(scene, BRAIN, nodes[3]).values()) == nodes


def test_the_dicom_series_description_counts_too(scene):
    first, second = add(scene, "5: series", "6: series")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(second), "DICOM.SeriesDescription", "ax T2_FLAIR 3D")
    assert propose_inputs(scene, card(FLAIR=("flair",), T1=("t1",)), first) == {"FLAIR": second, "T1": None}


def test_label_maps_colour_images_and_hidden_volumes_are_no_inputs(scene):
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "t1")
    scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "t2")
    (hidden,) = add(scene, "flair")
    hidden.SetHideFromEditors(True)
    assert set(chosen(scene, BRAIN).values()) == {None}
