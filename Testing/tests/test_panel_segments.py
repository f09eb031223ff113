"""The panel's table of segments and its editor, as a person meets them.

Module code and the real MRML scene, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import slicer
from PySide6.QtCore import Qt
from PySide6.QtGui import QIcon
from PySide6.QtTest import QTest

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.inference import offering
from TransformerSegLib.inference.proposal import Proposal
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.scene.merging import put_run
from TransformerSegLib.scene.mrb import save_scene
from TransformerSegLib.scene.volumes import add_volume_node

from host import Host
from panel_user import SAMPLE, PanelUser

EYE, NAME = 0, 1


@pytest.fixture(scope="module")
def segmentation():
    return Segmenter(find_bundle()).segment([read_volume(SAMPLE)])


@pytest.fixture
def user() -> Iterator[PanelUser]:
    with Host() as host:
        yield PanelUser(host)


@pytest.fixture
def volume(user):
    node = add_volume_node(user.host.scene, replace(read_volume(SAMPLE), name="Hippocampus MR", modality="MR"))
    user.show(node)
    return node


@pytest.fixture
def node(user, volume, segmentation):
    """A result, as a run puts it into the scene."""
    outcome = put_run(user.host.scene, segmentation, Proposal.of(segmentation), volume, None)
    user.panel.refresh()
    wait_for_figures(user)
    return outcome.node


def wait_for_figures(user: PanelUser) -> None:
    user.wait()
    user.wait_until(lambda: not any("…" in row for row in user.table()))
    user.wait()


def paint(node, segment_id, volume, change) -> np.ndarray:
    """What the Segment Editor does to a segment's voxels, and tells of it."""
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
    change(array)
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segment_id, volume)
    return array > 0


def test_the_table_follows_a_correction(user, node, volume):
    before = user.table()
    segment_id = node.GetSegmentation().GetSegmentIDs()[0]

    def add_a_cube(array):
        array[:10, :10, :10] = 1

    mask = paint(node, segment_id, volume, add_a_cube)
    wait_for_figures(user)

    after = user.table()
    assert float(after[0][1]) == pytest.approx(mask.sum() / 1000, abs=0.006)
    assert float(after[0][2]) == pytest.approx(slicer.util.arrayFromVolume(volume)[mask].mean(), abs=0.5)
    assert after[0][0] == f"{before[0][0]} ✎"
    assert after[1] == before[1]


def test_the_table_follows_names_new_segments_and_deleted_ones(user, node):
    segmentation = node.GetSegmentation()
    ids = segmentation.GetSegmentIDs()

    segmentation.GetSegment(ids[0]).SetName("Head of the hippocampus")
    user.wait(0.3)
    assert user.table()[0][0] == "Head of the hippocampus"

    segmentation.AddEmptySegment("own", "My own")
    wait_for_figures(user)
    assert user.table()[2][:2] == ["My own ✎", "none"]

    segmentation.RemoveSegment(ids[1])
    wait_for_figures(user)
    assert [row[0] for row in user.table()] == ["Head of the hippocampus", "My own ✎"]


def test_the_eye_hides_and_shows_a_segment(user, node):
    segment_id = node.GetSegmentation().GetSegmentIDs()[1]
    display = node.GetDisplayNode()

    user.click_segment(1, EYE)
    assert not display.GetSegmentVisibility(segment_id)

    user.click_segment(1, EYE)
    assert display.GetSegmentVisibility(segment_id)


def test_a_click_on_a_row_selects_it_in_the_editor(user, node, volume):
    user.fold("correctCollapsibleButton", False)

    user.click_segment(1, NAME)

    editor = user.panel._correct.editor
    assert editor.currentSegmentID() == node.GetSegmentation().GetSegmentIDs()[1]
    assert editor.segmentationNode() is node
    assert editor.sourceVolumeNode() is volume


def test_the_editor_is_made_when_it_is_needed_and_has_a_node_of_its_own(user, node):
    assert user.panel._correct.editor is None
    own = user.host.scene.GetSingletonNode("TransformerSeg", "vtkMRMLSegmentEditorNode")
    assert own is None

    user.fold("correctCollapsibleButton", False)

    own = user.host.scene.GetSingletonNode("TransformerSeg", "vtkMRMLSegmentEditorNode")
    assert user.panel._correct.editor.mrmlSegmentEditorNode() is own


def test_leaving_the_module_lets_go_of_the_editors_effect(user, node):
    user.fold("correctCollapsibleButton", False)
    user.click_segment(0)
    editor = user.panel._correct.editor
    editor.setActiveEffectByName("Paint")
    assert editor.activeEffect() is not None

    slicer.util.selectModule("")

    assert editor.activeEffect() is None


def test_a_structure_that_was_not_found_is_named_with_the_likely_reason(user, volume, segmentation):
    empty = replace(segmentation, layers=tuple(np.zeros_like(layer) for layer in segmentation.layers))
    empty = replace(empty, segments=tuple(replace(segment, volume_ml=0.0) for segment in empty.segments))
    put_run(user.host.scene, empty, Proposal.of(empty), volume, None)
    user.panel.refresh()
    wait_for_figures(user)

    assert [row[1:] for row in user.table()] == [["none", "–"], ["none", "–"]]
    assert "Anterior hippocampus, Posterior hippocampus" in user.reads("tableHint")
    assert "outside of the image" in user.reads("tableHint")


