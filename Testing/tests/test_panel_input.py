"""The panel's input, as a person meets it: what is filled in, what is checked, what is to be done.

Module code and the real MRML scene, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slicer

from TransformerSegLib.bundles.plan import Activation, NormalizeIntensity, OutputPlan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.volumes import add_volume_node, volume_from_node

from bundle_factory import write_bundle
from dicom_files import changed
from host import Host
from panel_user import PanelUser
from scene_runs import masks

CHANNELS = ("T1", "T1ce", "T2", "FLAIR")


@pytest.fixture
def user() -> Iterator[PanelUser]:
    with Host() as host:
        yield PanelUser(host)


def add_volume(user: PanelUser, name: str, shape=(35, 50, 36), modality: str | None = "MR", **changes):
    """A volume of noise with 1 mm voxels, its own for each name, shown in the slice views."""
    noise = np.random.default_rng(list(name.encode())).integers(0, 900, shape).astype(changes.get("dtype", np.int16))
    if changes.get("nan"):
        noise[0, 0, 0] = np.nan
    affine = np.diag([*[changes.get("spacing", 1.0)] * 3, 1.0])
    node = add_volume_node(user.host.scene, Volume(noise, affine, name, modality))
    slicer.util.setSliceViewerLayers(background=node)
    user.wait()
    return node


def test_without_a_volume_the_panel_says_how_to_get_one(user):
    assert "drag its file" in user.reads("emptyLabel")
    assert not user.ui.segmentButton.enabled
    assert user.reads("reasonLabel") == user.ui.segmentButton.toolTip == "Load a volume first"


def test_the_sample_volume_is_one_click_away(user):
    user.click("loadSampleButton")

    assert not user.sees("emptyBox")
    assert user.reads("checkLine").endswith("fits")
    assert user.ui.segmentButton.enabled


def test_the_volume_that_is_shown_is_filled_in_and_checked(user):
    add_volume(user, "not shown any longer")
    shown = add_volume(user, "shown")
    user.panel.enter()

    assert user.panel_input("T1-weighted MR").currentNode() is shown
    assert user.reads("checkSign") == "✓"
    assert user.reads("checkLine") == "1 mm MR, 35×50×36: fits"
    assert "window" in user.reads("forecastLabel")


def test_what_a_person_chose_stays_when_another_volume_is_shown(user):
    add_volume(user, "filled in")
    chosen, _shown = add_volume(user, "chosen"), add_volume(user, "shown")

    user.choose_input("T1-weighted MR", chosen)
    user.panel.enter()

    assert user.panel_input("T1-weighted MR").currentNode() is chosen


def test_an_input_unlike_the_training_data_waits_for_confirmation(user):
    ct = add_volume(user, "thorax", modality="CT")

    assert user.reads("checkSign") == "!"
    assert "CT" in user.reads("checkLine")
    assert "MR" in user.reads("checkLine")
    assert not user.ui.segmentButton.enabled
    assert user.reads("reasonLabel") == "Choose a volume that fits, or confirm"

    user.click("confirmBox")
    assert user.ui.segmentButton.enabled

    other = add_volume(user, "abdomen", modality="CT")
    user.choose_input("T1-weighted MR", other)
    assert not user.ui.confirmBox.checked, "a confirmation is for one volume"
    user.choose_input("T1-weighted MR", ct)
    assert not user.ui.segmentButton.enabled


def test_a_whole_head_is_offered_a_box_that_makes_it_fit(user):
    add_volume(user, "whole head", shape=(160, 200, 150))
    assert "Place the box" in user.reads("regionHint")
    assert not user.ui.segmentButton.enabled

    user.click("placeBoxButton")

    region = user.ui.regionSelector.currentNode()
    assert region.IsA("vtkMRMLMarkupsROINode")
    assert user.reads("checkSign") == "✓"
    assert "Drag it" in user.reads("regionHint")
    assert user.ui.segmentButton.enabled


def test_a_box_that_is_dragged_off_the_volume_is_noticed(user):
    add_volume(user, "whole head", shape=(160, 200, 150))
    user.click("placeBoxButton")

    user.ui.regionSelector.currentNode().SetCenter(5000.0, 0.0, 0.0)
    user.wait()

    assert user.reads("checkSign") == "✗"
    assert not user.ui.segmentButton.enabled


def test_a_volume_that_no_model_can_segment_is_refused_with_a_remedy(user):
    add_volume(user, "broken", dtype=np.float32, nan=True)

    assert user.reads("checkSign") == "✗"
    assert not user.sees("confirmBox")
    assert not user.ui.segmentButton.enabled
    assert user.reads("reasonLabel").startswith("Replace them")
    what, why, remedy = user.reads("checkLine").splitlines()
    assert "broken" in what
    assert why
    assert remedy.startswith("→ Replace them")


def test_several_inputs_are_told_by_their_names_and_none_is_taken_twice(user, tmp_path):
    names = {"FLAIR": "ax flair", "T2": "t2 tse", "T1": "t1 native", "T1ce": "t1ce gadolinium"}
    nodes = {channel: add_volume(user, name) for channel, name in names.items()}

    user.import_folder(write_bundle(tmp_path / "tumour", inputs=CHANNELS))

    assert {channel: user.panel_input(channel).currentNode() for channel in CHANNELS} == nodes
    assert user.ui.segmentButton.enabled


def test_a_missing_input_is_named(user, tmp_path):
    for name in ("flair", "t2", "t1"):
        add_volume(user, name)

    user.import_folder(write_bundle(tmp_path / "tumour", inputs=CHANNELS))
    user.choose_input("T1ce", None)

    assert user.reads("reasonLabel") == "Choose the volume for T1ce"


def four_volumes(user: PanelUser, patient: int = 1) -> dict[str, object]:
    names = {"FLAIR": "t2f", "T2": "t2w", "T1": "t1n", "T1ce": "t1c"}
    return {channel: add_volume(user, f"BraTS-GLI-0000{patient}-000-{name}") for channel, name in names.items()}


def test_volumes_of_two_patients_are_not_mixed_and_the_second_ones_are_to_be_checked_anew(user, tmp_path):
    four_volumes(user)
    user.import_folder(write_bundle(tmp_path / "tumour", inputs=CHANNELS))
    user.choose_input("T2", None)
    user.choose_input("T2", slicer.util.getNode("*1-000-t2w"))

    second = four_volumes(user, patient=2)

    assert user.panel_input("T2").currentNode() is not second["T2"], "a person chose it"
    del second["T2"]
    assert {channel: user.panel_input(channel).currentNode() for channel in second} == second
    words = "! T1, T1ce, FLAIR assigned by name: please check"
    assert user.reads("assignmentLabel") == words
    user.host.scene.RemoveNode(second["T1"])
    user.wait()
    assert user.reads("assignmentLabel") == words, "the first patient's stands in for it, and nobody has seen that"


def test_what_was_assigned_by_name_is_to_be_checked_until_a_person_touches_it(user, tmp_path):
    nodes = four_volumes(user)
    user.import_folder(write_bundle(tmp_path / "tumour", inputs=CHANNELS))
    assert user.reads("assignmentLabel") == "! Assigned by name: please check"
    assert user.ui.segmentButton.enabled

    user.choose_input("T2", None)
    user.choose_input("T2", nodes["T2"])
    assert user.reads("assignmentLabel") == "✓ Assigned by name, confirmed"


def test_pressing_segment_confirms_what_was_assigned_by_name(user, tmp_path):
    four_volumes(user)
    user.import_folder(write_bundle(tmp_path / "tumour", inputs=CHANNELS))
    user.segment()
    assert user.reads("assignmentLabel") == "✓ Assigned by name, confirmed"


def test_a_volume_that_comes_later_is_named_as_the_one_to_check(user, tmp_path):
    add_volume(user, "t1c")
    add_volume(user, "t2f")
    user.import_folder(write_bundle(tmp_path / "tumour", inputs=("T1", "T1ce", "FLAIR")))
    assert user.reads("assignmentLabel") == "! T1ce, FLAIR assigned by name: please check"
    user.choose_input("T1ce", None)
    assert user.reads("assignmentLabel") == "✓ Assigned by name, confirmed"

    later = add_volume(user, "t1n")
    assert user.panel_input("T1").currentNode() is later
    assert user.reads("assignmentLabel") == "! T1 assigned by name: please check"


def test_with_one_input_or_where_no_name_tells_anything_nothing_is_to_be_checked(user, tmp_path):
    add_volume(user, "a")
    assert not user.sees("assignmentLabel")
    user.import_folder(write_bundle(tmp_path / "tumour", inputs=CHANNELS))
    assert not user.sees("assignmentLabel")


def two_inputs(user: PanelUser, tmp_path: Path, *nodes) -> None:
    """A model with two inputs, and these volumes chosen for them."""
    user.import_folder(write_bundle(tmp_path / "two", inputs=("one", "other")))
    for channel, node in zip(("one", "other"), nodes, strict=True):
        user.choose_input(channel, node)


def test_one_volume_for_two_inputs_is_refused_with_what_to_do(user, tmp_path):
    node = add_volume(user, "T1")
    two_inputs(user, tmp_path, node, node)

    assert not user.sees("confirmBox")
    assert not user.ui.segmentButton.enabled
    assert user.reads("checkLine").startswith("“T1” is given for more than one input.")
    assert user.reads("reasonLabel") == "Choose another volume for each input"


def dicom_volume(user: PanelUser, folder: Path, **tags: str):
    """A series loaded by Slicer, whose DICOM database knows these tags of it; its voxels are its own."""

    def change(data_set, index: int) -> None:
        data_set.SOPInstanceUID = f"1.2.{len(folder.name)}.{index}"
        data_set.PixelData = (data_set.pixel_array + len(folder.name)).tobytes()
        for name, value in tags.items():
            setattr(data_set, name, value)

    return user.load(changed("hippocampus_mr", folder, change), folder.name)


def test_volumes_of_two_patients_are_refused_with_what_to_do_and_nobody_is_named(user, tmp_path):
    one = dicom_volume(user, tmp_path / "T1", PatientID="4711")
    two_inputs(user, tmp_path, one, dicom_volume(user, tmp_path / "FLAIR", PatientID="0815"))

    assert not user.sees("confirmBox")
    assert user.reads("checkLine").startswith("“T1” and “FLAIR” are of different patients.")
    assert user.reads("reasonLabel") == "Choose volumes of one patient"
    assert "4711" not in user.reads("checkLine") + user.ui.checkLine.toolTip


def test_volumes_with_different_frames_of_reference_are_to_be_confirmed(user, tmp_path):
    one = dicom_volume(user, tmp_path / "T1", FrameOfReferenceUID="1.2.3")
    two_inputs(user, tmp_path, one, dicom_volume(user, tmp_path / "FLAIR", FrameOfReferenceUID="1.2.4"))

    assert user.reads("checkLine") == "“T1” and “FLAIR” have different frames of reference"
    assert user.reads("reasonLabel").startswith("Register one to the other, or confirm")
    assert not user.ui.segmentButton.enabled

    user.click("confirmBox")
    user.segment()
    assert user.result()


def test_a_volume_under_a_transform_has_left_its_frame_of_reference(user, tmp_path):
    one = dicom_volume(user, tmp_path / "T1", FrameOfReferenceUID="1.2.3")
    other = dicom_volume(user, tmp_path / "FLAIR", FrameOfReferenceUID="1.2.4")
    two_inputs(user, tmp_path, one, other)
    assert not user.ui.segmentButton.enabled

    registration = user.host.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    other.SetAndObserveTransformNodeID(registration.GetID())
    user.wait()
    assert user.ui.segmentButton.enabled


def test_overlapping_regions_come_out_as_segments_of_their_own(user, tmp_path):
    """The whole way, as for a brain tumour: four volumes, sigmoid scores, three regions that overlap."""
    four_volumes(user)
    regions = ("Tumour core", "Whole tumour", "Enhancing tumour")
    bundle = write_bundle(
        tmp_path / "tumour",
        inputs=CHANNELS,
        classes=regions,
        output=OutputPlan(Activation.SIGMOID, threshold=0.5),
        preparation=[NormalizeIntensity(nonzero=True, channel_wise=True)],
    )
    user.import_folder(bundle)
    user.segment()

    volumes = [volume_from_node(user.panel_input(channel).currentNode()) for channel in CHANNELS]
    expected = Segmenter(read_bundle(bundle), "cpu").segment(volumes)
    node = user.result()
    found = masks(node, volumes[0].affine, volumes[0].array.shape)
    assert [row[0] for row in user.table()] == list(regions)
    assert node.GetSegmentation().GetNumberOfLayers() == len(expected.layers) > 1
    for mask, segment in zip(found.values(), expected.segments, strict=True):
        np.testing.assert_array_equal(mask, expected.mask(segment))
    assert sum(mask.sum() for mask in found.values()) > np.any(list(found.values()), axis=0).sum(), "they overlap"

    user.click("undoButton")
    assert node.GetSegmentation().GetNumberOfSegments() == 0


def test_an_input_that_a_person_left_empty_stays_empty(user, tmp_path):
    for name in ("flair", "t2", "t1", "t1ce"):
        add_volume(user, name)
    user.import_folder(write_bundle(tmp_path / "tumour", inputs=CHANNELS))

    user.choose_input("T2", None)
    user.wait()

    assert user.panel_input("T2").currentNode() is None


def test_the_scene_can_be_closed_when_a_model_with_other_inputs_is_chosen(user, tmp_path):
    """Then the selectors of the first model's inputs come in the place of those that lose their volumes."""
    add_volume(user, "flair")
    user.import_folder(write_bundle(tmp_path / "tumour", inputs=CHANNELS))
    user.host.scene.Clear()
    user.wait()
    assert user.sees("emptyBox")
    assert list(user.panel._input.nodes) == ["T1-weighted MR"]


