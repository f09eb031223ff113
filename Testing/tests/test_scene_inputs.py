"""Which volumes of a scene a model takes, and a look at them without a copy."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from slicer.util import updateVolumeFromArray

from TransformerSegLib.bundles.card import Card, InputChannel
from TransformerSegLib.errors import EmptyVolume, OtherPatient, VectorVoxels
from TransformerSegLib.inference.belonging import check_identities
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


def test_brats_file_names_are_told_apart_from_everything_else_in_the_scene(scene):
    names = ("localizer", "BraTS-GLI-00001-000-t2w", "BraTS-GLI-00001-000-t1n", "ADC", "BraTS-GLI-00001-000-t1c")
    add(scene, *names, "BraTS-GLI-00001-000-t2f")
    found = {channel: name.rpartition("-")[2] for channel, name in chosen(scene, BRAIN).items()}
    assert found == {"FLAIR": "t2f", "T1": "t1n", "T1c": "t1c", "T2": "t2w"}


def patient(scene, name: str, patient_id: str) -> int:
    """A patient in the subject hierarchy, as Slicer's DICOM import makes one."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
    hierarchy.SetItemAttribute(item, "DICOM.PatientID", patient_id)
    return hierarchy.CreateStudyItem(item, "study")


def test_the_patient_is_the_one_under_whom_the_volume_stands(scene):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    nodes = add(scene, "T1", "FLAIR", "of nobody")
    for node, study in zip(nodes, (patient(scene, "A", "4711"), patient(scene, "B", "0815")), strict=False):
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
    assert [glance(node).origin.patient_id for node in nodes] == ["4711", "0815", ""]
    assert volume_from_node(nodes[0]).origin == glance(nodes[0]).origin
    with pytest.raises(OtherPatient, match="“T1” and “FLAIR” are of different patients"):
        check_identities([glance(node) for node in nodes[:2]])


def test_a_patient_id_that_slicer_made_up_is_none(scene):
    """Of each study without one it makes its own: two studies of one patient would look like two patients."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    (node,) = add(scene, "T1")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), patient(scene, "No name", "Patient-1.2.840.1"))
    assert glance(node).origin.patient_id == ""


def test_label_maps_colour_images_and_hidden_volumes_are_no_inputs(scene):
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "t1")
    scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "t2")
    (hidden,) = add(scene, "flair")
    hidden.SetHideFromEditors(True)
    assert set(chosen(scene, BRAIN).values()) == {None}