def test_the_table_is_copied_and_exported(user, node, tmp_path):
    user.click("copyTableButton")
    lines = slicer.app.clipboard().text().splitlines()
    assert lines[0].split("\t")[:2] == ["Segment", "Volume (mL)"]
    assert [line.split("\t")[0] for line in lines[1:]] == [row[0] for row in user.table()]

    user.host.dialogs.answer(str(tmp_path / "volumes.csv"))
    user.click("exportButton")
    with (tmp_path / "volumes.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["Segment", *(row[0] for row in user.table())]
    assert "volumes.csv" in user.reads("tableMessage")


def test_a_table_that_cannot_be_exported_says_so_in_the_panel(user, node, tmp_path):
    user.host.dialogs.answer(str(tmp_path / "gone" / "volumes.csv"))

    user.click("exportButton")

    assert "could not be written" in user.reads("tableMessage")


def test_a_hundred_segments_are_measured_one_at_a_time(user, node, monkeypatch):
    """Each round of Qt's loop measures one segment at most."""
    measured = []
    table = user.panel._table
    measure = table._measure
    monkeypatch.setattr(table, "_measure", lambda segment_id: (measured.append(segment_id), measure(segment_id)))

    with slicer.util.NodeModify(node):
        for number in range(100):
            node.GetSegmentation().AddEmptySegment(f"s{number}", f"Segment {number}")
    assert not measured, "nothing is measured from within what changes the segments"
    table._next_step()
    assert not measured
    table._next_step()
    assert len(measured) == 1
    wait_for_figures(user)

    assert len(user.table()) == 102


def test_advanced_choices_are_explained_and_kept_in_the_scene(user, volume):
    user.fold("advancedCollapsibleButton", False)
    assert "as the model's makers chose it" in user.reads("presetHint").lower()

    user.ui.presetBox.setCurrentIndex(1)
    user.wait()

    assert "quicker" in user.reads("presetHint")
    assert user.opened.logic.getParameterNode().preset == "fast"


def test_a_preset_that_the_processor_lacks_is_not_offered_and_the_tooltip_says_why(user, volume, monkeypatch):
    user.fold("advancedCollapsibleButton", False)
    box = user.ui.presetBox

    def titles() -> list[str]:
        return [box.itemText(number) for number in range(box.count)]

    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: True)
    user.panel.refresh()
    assert titles() == ["Standard", "Fast", "Faster on this CPU", "Best"]
    box.setCurrentIndex(2)
    user.wait()
    assert "16 bits" in user.reads("presetHint")
    assert user.opened.logic.getParameterNode().preset == "faster-cpu"

    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: False)
    user.panel.refresh()
    assert titles() == ["Standard", "Fast", "Best"]
    assert "lacks the instructions" in box.toolTip
    assert user.opened.logic.getParameterNode().preset == "standard"
    assert "makers" in user.reads("presetHint")


def test_a_preset_of_which_nothing_is_known_yet_stays_as_the_scene_has_it(user, volume, monkeypatch):
    user.fold("advancedCollapsibleButton", False)
    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: None)
    user.panel.refresh()
    assert user.ui.presetBox.findData("faster-cpu") < 0

    user.opened.logic.getParameterNode().preset = "faster-cpu"
    user.wait()
    assert user.opened.logic.getParameterNode().preset == "faster-cpu"
    assert user.ui.presetBox.currentText == "Faster on this CPU"

    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: False)
    user.panel.refresh()
    assert user.opened.logic.getParameterNode().preset == "standard"


def test_what_is_for_the_cpu_is_not_offered_where_automatic_is_a_gpu(user, volume, monkeypatch):
    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: True)
    monkeypatch.setattr(offering, "gpu_computes_in_bfloat16", lambda name: True)
    expected = "TransformerSegLib.panel.session.expected_device"
    monkeypatch.setattr(expected, lambda wanted, settings: "cuda:0" if wanted == "auto" else wanted)
    user.panel.refresh()
    assert user.ui.presetBox.findData("faster-cpu") < 0
    assert user.ui.presetBox.findData("faster-gpu") > 0

    user.opened.logic.getParameterNode().device = "cpu"
    user.wait()
    assert user.ui.presetBox.findData("faster-cpu") > 0


def test_the_device_of_another_computer_is_shown_as_not_found(user, volume):
    user.opened.logic.getParameterNode().device = "cuda:7"
    user.wait()

    assert user.ui.deviceBox.currentText == "cuda:7 (not found)"


def test_a_reopened_scene_shows_its_segments_and_which_run_made_them(user, node, tmp_path):
    shown = user.table()
    save_scene(user.host.scene, tmp_path / "study.mrb")

    user.host.scene.Clear()
    user.wait()
    assert user.table() == []
    user.host.scene.ReadFromMRB(str(tmp_path / "study.mrb"))
    wait_for_figures(user)

    assert user.table() == shown
    assert "Last run: hippocampus_swin_unetr" in user.reads("doneLabel")
    assert not user.sees("undoButton")