def test_a_deleted_volume_leaves_the_panel_asking_for_one(user):
    node = add_volume(user, "only one")

    user.host.scene.RemoveNode(node)
    user.wait()

    assert user.sees("emptyBox")
    assert not user.ui.segmentButton.enabled


def test_a_transform_or_new_voxels_are_checked_again(user):
    node = add_volume(user, "fits")
    assert user.ui.segmentButton.enabled

    slicer.util.arrayFromVolume(node)[:] = 7
    slicer.util.arrayFromVolumeModified(node)
    user.wait()

    assert user.reads("checkSign") == "✗"
    assert "7" in user.reads("checkLine")


def test_the_frame_of_a_sequence_can_be_chosen_to_be_all(user):
    sequence = user.host.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "beats")
    for frame in range(3):
        node = add_volume(user, f"frame {frame}")
        sequence.SetDataNodeAtValue(node, str(frame))
        user.host.scene.RemoveNode(node)
    browser = user.host.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(sequence)
    user.choose_input("T1-weighted MR", proxy)

    assert user.reads("frameLabel") == "Frame 1 of 3"
    user.click("allFramesBox")
    assert user.opened.logic.getParameterNode().allFrames


def test_a_volume_that_is_loaded_now_is_the_one_to_be_segmented(user):
    add_volume(user, "before")

    loaded = add_volume(user, "loaded now")

    assert user.panel_input("T1-weighted MR").currentNode() is loaded
