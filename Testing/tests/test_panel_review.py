"""A whole review by keyboard: module code and the real MRML scene, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from TransformerSegLib.scene.click_points import points_node
from TransformerSegLib.scene.clicks import clicks_on
from TransformerSegLib.scene.doubt_record import doubt_record
from TransformerSegLib.scene.mrb import save_scene
from TransformerSegLib.scene.regions import AGAIN_ROLE
from TransformerSegLib.scene.sign_off import review_of
from TransformerSegLib.scene.slice_views import pointed_at, to_world
from TransformerSegLib.scene.volumes import volume_affine

from host import Host
from mrml_reading import mask_on_grid
from panel_user import PanelUser

REVIEW_KEYS = ["N", "P", "M", "B", "D", "U", "Shift+U", "S", "Shift+S", "C", "F", "I", "O"]


@pytest.fixture(scope="module")
def reviewing():
    """The sample volume, segmented; the review is open."""
    with Host() as host:
        user = PanelUser(host)
        user.load()
        user.segment()
        yield user


def masks(user: PanelUser) -> dict[str, np.ndarray]:
    node, volume = user.result(), slicer.util.getNode("hippocampus_297")
    shape = volume.GetImageData().GetDimensions()
    ids = node.GetSegmentation().GetSegmentIDs()
    return {name: mask_on_grid(node, name, shape, volume_affine(volume)) for name in ids}


def test_after_a_run_the_table_tells_what_to_expect_and_the_review_where_to_look(reviewing):
    table = reviewing.ui.segmentTable
    assert [table.item(row, 4).text()[0] for row in range(2)] == ["✓", "✓"]
    assert "Likely fine" in table.item(0, 4).toolTip()
    assert reviewing.reads("placeLabel").endswith("doubtful places")
    assert reviewing.keys() == REVIEW_KEYS


def test_five_doubtful_places_are_visited_and_the_views_go_there(reviewing):
    record = doubt_record(reviewing.result())
    for number in range(1, 6):
        reviewing.press("N")
        assert reviewing.reads("placeLabel").startswith(f"Doubtful place {number} of {len(record.places)}")
        wanted = to_world(reviewing.result(), record.places[number - 1].middle)
        np.testing.assert_allclose(pointed_at(reviewing.host.scene), wanted)
        for name in slicer.app.layoutManager().sliceViewNames():
            view = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
            assert abs(np.subtract(slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())[:3, 3], wanted)).min() < 1e-6
    reviewing.press("P")
    assert "place 4 of" in reviewing.reads("placeLabel")


def test_the_overlay_comes_and_goes_by_a_key(reviewing):
    view = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    reviewing.press("M")
    overlay = slicer.mrmlScene.GetNodeByID(view.GetForegroundVolumeID())
    assert overlay.GetHideFromEditors()
    assert 30 < slicer.util.arrayFromVolume(overlay).min() < 60
    reviewing.press("M")
    assert view.GetForegroundVolumeID() is None


def test_three_clicks_and_one_undo(reviewing):
    before = masks(reviewing)
    states = [before]
    for key in ("B", "D", "B"):
        reviewing.press("N")
        reviewing.press(key)
        states.append(masks(reviewing))
    assert reviewing.reads("clicksLabel") == "3 clicks"
    reviewing.press("U")
    assert reviewing.reads("clicksLabel") == "2 clicks"
    for name, mask in masks(reviewing).items():
        np.testing.assert_array_equal(mask, states[2][name])
    reviewing.press("Shift+U")
    reviewing.press("U")
    assert points_node(reviewing.result()).GetNumberOfControlPoints() == 2


def test_points_placed_by_the_mouse_are_clicks_and_one_that_is_refused_goes_again(reviewing):
    reviewing.click("belongsButton")
    selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    points = points_node(reviewing.result())
    assert selection.GetActivePlaceNodeID() == points.GetID()
    number = points.GetNumberOfControlPoints()
    points.AddControlPointWorld(*pointed_at(reviewing.host.scene))  # as the view does where the mouse is clicked
    reviewing.wait()
    assert points.GetNumberOfControlPoints() == number + 1
    points.AddControlPointWorld(1e4, 0, 0)
    reviewing.wait()
    assert "outside" in reviewing.reads("reviewMessage")
    assert points.GetNumberOfControlPoints() == number + 1
    reviewing.click("belongsButton")
    points.RemoveNthControlPoint(number)
    reviewing.wait()
    assert clicks_on(reviewing.result()).number == number


def test_a_box_is_segmented_again_only_inside_and_can_be_taken_back(reviewing):
    before = masks(reviewing)
    reviewing.click("againBoxButton")
    bounds = np.zeros(6)
    reviewing.result().GetNodeReference(AGAIN_ROLE).GetRASBounds(bounds)
    reviewing.click("againButton")
    reviewing.wait_for_end()
    assert "segmented again" in reviewing.reads("doneLabel")
    assert not reviewing.sees("undoButton")
    assert reviewing.result().GetNodeReference(AGAIN_ROLE) is None
    affine = volume_affine(slicer.util.getNode("hippocampus_297"))
    for name, mask in masks(reviewing).items():
        changed = np.argwhere(mask != before[name])
        ras = (affine[:3, :3] @ changed.T).T + affine[:3, 3]
        assert ((ras >= bounds[::2] - 1e-6) & (ras <= bounds[1::2] + 1e-6)).all()
    reviewing.click("undoClickButton")
    for name, mask in masks(reviewing).items():
        np.testing.assert_array_equal(mask, before[name])


def test_all_segments_are_signed_off_by_key_and_that_is_exported(reviewing, tmp_path):
    reviewing.host.screenshot(reviewing.opened.panel, tmp_path / "before.png")
    reviewing.host.dialogs.answer("Dr. Example")
    for _ in range(2):
        reviewing.press("C")
    assert reviewing.reads("reviewedLabel").startswith("✓ Reviewed by Dr. Example")
    assert review_of(reviewing.result()).by_clicks > 0
    reviewing.press("B")
    assert "is completed" in reviewing.reads("reviewMessage")
    reviewing.host.dialogs.answer(str(tmp_path / "volumes.csv"))
    reviewing.ui.exportReviewButton.menu().actions()[2].trigger()
    assert "Anterior hippocampus" in (tmp_path / "volumes.csv").read_text(encoding="utf-8-sig")
    reviewing.host.screenshot(reviewing.opened.panel, tmp_path / "after.png")
    save_scene(reviewing.host.scene, tmp_path / "review.mrb")


def test_an_edit_by_hand_drops_the_review(reviewing):
    reviewing.fold("correctCollapsibleButton", False)
    editor = reviewing.panel._correct.editor
    editor.setCurrentSegmentID("Segment_1")
    middle = np.argwhere(masks(reviewing)["Segment_1"])[0]
    affine = volume_affine(slicer.util.getNode("hippocampus_297"))
    editor.paint(tuple((affine @ (*middle, 1.0))[:3]), 4.0)
    reviewing.wait(0.5)
    assert "Reviewed" not in reviewing.reads("reviewedLabel")


def test_keys_are_gone_where_another_module_is_shown(reviewing):
    reviewing.opened.widget.exit()
    assert reviewing.keys() == []
    reviewing.opened.widget.enter()
    assert reviewing.keys() == REVIEW_KEYS
