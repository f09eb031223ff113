"""A sequence that is reviewed frame by frame: module code, the real MRML scene and the embedded model, on a stand-in
for Slicer's Qt layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer

from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.scene.doubt_record import doubt_record
from TransformerSegLib.scene.slice_views import pointed_at, to_world
from TransformerSegLib.scene.volumes import add_volume_node

from host import Host
from panel_user import SAMPLE, PanelUser
from scene_runs import assert_same_masks, masks


@pytest.fixture
def reviewing():
    """Two frames of the sample volume, the second moved by some voxels; both segmented."""
    with Host() as host:
        user = PanelUser(host)
        volume = read_volume(SAMPLE)
        sequence = host.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
        for index in range(2):
            array = np.ascontiguousarray(np.roll(volume.array, 2 * index, axis=1))
            frame = add_volume_node(host.scene, replace(volume, array=array, modality="MR"))
            sequence.SetDataNodeAtValue(frame, str(index))
            host.scene.RemoveNode(frame)
        node = add_volume_node(host.scene, replace(volume, modality="MR"))
        node.SetName("Cine")
        browser = host.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "player")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        browser.AddProxyNode(node, sequence, False)
        browser.SetSelectedItemNumber(0)
        user.show(node)
        user.click("allFramesBox")
        user.segment()
        user.browser = browser
        yield user


def show_frame(user: PanelUser, number: int) -> None:
    user.browser.SetSelectedItemNumber(number)
    user.wait(0.4)


def seen(user: PanelUser) -> dict[str, np.ndarray]:
    volume = read_volume(SAMPLE)
    return masks(user.result(), volume.affine, volume.array.shape)


def test_places_clicks_and_undo_are_those_of_the_frame_that_is_shown(reviewing):
    user = reviewing
    proposed = {}
    for number in (1, 0):
        show_frame(user, number)
        proposed[number] = seen(user)
    first = doubt_record(user.result())
    user.press("M")
    overlay = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode().GetForegroundVolumeID()
    user.press("N")
    np.testing.assert_allclose(pointed_at(user.host.scene), to_world(user.result(), first.places[0].middle))
    user.press("B")
    assert user.reads("clicksLabel") == "1 click"
    clicked = seen(user)
    show_frame(user, 1)
    assert_same_masks(seen(user), proposed[1])
    assert user.reads("placeLabel").endswith("doubtful places")
    assert doubt_record(user.result()).proposal != first.proposal
    assert user.ui.confidenceCheckBox.checked
    now_over = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode().GetForegroundVolumeID()
    assert now_over not in (None, overlay)
    assert not user.ui.undoClickButton.enabled
    user.press("N")
    user.press("D")
    assert user.reads("clicksLabel") == "1 click"
    user.press("U")
    assert_same_masks(seen(user), proposed[1])
    show_frame(user, 0)
    assert_same_masks(seen(user), clicked)
    assert user.reads("clicksLabel") == "1 click"


def test_a_box_of_a_frame_is_segmented_again_in_that_frame_alone(reviewing):
    user = reviewing
    other = seen(user)
    show_frame(user, 1)
    before = seen(user)
    user.press("N")
    user.click("againBoxButton")
    user.click("againButton")
    user.wait_for_end()
    assert "segmented again" in user.reads("doneLabel")
    user.press("U")
    assert_same_masks(seen(user), before)
    show_frame(user, 0)
    assert_same_masks(seen(user), other)