def test_the_segmentation_that_a_person_chooses_is_shown(user, node):
    other = user.host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    other.CreateDefaultDisplayNodes()
    other.GetSegmentation().AddEmptySegment("a", "Something else")

    user.choose("segmentationSelector", other)
    wait_for_figures(user)
    assert [row[0] for row in user.table()] == ["Something else ✎"]

    user.choose("segmentationSelector", None)
    wait_for_figures(user)
    assert len(user.table()) == 2


def test_the_devices_come_with_their_free_memory_once_torch_is_loaded(user, volume):
    import torch

    user.fold("advancedCollapsibleButton", False)

    listed = [user.ui.deviceBox.itemText(index) for index in range(user.ui.deviceBox.count)]
    assert listed[0] == "Automatic"
    assert listed[-1].startswith(f"CPU, {torch.get_num_threads()} threads, ")
    assert listed[-1].endswith("B free")
    assert user.reads("deviceHint").startswith("Now: ")
    assert "free" in user.reads("deviceHint")
    user.ui.deviceBox.setCurrentIndex(len(listed) - 1)
    user.wait()
    assert not user.sees("deviceHint")


def test_the_eyes_follow_what_is_hidden_elsewhere(user, node):
    eye = user.ui.segmentTable.item(0, EYE)
    assert eye.toolTip() == "Hide"

    node.GetDisplayNode().SetSegmentVisibility(node.GetSegmentation().GetSegmentIDs()[0], False)
    user.wait()

    assert eye.toolTip() == "Show"


def test_the_table_follows_colors_and_terms_and_shows_them_in_the_selected_row_too(user, node):
    user.click_segment(0)

    node.GetSegmentation().GetNthSegment(0).SetColor(0.0, 1.0, 0.0)
    user.wait(0.3)

    swatch = user.ui.segmentTable.item(0, NAME).icon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        assert swatch.pixmap(12, mode).toImage().pixelColor(6, 6).getRgb()[:3] == (0, 255, 0)


def test_without_its_volume_a_segment_keeps_its_size_and_loses_its_mean(user, node, volume):
    before = user.table()

    user.host.scene.RemoveNode(volume)
    wait_for_figures(user)

    assert user.table() == [[name, millilitres, "–"] for name, millilitres, _mean in before]


def test_the_mean_follows_the_volumes_voxels(user, node, volume):
    slicer.util.arrayFromVolume(volume)[:] = 7
    slicer.util.arrayFromVolumeModified(volume)
    wait_for_figures(user)

    assert [row[2] for row in user.table()] == ["7.0", "7.0"]


def test_a_person_who_adds_a_segment_is_not_told_that_it_was_not_found(user, node):
    node.GetSegmentation().AddEmptySegment("own", "My own")
    wait_for_figures(user)

    assert user.table()[2][1] == "none"
    assert not user.sees("tableHint")


def test_the_arrow_keys_choose_the_segment_too(user, node):
    user.fold("correctCollapsibleButton", False)
    user.click_segment(0, NAME)

    QTest.keyClick(user.ui.segmentTable, Qt.Key.Key_Down)
    user.wait()

    assert user.panel._correct.editor.currentSegmentID() == node.GetSegmentation().GetSegmentIDs()[1]


def test_the_tab_key_leaves_the_table(user, node):
    user.ui.segmentTable.setCurrentCell(0, NAME)

    QTest.keyClick(user.ui.segmentTable, Qt.Key.Key_Tab)

    assert user.ui.segmentTable.currentColumn() == NAME


def test_what_is_copied_is_measured_first_and_says_its_unit(user, node, volume):
    hounsfield = slicer.vtkCodedEntry()
    hounsfield.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    volume.SetVoxelValueUnits(hounsfield)
    with slicer.util.NodeModify(node):
        for number in range(30):
            node.GetSegmentation().AddEmptySegment(f"s{number}", f"Segment {number}")

    user.ui.copyTableButton.click()

    header, *rows = (line.split("\t") for line in slicer.app.clipboard().text().splitlines())
    assert header[1:3] == ["Volume (mL)", "Mean intensity (HU)"]
    assert len(rows) == 32
    assert all(row[1] for row in rows)


def test_surfaces_are_shown_and_smoothed_as_soon_as_they_are_asked_for(user, node):
    user.fold("advancedCollapsibleButton", False)
    segmentation = node.GetSegmentation()

    def points() -> int:
        return segmentation.GetNthSegment(0).GetRepresentation("Closed surface").GetNumberOfPoints()

    user.click("surfacesBox")
    smooth = points()
    assert smooth > 0
    user.ui.smoothingSlider.value = 0.0
    user.wait(0.5)
    assert segmentation.GetConversionParameter("Smoothing factor") == "0"
    assert points() > 0

    user.click("surfacesBox")
    assert not segmentation.ContainsRepresentation("Closed surface")
