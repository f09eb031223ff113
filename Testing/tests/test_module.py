"""The module's file as Slicer uses it: loaded, opened, scripted, saved with the scene, closed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import slicer

from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL, find_bundle
from TransformerSegLib.errors import ModalityMismatch
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.scene.mrb import save_scene
from TransformerSegLib.scene.segment_tags import MAKER_TAG, tag
from TransformerSegLib.scene.volumes import add_volume_node

from host import Host
from host.guard import record_calls

MODULE = resources_folder().parent / "TransformerSeg.py"
SAMPLE = resources_folder() / "SampleData" / "hippocampus_297.nii.gz"
CLASSES = [definition.name for definition in find_bundle().card.classes]

LOADED_AS_AT_STARTUP = """
import importlib.util, json, sys
from host import Host
from host.opening import ScriptedModule

host = Host()
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("TransformerSeg", {path!r})
file = sys.modules["TransformerSeg"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(file)
described = ScriptedModule("TransformerSeg", {path!r})
module = file.TransformerSeg(described)
print(json.dumps({{"title": described.title, "new": sorted(set(sys.modules) - before)}}))
host.close()
"""

OPENED_ON_AN_EMPTY_SCENE = """
import json, sys
from host import Host

host = Host()
before = set(sys.modules)
host.open_module({path!r})
host.process_events(0.5)
print(json.dumps({{"new": sorted(set(sys.modules) - before)}}))
host.close()
"""

NOT_IN_SLICER = {"torch", "monai", "pydantic", "einops", "safetensors"}


def told_by(script: str) -> dict:
    """What a script tells that runs in a process of its own, with the module's path filled in."""
    folders = f"import sys; sys.path[:0] = {[str(MODULE.parent), str(MODULE.parents[1] / 'Testing')]!r}\n"
    command = [sys.executable, "-c", folders + script.format(path=str(MODULE))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def logic(host: Host):
    return host.open_module(MODULE).logic


@pytest.fixture
def sample(host: Host):
    return add_volume_node(host.scene, replace(read_volume(SAMPLE), modality="MR"))


def test_loading_the_module_imports_no_package_that_slicer_lacks():
    told = told_by(LOADED_AS_AT_STARTUP)
    assert told["title"] == "TransformerSeg"
    packages = {name.partition(".")[0] for name in told["new"]}
    assert not packages & {*NOT_IN_SLICER, "SimpleITK", "numpy", "qt"}


def test_opening_the_module_imports_no_package_that_slicer_lacks_until_there_is_a_volume():
    told = told_by(OPENED_ON_AN_EMPTY_SCENE)
    assert "TransformerSegLib.panel.panel" in told["new"]
    assert not {name.partition(".")[0] for name in told["new"]} & NOT_IN_SLICER


def test_the_scripting_interface_segments(logic, sample):
    node = logic.segment(sample)
    segmentation = node.GetSegmentation()
    assert [segmentation.GetSegment(each).GetName() for each in segmentation.GetSegmentIDs()] == CLASSES
    record = logic.runRecords(node)[-1]
    assert record["model"] == DEFAULT_MODEL
    assert record["weights_sha256"] == find_bundle().weights_sha256


def test_the_scripting_interface_refuses_what_was_not_accepted(logic, host):
    array = np.random.default_rng(0).integers(0, 500, (34, 51, 30)).astype(np.int16)
    node = add_volume_node(host.scene, Volume(array, np.eye(4), "body", "CT"))
    with pytest.raises(ModalityMismatch):
        logic.segment(node)
    assert logic.segment([node], acceptMismatch=True, classes=CLASSES[:1], preset="fast") is not None


def test_a_script_is_told_when_a_run_in_the_background_is_finished(logic, sample, host):
    finished = []
    run = logic.segmentInBackground(sample, onFinished=finished.append)
    assert finished == []
    host.wait_until(lambda: finished)
    assert finished == [run]
    assert run.node.GetSegmentation().GetNumberOfSegments() == len(CLASSES)
    assert logic.undo(run.node)


def test_a_script_can_cancel(logic, sample, host):
    run = logic.segmentInBackground(sample)
    logic.cancel(run)
    host.wait_until(lambda: run.finished)
    assert run.state.value == "cancelled"


def test_a_saved_scene_reopens_with_the_same_choices(logic, sample, host, tmp_path):
    chosen = logic.getParameterNode()
    chosen.inputs = {"T1-weighted MR": sample}
    chosen.region = host.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    chosen.segmentation = logic.segment(sample)
    chosen.unwantedClasses = CLASSES[:1]
    chosen.device, chosen.preset = "cpu", "fast"
    chosen.smoothing, chosen.surfaces, chosen.allFrames = 0.25, True, True
    records = logic.runRecords(chosen.segmentation)
    save_scene(host.scene, tmp_path / "scene.mrb")
    del chosen
    host.scene.Clear()
    assert logic.getParameterNode().inputs == {}
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    reopened = logic.getParameterNode()
    assert [node.GetName() for node in reopened.inputs.values()] == [sample.GetName()]
    assert reopened.region.GetName() == "box"
    assert reopened.model == DEFAULT_MODEL
    assert list(reopened.unwantedClasses) == CLASSES[:1]
    assert (reopened.device, reopened.preset) == ("cpu", "fast")
    assert (reopened.smoothing, reopened.surfaces, reopened.allFrames) == (0.25, True, True)
    assert logic.runRecords(reopened.segmentation) == records


def test_slicer_can_quit_while_a_run_works():
    with Host() as host:
        logic = host.open_module(MODULE).logic
        sample = add_volume_node(host.scene, replace(read_volume(SAMPLE), modality="MR"))
        run = logic.segmentInBackground(sample, preset="best")
        host.wait_until(lambda: run.state.value == "running")
    assert run.state.value == "cancelled"


def test_closing_the_scene_leaves_the_module_usable(logic, sample, host):
    logic.segment(sample)
    host.scene.Clear()
    host.process_events(0.1)
    again = add_volume_node(host.scene, replace(read_volume(SAMPLE), modality="MR"))
    assert logic.segment(again) is not None


def test_slicers_reload_button_leaves_a_panel_that_works(host, sample):
    """Slicer cleans the old widget up and sets a new one up, but does not enter the module that is shown."""
    opened = host.open_module(MODULE)
    node = opened.logic.segment(sample)
    opened.widget.cleanup()
    widget = opened.file.TransformerSegWidget(opened.panel)
    opened.panel.stand_for(widget)
    widget.setup()
    host.process_events(0.2)
    shown = slicer.util.childWidgetVariables(widget.panel.widget)
    assert shown.segmentTable.rowCount == 2
    assert shown.segmentButton.enabled
    assert widget.logic.segment(sample, segmentationNode=node) is node


def test_a_widget_of_its_own_outlives_the_scene(host, sample):
    opened = host.open_module(MODULE)
    widget = opened.file.TransformerSegWidget()
    host.scene.Clear()
    host.process_events(0.1)
    assert widget.logic.getParameterNode().inputs == {}
    widget.cleanup()


def test_segments_tell_in_a_saved_scene_who_made_them(host, sample, tmp_path):
    node = host.open_module(MODULE).logic.segment(sample)
    edited, left = node.GetSegmentation().GetSegmentIDs()
    host.process_events(0.2)
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, edited, sample)
    voxels[:3, :3, :3] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, edited, sample)
    host.process_events(0.2)
    save_scene(host.scene, tmp_path / "scene.mrb")
    host.scene.Clear()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    [reopened] = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    made_by = {name: tag(reopened.GetSegmentation().GetSegment(name), MAKER_TAG) for name in (edited, left)}
    assert made_by == {edited: "model, then a person", left: "model"}


