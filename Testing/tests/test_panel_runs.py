"""Runs from the panel, as a person meets them: Segment, waiting, Cancel, queue, failure, undo, leaving the module.

Module code, the real MRML scene and the real engine, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import slicer
from PySide6.QtCore import QEvent, QObject

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.panel.run import Run, RunState
from TransformerSegLib.scene.volumes import add_volume_node

from bundle_factory import write_bundle
from host import Host
from panel_user import SAMPLE, PanelUser
from states import ENGINE

CLASSES = ["Anterior hippocampus", "Posterior hippocampus"]


@pytest.fixture
def user() -> Iterator[PanelUser]:
    with Host() as host:
        yield PanelUser(host)


def add_sample(user: PanelUser, name: str = "Hippocampus MR"):
    node = add_volume_node(user.host.scene, replace(read_volume(SAMPLE), name=name, modality="MR"))
    user.show(node)
    return node


def add_large(user: PanelUser, name: str):
    """Many windows: a run over it takes some seconds."""
    array = np.random.default_rng(0).integers(0, 900, (64, 80, 64)).astype(np.int16)
    node = add_volume_node(user.host.scene, Volume(array, np.eye(4), name, "MR"))
    user.show(node)
    return node


def results(user: PanelUser) -> list[slicer.vtkMRMLSegmentationNode]:
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode", user.host.scene)


def start(user: PanelUser) -> None:
    """Press Segment, and wait until windows are run."""
    bar = user.ui.progressBar
    user.click("segmentButton")
    user.wait_until(lambda: bar.isVisible() and bar.value > 0)


def test_segment_gives_what_the_engine_gives_and_says_how_long_it_took(user):
    node = add_sample(user)

    user.segment()

    assert user.reads("doneLabel").startswith("✓ Done in ")
    assert re.search(r"\nTime: (\w[\w ]* \d+\.\d s, )*segment \d+\.\d s", user.reads("doneLabel"))
    assert user.ui.doneLabel.toolTip.startswith("Time: ")
    expected = Segmenter(find_bundle()).segment([read_volume(SAMPLE)])
    measured = {segment.definition.name: segment.volume_ml for segment in expected.segments}
    table = user.table()
    assert [row[0] for row in table] == CLASSES
    assert [float(row[1]) for row in table] == pytest.approx([measured[name] for name in CLASSES], abs=0.006)
    image = slicer.util.arrayFromVolume(node)
    for row, segment_id in zip(table, user.result().GetSegmentation().GetSegmentIDs(), strict=True):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(user.result(), segment_id, node) > 0
        assert float(row[2]) == pytest.approx(image[mask].mean(), abs=0.5)


def test_while_it_runs_the_button_is_cancel_and_the_bar_counts_windows(user):
    add_large(user, "large")
    button, bar, session = user.ui.segmentButton, user.ui.progressBar, user.opened.logic.session
    seen = set()

    def look() -> bool:
        seen.add((button.text, bar.value, bar.maximum))
        return not session.runs

    user.click("segmentButton")
    user.wait_until(look)

    running = {(value, total) for text, value, total in seen if text == "Cancel" and total > 0}
    assert len({total for _, total in running}) == 1
    assert len(running) >= 3
    user.wait()
    assert user.ui.segmentButton.text == "Segment"
    assert not user.sees("progressBar")


def test_cancel_leaves_the_scene_as_it_was(user):
    add_large(user, "large")
    before = user.host.scene.GetNumberOfNodes()

    start(user)
    user.click("segmentButton")
    user.wait_for_end()

    assert "nothing was changed" in user.reads("doneLabel")
    assert user.host.scene.GetNumberOfNodes() == before
    assert user.ui.segmentButton.text == "Segment"
    assert user.ui.segmentButton.enabled


def test_several_volumes_are_queued_and_shown(user):
    first, second = add_large(user, "first"), add_sample(user, "second")
    user.choose_input("T1-weighted MR", first)
    user.click("segmentButton")
    assert not user.sees("queueButton"), "the same is not queued twice"

    user.choose_input("T1-weighted MR", second)
    user.click("queueButton")
    assert "first" in user.reads("statusLabel")
    assert "second" in waiting(user, "QLabel").text
    user.wait_for_end()

    volumes = {user_volume(node).GetName() for node in results(user)}
    assert volumes == {"first", "second"}


def waiting(user: PanelUser, kind: str):
    """The only widget of a kind in the list of runs that wait."""
    [widget] = slicer.util.findChildren(user.ui.queueArea, className=kind)
    return widget


def user_volume(node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLScalarVolumeNode:
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())


def test_a_waiting_run_can_be_taken_out_of_the_queue(user):
    first, second = add_large(user, "first"), add_sample(user, "second")
    user.choose_input("T1-weighted MR", first)
    user.click("segmentButton")
    user.choose_input("T1-weighted MR", second)
    user.click("queueButton")

    waiting(user, "QToolButton").click()
    user.wait_for_end()

    assert [user_volume(node).GetName() for node in results(user)] == ["first"]


def test_only_the_wanted_structures_come(user):
    add_sample(user)
    user.tick_structure("Anterior hippocampus", False)

    user.segment()

    assert [row[0] for row in user.table()] == ["Posterior hippocampus"]


def test_a_failed_run_says_what_why_and_what_to_do_and_gives_a_report_without_names(user, tmp_path):
    add_sample(user, "DOE^JANE")
    folder = write_bundle(tmp_path / "abdomen")
    user.import_folder(folder)
    weights = user.opened.logic.session.models.folder / "abdomen" / "models" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    user.segment()

    assert user.reads("errorLabel").count("\n") >= 2
    assert not results(user)
    user.click("copyReportButton")
    report = slicer.app.clipboard().text()
    assert "Traceback" in report
    assert "torch" in report
    assert "DOE" not in report
    user.click("dismissButton")
    assert not user.sees("errorBox")


def test_a_run_into_an_existing_segmentation_keeps_what_a_person_drew(user):
    volume = add_sample(user)
    user.segment()
    node = user.result()
    segment_id = node.GetSegmentation().GetSegmentIDs()[0]
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
    drawn[:3, :3, :3] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segment_id, volume)

    user.choose("segmentationSelector", node)
    assert "are kept" in user.reads("keptLabel")
    user.segment()

    kept = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume)
    assert np.array_equal(kept, drawn)
    assert [row[0] for row in user.table()].count("Anterior hippocampus ✎") == 1
    assert len(user.table()) == 3


def test_one_press_takes_the_run_back(user):
    add_sample(user)
    user.segment()

    user.click("undoButton")

    assert "taken back" in user.reads("doneLabel")
    assert user.table() == []
    assert not user.sees("undoButton")


def test_the_module_can_be_left_while_it_runs(user):
    add_sample(user)
    start(user)

    slicer.util.selectModule("")
    user.wait_for_end()

    assert len(results(user)) == 1
    slicer.util.selectModule("TransformerSeg")
    user.wait()
    assert len(user.table()) == 2


def test_the_scene_can_be_closed_while_it_runs_and_the_panel_starts_anew(user):
    add_large(user, "large")
    start(user)

    user.host.scene.Clear()
    user.wait_for_end()

    assert user.sees("emptyBox")
    assert user.table() == []
    assert not user.ui.segmentButton.enabled
    add_sample(user)
    user.segment()
    assert len(user.table()) == 2


def test_deleting_the_volume_cancels_its_run_and_says_so(user):
    node = add_large(user, "large")
    start(user)

    user.host.scene.RemoveNode(node)
    user.wait_for_end()

    assert "was deleted" in user.reads("doneLabel")
    assert not results(user)


def test_deleting_the_result_empties_the_table(user):
    add_sample(user)
    user.segment()

    user.host.scene.RemoveNode(user.result())
    user.wait()

    assert user.table() == []
    assert not user.sees("undoButton")


def test_a_closed_panel_reacts_to_nothing(user):
    add_sample(user)
    user.segment()
    node, shown = user.result(), user.table()
    user.click_segment(0)

    user.opened.widget.cleanup()
    node.GetSegmentation().GetNthSegment(0).SetName("changed")
    add_sample(user, "another")
    user.wait()

    assert not user.panel._soon.isActive()
    assert not user.panel._table._tick.isActive()
    assert shown
    assert user.table() == []


def test_without_packages_the_panel_opens_lists_models_and_says_what_is_missing():
    with Host(without=ENGINE) as host:
        user = PanelUser(host)
        host.load_volume_node(SAMPLE)
        user.wait()

        assert user.panel_model() == "Hippocampus, Swin UNETR"
        assert "PyTorch, MONAI, einops, pydantic, safetensors: about" in user.reads("packagesLabel")
        assert not user.sees("packagesDetails")
        user.click("packagesButton")
        assert "from the Python Package Index" in user.reads("packagesDetails")
        assert user.ui.segmentButton.enabled
        user.click("cardButton")
        assert user.sees("cardBrowser")


def test_segment_asks_for_the_packages_and_runs_when_they_are_there():
    with Host(without=ENGINE) as host:
        user = PanelUser(host)
        add_sample(user)

        host.dialogs.answer(False)
        user.segment()
        assert "→" in user.reads("errorLabel")
        assert user.sees("packagesBox")
        assert not results(user)

        host.dialogs.answer(True, True)
        user.segment()
        assert not user.sees("errorBox")
        assert not user.sees("packagesBox")
        assert [row[0] for row in user.table()] == CLASSES


def test_what_will_block_the_window_is_painted_before_it_does(user):
    class Painted(QObject):
        def eventFilter(self, widget, event):  # noqa: N802
            if event.type() == QEvent.Type.Paint:
                texts.append(widget.text)
            return False

    add_sample(user)
    texts: list[str] = []
    painted = Painted()
    user.ui.reasonLabel.installEventFilter(painted)
    user.ui.segmentButton.installEventFilter(painted)

    user.panel._on_run(Run("title", RunState.PREPARING, "Loading PyTorch (once per session) …"))

    assert "Getting ready …" in texts
    assert "Loading PyTorch (once per session) …" in texts


def test_a_double_click_on_segment_does_not_cancel(user):
    add_sample(user)
    button = user.ui.segmentButton

    button.click()
    button.click()
    user.wait_for_end()

    assert len(user.table()) == 2


def test_a_run_that_has_begun_is_cancelled_however_soon(user):
    add_large(user, "large")
    user.segment()

    start(user)
    user.panel._run._pressed = time.monotonic()
    user.click("segmentButton")
    user.wait_for_end()

    assert "nothing was changed" in user.reads("doneLabel")


def test_a_change_right_before_segment_is_taken_up(user):
    """What the panel has not looked at yet is looked at before the run."""
    node = add_sample(user)
    slicer.util.arrayFromVolume(node)[:] = 7
    slicer.util.arrayFromVolumeModified(node)

    user.ui.segmentButton.click()

    assert not user.opened.logic.session.runs
    assert user.reads("checkSign") == "✗"


def test_the_press_queues_the_run_and_leaves_the_rest_for_later(user, monkeypatch):
    """What the window does while the worker starts is taken from the run's time."""
    add_sample(user)
    user.segment()
    refreshed = []
    monkeypatch.setattr(user.panel, "_refresh_input", lambda: refreshed.append("input"))

    user.ui.segmentButton.click()

    assert len(user.opened.logic.session.runs) == 1
    assert user.ui.segmentButton.text == "Cancel"
    assert refreshed == []
    monkeypatch.undo()
    user.wait_for_end()
    assert len(user.table()) == 2