@pytest.mark.parametrize("offends", [False, True])
def test_a_run_touches_neither_qt_nor_mrml_nor_a_log_handler_in_its_thread(host, sample, monkeypatch, offends):
    """The real module, its real panel watching; offending on purpose shows that the guard would notice."""
    threads = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            threads.append((record.getMessage(), threading.current_thread().name))

    original = Segmentation.of_classes

    def of_classes(self, names):
        logging.getLogger("TransformerSegLib").warning("said in the worker")
        warnings.warn("warned in the worker", stacklevel=1)
        if offends:
            sample.GetName()
        return original(self, names)

    monkeypatch.setattr(Segmentation, "of_classes", of_classes)
    logic = host.open_module(MODULE).logic
    handler = Handler()
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(True)
    try:
        with record_calls() as calls, warnings.catch_warnings():
            warnings.simplefilter("always")
            run = logic.segmentInBackground(sample, classes=CLASSES[:1])
            host.wait_until(lambda: run.finished)
    finally:
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(handler)
    assert run.state.value == "done"
    assert "TransformerSeg worker" in calls.threads
    assert bool(calls) is offends
    assert {thread for _, thread in threads} == {threading.main_thread().name}
    said = "".join(message for message, _ in threads)
    assert "said in the worker" in said
    assert "warned in the worker" in said


def test_the_modules_own_test_passes(host):
    opened = host.open_module(MODULE)
    opened.module.runTest()
