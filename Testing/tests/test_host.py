"""The stand-in for Slicer's Qt side does what Slicer does where the module relies on it, and refuses what that does."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slicer

from host import Host, OpenModule
from host.dialogs import UnansweredDialog
from host.guard import record_calls

TESTING = Path(__file__).parents[1]
SAMPLE = TESTING / "host" / "sample" / "Sample.py"
VOLUME = TESTING / "data" / "hippocampus" / "hippocampus_037.nii.gz"
SERIES = TESTING / "data" / "dicom" / "hippocampus_mr"
VOLUME_NODE = "vtkMRMLScalarVolumeNode"


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def sample(host: Host) -> OpenModule:
    return host.open_module(SAMPLE)


def add_volume(host: Host, name: str = "CT"):
    return host.scene.AddNewNodeByClass(VOLUME_NODE, name)


class TestQtAsPythonQtShowsIt:
    def test_properties_are_values(self, host: Host):
        import qt

        button = qt.QPushButton("Segment")
        button.enabled = False
        button.toolTip = "why"
        assert (button.text, button.enabled, button.toolTip) == ("Segment", False, "why")
        button.setText("Cancel")
        assert button.text == "Cancel"
        assert button.sizeHint.width() > 0

    def test_a_misspelt_attribute_raises_on_reading_and_on_writing(self, host: Host):
        import qt

        for widget in (qt.QPushButton("x"), qt.QTableWidget(1, 1).horizontalHeader()):
            with pytest.raises(AttributeError):
                widget.tooltip = "x"
            with pytest.raises(AttributeError):
                _ = widget.tooltip

    def test_a_function_cannot_be_overwritten(self, host: Host):
        import qt

        with pytest.raises(AttributeError, match="hide"):
            qt.QPushButton("x").hide = True

    @pytest.mark.parametrize(("name", "value"), [("text", None), ("text", 5), ("enabled", "yes"), ("icon", None)])
    def test_a_value_of_another_type_raises(self, host: Host, name: str, value: object):
        import qt

        with pytest.raises(TypeError, match=name):
            setattr(qt.QPushButton("x"), name, value)

    def test_objects_are_made_without_keywords(self, host: Host):
        import qt

        with pytest.raises(TypeError, match="text"):
            qt.QPushButton(text="x")

    def test_a_property_that_qt_computes_is_read_only(self, host: Host):
        import qt

        with pytest.raises(AttributeError, match="read only"):
            qt.QPushButton("x").width = 5

    def test_a_class_of_the_module_may_hold_what_it_likes(self, host: Host):
        import qt

        class Row(qt.QLabel):
            def __init__(self):
                super().__init__("text")
                self.segment = "liver"

        row = Row()
        assert (row.segment, row.text, isinstance(row, qt.QWidget)) == ("liver", "text", True)

    def test_enums_are_ints(self, host: Host):
        import qt

        assert qt.Qt.Checked == 2
        assert qt.QMessageBox.Ok | qt.QMessageBox.Cancel == 0x00400400

    def test_signals_are_connected_by_their_written_name(self, host: Host):
        import qt

        heard = []
        button = qt.QPushButton("x")
        button.checkable = True
        without = lambda *given: heard.append(given)  # noqa: E731
        button.connect("clicked(bool)", lambda checked: heard.append(checked))
        button.connect("clicked()", without)
        button.click()
        button.disconnect("clicked()", without)
        button.click()
        assert heard == [True, (), False]

    def test_a_signal_that_is_not_there_raises(self, host: Host):
        import qt

        for signature in ("klicked()", "clicked(int)", "clicked"):
            with pytest.raises(AttributeError):
                qt.QPushButton("x").connect(signature, print)

    def test_a_receiver_that_cannot_be_called_raises(self, host: Host):
        import qt

        with pytest.raises(TypeError, match="clicked"):
            qt.QPushButton("x").connect("clicked()", None)

    def test_classes_keep_their_kinship(self, host: Host):
        import qt

        panel = qt.QWidget()
        layout = qt.QVBoxLayout(panel)
        button = qt.QPushButton("x")
        layout.addWidget(button)
        assert isinstance(button, qt.QWidget)
        assert not isinstance(button, qt.QLabel)
        assert panel.findChildren(qt.QWidget) == [button]
        assert type(panel.findChild(qt.QPushButton)) is qt.QPushButton

    def test_settings_are_kept_in_a_folder_of_the_hosts_own(self, host: Host):
        import qt

        qt.QSettings().setValue("TransformerSeg/a", 3)
        assert slicer.util.settingsValue("TransformerSeg/a", 0, int) == 3
        assert Path(tempfile.gettempdir()) in Path(slicer.app.slicerUserSettingsFilePath).parents


class TestUiFiles:
    @pytest.fixture
    def load(self, host: Host, tmp_path: Path):
        text = (SAMPLE.parent / "Resources" / "UI" / "Sample.ui").read_text()

        def load(old: str, new: str):
            assert old in text
            (tmp_path / "x.ui").write_text(text.replace(old, new))
            return slicer.util.loadUI(str(tmp_path / "x.ui"))

        return load

    def test_they_are_made_of_the_stand_ins(self, load):
        import ctk

        ui = slicer.util.childWidgetVariables(load("Inputs", "Input"))
        assert type(ui.volumeSelector) is slicer.qMRMLNodeComboBox
        assert type(ui.inputsButton) is ctk.ctkCollapsibleButton
        assert ui.inputsButton.text == "Input"
        assert ui.volumeSelector.nodeTypes == [VOLUME_NODE]

    def test_an_unknown_property_raises(self, load):
        with pytest.raises(AttributeError, match="noneAllowed"):
            load("noneEnabled", "noneAllowed")

    def test_an_unknown_class_raises(self, load):
        with pytest.raises(LookupError, match="qMRMLNodeBox"):
            load('class="qMRMLNodeComboBox"', 'class="qMRMLNodeBox"')

    def test_an_unknown_slot_raises(self, load):
        with pytest.raises(AttributeError, match="setScene"):
            load("setMRMLScene(vtkMRMLScene*)", "setScene(vtkMRMLScene*)")


class TestWidgets:
    def test_a_node_selector_offers_the_nodes_of_its_types(self, host: Host):
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = [VOLUME_NODE]
        selector.noneEnabled = True
        selector.setMRMLScene(host.scene)
        heard = []
        selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
        volume = add_volume(host)
        host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        hidden = add_volume(host)
        hidden.SetHideFromEditors(True)
        assert (selector.nodeCount(), selector.currentNode()) == (1, None)
        selector.setCurrentNode(volume)
        assert (selector.currentNode(), selector.currentNodeID) == (volume, volume.GetID())
        host.scene.RemoveNode(volume)
        assert selector.currentNode() is None
        assert heard == [volume, None]

    def test_without_none_it_chooses_the_first(self, host: Host):
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = [VOLUME_NODE]
        selector.setMRMLScene(host.scene)
        first, second = add_volume(host, "one"), add_volume(host, "two")
        assert selector.currentNode() is first
        host.scene.RemoveNode(first)
        assert selector.currentNode() is second

    def test_it_makes_nodes_named_as_it_is_told(self, host: Host):
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = ["vtkMRMLMarkupsROINode"]
        selector.baseName = "region"
        selector.addAttribute("vtkMRMLMarkupsROINode", "TransformerSeg", "yes")
        selector.setMRMLScene(host.scene)
        host.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        assert selector.nodeCount() == 0
        node = selector.addNode()
        assert (node.GetName(), node.GetAttribute("TransformerSeg")) == ("region", "yes")
        assert selector.currentNode() is node

    def test_a_renamed_node_is_listed_under_its_new_name(self, host: Host):
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = [VOLUME_NODE]
        selector.setMRMLScene(host.scene)
        add_volume(host, "old").SetName("new")
        import qt

        assert selector.findChild(qt.QComboBox).itemText(0) == "new"

    def test_a_collapsed_section_hides_what_is_in_it(self, sample: OpenModule):
        ui = sample.widget.ui
        ui.surfacesCheckBox.hide()
        ui.volumeLabel.hide()
        ui.inputsButton.collapsed = True
        ui.volumeLabel.show()
        inside = (ui.surfacesCheckBox, ui.volumeLabel, ui.smoothingSlider)
        assert [widget.visible for widget in inside] == [False, False, False]
        assert not ui.inputsButton.checked
        ui.inputsButton.click()
        assert not ui.inputsButton.collapsed
        assert [widget.visible for widget in inside] == [False, True, True]

    def test_a_checkable_list_tells_what_is_checked(self, host: Host):
        import ctk
        import qt

        box = ctk.ctkCheckableComboBox()
        box.addItems(["liver", "spleen"])
        box.setCheckState(box.model().index(1, 0), qt.Qt.Checked)
        assert [index.data() for index in box.checkedIndexes()] == ["spleen"]
        assert not box.allChecked()


class TestTheModule:
    def test_it_is_opened_left_and_closed_as_slicer_does(self, host: Host, sample: OpenModule):
        sample.widget.ui.applyButton.click()
        slicer.util.selectModule("Welcome")
        assert not sample.panel.isEntered
        slicer.util.selectModule("Sample")
        assert sample.panel.isEntered
        host.close()
        assert sample.widget.happened == ["enter", "clicked False", "exit", "enter", "exit", "cleanup"]

    def test_it_hears_once_that_slicer_has_started(self, host: Host):
        heard = []
        slicer.app.connect("startupCompleted()", lambda: heard.append(1))
        host.open_module(SAMPLE)
        host.open_module(SAMPLE)
        assert heard == [1]

    def test_it_is_found_as_in_slicer(self, sample: OpenModule):
        assert slicer.util.modulePath("Sample") == str(SAMPLE)
        assert slicer.util.getModuleWidget("Sample") is sample.widget
        assert slicer.util.getModuleLogic("Sample") is sample.logic
        assert slicer.modules.sample.title == "A sample"

    def test_it_hears_of_the_scene(self, host: Host, sample: OpenModule):
        host.scene.Clear(0)
        assert sample.widget.happened == ["enter", "scene closes"]

    def test_its_own_test_runs(self, host: Host, sample: OpenModule):
        slicer.selfTests["Sample"]()
        assert slicer.util.getNode("made by the test") is not None

    def test_its_parameter_node_is_one(self, sample: OpenModule):
        assert sample.logic.getParameterNode() is sample.logic.getParameterNode()
        assert len(sample.logic.getAllParameterNodes()) == 1


class TestTheParameterNode:
    def test_widgets_and_values_follow_each_other(self, host: Host, sample: OpenModule):
        volume, ui, parameters = add_volume(host), sample.widget.ui, sample.widget.parameters
        ui.volumeSelector.setCurrentNode(volume)
        ui.surfacesCheckBox.checked = False
        assert (parameters.volume, parameters.surfaces) == (volume, False)
        parameters.smoothing = 0.75
        parameters.volume = None
        assert (ui.smoothingSlider.value, ui.volumeSelector.currentNode()) == (0.75, None)

    def test_values_are_kept_on_the_node_under_slicers_names(self, host: Host, sample: OpenModule):
        volume, parameters = add_volume(host), sample.widget.parameters
        parameters.inputs = {"FLAIR": volume, "T1": None}
        parameters.classes = ["liver", "spleen"]
        node = parameters.parameterNode
        names = ("surfaces", "smoothing", "classes_len", "classes_1", "inputs_len", "inputs_0_0", "inputs_1_0")
        assert [node.GetParameter(name) for name in names] == ["True", "0.25", "2", "spleen", "2", "FLAIR", "T1"]
        assert node.GetNodeReference("inputs_0_1") is volume

    def test_containers_write_themselves(self, host: Host, sample: OpenModule):
        parameters = sample.widget.parameters
        parameters.classes.append("liver")
        parameters.inputs["T1"] = add_volume(host)
        other = type(parameters)(parameters.parameterNode)
        assert other.classes == ["liver"]
        assert list(other.inputs) == ["T1"]
        with pytest.raises(TypeError):
            parameters.inputs.get("T2", None)
        with pytest.raises(NotImplementedError):
            _ = parameters.classes + parameters.classes

    def test_a_removed_node_is_none(self, host: Host, sample: OpenModule):
        volume, parameters = add_volume(host), sample.widget.parameters
        parameters.volume = volume
        parameters.inputs = {"T1": volume}
        host.scene.RemoveNode(volume)
        assert parameters.volume is None
        assert dict(parameters.inputs) == {"T1": None}

    def test_a_closed_scene_brings_the_defaults_back(self, host: Host, sample: OpenModule):
        sample.widget.parameters.surfaces = False
        host.scene.Clear(0)
        again = type(sample.widget.parameters)(sample.logic.getParameterNode())
        assert (again.surfaces, again.smoothing) == (True, 0.25)

    @pytest.mark.parametrize(
        ("name", "value"), [("smoothing", 2.0), ("smoothing", "x"), ("surfaces", None), ("classes", [1])]
    )
    def test_what_does_not_fit_is_refused_and_changes_nothing(self, sample: OpenModule, name: str, value: object):
        parameters = sample.widget.parameters
        before = getattr(parameters, name)
        with pytest.raises((TypeError, ValueError)):
            setattr(parameters, name, value)
        assert getattr(parameters, name) == before

    def test_types_that_slicer_cannot_keep_are_refused(self, host: Host):
        from slicer.parameterNodeWrapper import parameterNodeWrapper

        for kind in (slicer.vtkMRMLNode | None, set[str], bytes):
            with pytest.raises(TypeError, match="volume"):
                parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"volume": kind}}))

    def test_connecting_a_panel_gives_no_tag_as_in_slicer(self, sample: OpenModule):
        parameters, ui = sample.widget.parameters, sample.widget.ui
        assert parameters.connectGui(ui) is None
        tag = parameters.connectParametersToGui({"surfaces": ui.surfacesCheckBox})
        parameters.disconnectGui(tag)

    def test_observers_hear_of_a_change_once_and_find_it(self, sample: OpenModule):
        parameters, found = sample.widget.parameters, []
        parameters.AddObserver("ModifiedEvent", lambda *_event: found.append(list(parameters.classes)))
        parameters.classes = ["liver", "spleen", "kidney"]
        assert found == [["liver", "spleen", "kidney"]]


class TestTheEventLoop:
    def test_timers_run_in_it(self, host: Host):
        import qt

        heard = []
        qt.QTimer.singleShot(20, lambda: heard.append(1))
        host.wait_until(lambda: bool(heard), 10)

    def test_what_does_not_happen_raises(self, host: Host):
        with pytest.raises(TimeoutError):
            host.wait_until(lambda: False, 0.1)

    def test_what_a_callback_raises_is_raised(self, host: Host, capfd: pytest.CaptureFixture):
        import qt

        qt.QTimer.singleShot(0, lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            host.wait_until(lambda: False, 10)
        button = qt.QPushButton("x")
        button.clicked.connect(lambda: [][1])
        button.click()
        with pytest.raises(IndexError):
            host.process_events()
        tag = host.scene.AddObserver("ModifiedEvent", lambda *_event: {}["x"])
        host.scene.Modified()
        host.scene.RemoveObserver(tag)
        with pytest.raises(KeyError):
            host.close()
        assert "ZeroDivisionError" in capfd.readouterr().err

    def test_a_thread_starves_while_it_idles_and_works_while_it_is_let(self, host: Host):
        import qt

        def steps_while(turns: bool) -> int:
            steps, stop = 0, threading.Event()

            def work() -> None:
                nonlocal steps
                while not stop.is_set():
                    sum(range(500))
                    steps += 1

            timer = qt.QTimer()
            timer.interval = 0
            timer.timeout.connect(lambda: stop.wait(0.010))
            if turns:
                timer.start()
            thread = threading.Thread(target=work)
            thread.start()
            host.process_events(1.5)
            counted = steps
            stop.set()
            thread.join()
            timer.stop()
            return counted

        assert steps_while(turns=False) < steps_while(turns=True) / 2


class TestDialogs:
    def test_answers_are_given_and_questions_kept(self, host: Host):
        import qt

        host.dialogs.answer(True, False, "scan.nii", ["a", "b"], "", "Later")
        assert slicer.util.confirmOkCancelDisplay("Install?", "Packages", detailedText="- monai")
        assert not slicer.util.confirmYesNoDisplay("Restart?")
        assert qt.QFileDialog.getOpenFileName(None, "Import", "") == "scan.nii"
        assert qt.QFileDialog.getOpenFileNames(None, "Import", "") == ("a", "b")
        assert qt.QFileDialog.getExistingDirectory(None, "Folder") == ""
        box = qt.QMessageBox()
        box.text = "Now?"
        later = box.addButton("Later", qt.QMessageBox.RejectRole)
        box.exec_()
        assert box.clickedButton() is later
        assert host.dialogs.asked[0] == "Packages\nInstall?\n- monai"
        assert host.dialogs.asked[2:] == ["Import", "Import", "Folder", "Now?"]
        assert host.dialogs.unused == []

    def test_one_without_an_answer_raises(self, host: Host, caplog: pytest.LogCaptureFixture):
        import qt

        with pytest.raises(UnansweredDialog, match="went wrong"):
            slicer.util.errorDisplay("It went wrong")
        button = qt.QPushButton("x")
        button.clicked.connect(lambda: qt.QMessageBox.question(None, "Title", "Sure?"))
        button.click()
        with pytest.raises(UnansweredDialog, match="Sure"):
            host.wait_until(lambda: True)

    def test_a_dialog_of_the_modules_own_is_used_by_a_function(self, host: Host):
        import qt

        dialog = qt.QDialog()
        button = qt.QPushButton("Accept", dialog)
        button.clicked.connect(dialog.accept)
        host.dialogs.answer(lambda shown: shown.findChild(qt.QPushButton).click(), False)
        assert (dialog.exec_(), dialog.exec_()) == (1, 0)

    def test_a_menus_entry_is_chosen_by_its_text(self, host: Host):
        import qt

        menu, heard = qt.QMenu(), []
        menu.addAction("&Undo").triggered.connect(lambda *_checked: heard.append("undone"))
        host.dialogs.answer("Undo", "Redo")
        menu.exec_(qt.QCursor.pos())
        with pytest.raises(AssertionError, match="Redo"):
            menu.exec_(qt.QCursor.pos())
        assert heard == ["undone"]

    def test_while_slicer_runs_tests_messages_answer_themselves(self, caplog: pytest.LogCaptureFixture):
        with Host(testing=True) as host:
            slicer.util.confirmOkCancelDisplay("Install?")
            assert host.dialogs.asked == []


class TestPackages:
    def test_hidden_ones_are_not_there_and_come_with_their_installation(self):
        import rich

        with Host(without=("rich", "import-that-never-was")) as host:
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module("rich.console")
            assert importlib.util.find_spec("rich") is None
            with pytest.raises(importlib.metadata.PackageNotFoundError):
                importlib.metadata.version("rich")
            assert importlib.metadata.version("numpy")
            host.dialogs.answer(True)
            slicer.packaging.pip_ensure(["rich>=13", "numpy"], requester="TransformerSeg")
            assert importlib.import_module("rich") is rich
            assert importlib.metadata.version("rich")
            assert [installation.requirements for installation in host.packaging.asked] == [("rich>=13",)]
        assert "rich.console" in sys.modules or importlib.util.find_spec("rich.console")

    def test_refusal_failure_and_then_success(self, caplog: pytest.LogCaptureFixture):
        with Host(without=("rich",)) as host:
            host.dialogs.answer(False)
            with pytest.raises(RuntimeError, match="declined"):
                slicer.packaging.pip_ensure("rich")
            host.packaging.fail_next("no network")
            host.dialogs.answer(True, True)
            with pytest.raises(subprocess.CalledProcessError):
                slicer.packaging.pip_ensure("rich", requester="TransformerSeg")
            assert "no network" in host.dialogs.asked[-1]
            host.packaging.break_next("rich")
            slicer.util.pip_install("rich")
            assert not slicer.packaging.pip_check("rich")
            slicer.util.pip_install("rich")
            assert slicer.packaging.pip_check("rich>=13")

    def test_nothing_is_installed_while_slicer_runs_tests(self):
        with Host(without=("rich",), testing=True) as host:
            slicer.packaging.pip_ensure("rich")
            assert host.packaging.asked == []
            assert not slicer.packaging.pip_check("rich")

    def test_pytorch_comes_from_its_extension_or_not_at_all(self, host: Host):
        import PyTorchUtils

        host.dialogs.answer(False)
        assert PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True) is None
        host.close()
        with Host(without=("PyTorchUtils", "slicer.packaging")) as older:
            for missing in ("PyTorchUtils", "slicer.packaging"):
                with pytest.raises(ModuleNotFoundError):
                    importlib.import_module(missing)
            slicer.util.pip_install("rich")
            assert len(older.packaging.asked) == 1

    def test_a_thread_cannot_install(self, host: Host):
        raised = []

        def install() -> None:
            try:
                slicer.util.pip_install("rich")
            except RuntimeError as error:
                raised.append(error)

        thread = threading.Thread(target=install)
        thread.start()
        thread.join()
        assert len(raised) == 1


class TestData:
    def test_sample_data_are_downloaded_checked_and_loaded(self, host: Host):
        import SampleData

        digest = hashlib.sha256(VOLUME.read_bytes()).hexdigest()
        for name, checksum in (("right", digest), ("wrong", "0" * 64)):
            SampleData.SampleDataLogic.registerCustomSampleDataSource(
                category="TransformerSeg",
                sampleName=name,
                uris=VOLUME.as_uri(),
                fileNames=f"{name}.nii.gz",
                nodeNames="Hippocampus",
                checksums=f"SHA256:{checksum}",
            )
        node = SampleData.downloadSample("right")
        assert (node.GetName(), slicer.util.arrayFromVolume(node).shape) == ("Hippocampus", (32, 51, 34))
        with pytest.raises(ValueError, match="checksum"):
            SampleData.downloadSample("wrong")

    def test_a_volume_carries_what_a_dicom_import_leaves_on_it(self, host: Host):
        node = host.load_volume_node(SERIES, SeriesDescription="T1")
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(host.scene)
        item = hierarchy.GetItemByDataNode(node)
        uids = node.GetAttribute("DICOM.instanceUIDs").split()
        assert len(uids) == 32
        assert hierarchy.GetItemAttribute(item, "DICOM.Modality") == "MR"
        assert hierarchy.GetItemAttribute(item, "DICOM.SeriesDescription") == "T1"
        assert slicer.dicomDatabase.instanceValue(uids[0], "0008,0060") == "MR"
        assert Path(slicer.dicomDatabase.fileForInstance(uids[0])).parent == SERIES
        assert slicer.dicomDatabase.instanceValue("unknown", "0008,0060") == ""

    def test_the_shown_volume_is_known(self, host: Host):
        node = host.load_volume_node(VOLUME)
        slicer.util.setSliceViewerLayers(background=node, fit=True)
        widget = slicer.app.layoutManager().sliceWidget("Red")
        assert widget.sliceLogic().GetBackgroundLayer().GetVolumeNode() is node
        assert widget.mrmlSliceCompositeNode().GetBackgroundVolumeID() == node.GetID()


class TestTheSegmentEditor:
    @pytest.fixture
    def volume(self, host: Host):
        array = np.zeros((20, 30, 40), np.int16)
        array[5:10, 5:10, 5:10] = 100
        return slicer.util.addVolumeFromArray(array, name="CT")

    @pytest.fixture
    def segmentation(self, host: Host, volume):
        node = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        for name in ("liver", "spleen"):
            node.GetSegmentation().AddEmptySegment(name, name)
        return node

    @pytest.fixture
    def editor(self, host: Host, volume, segmentation):
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(host.scene)
        editor.setMRMLSegmentEditorNode(host.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(volume)
        editor.show()
        return editor

    def test_it_paints_erases_and_undoes(self, editor, segmentation, volume):
        def segment() -> np.ndarray:
            return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "spleen", volume).astype(bool)

        center = np.array([20.0, 15, 10])
        k, j, i = np.indices((20, 30, 40))
        distance = np.linalg.norm(np.stack([i, j, k]) - center[:, None, None, None], axis=0)
        editor.setCurrentSegmentID("spleen")
        editor.paint(center, 4)
        np.testing.assert_array_equal(segment(), distance <= 4)
        editor.erase(center, 2)
        np.testing.assert_array_equal(segment(), (distance <= 4) & (distance > 2))
        editor.undo()
        np.testing.assert_array_equal(segment(), distance <= 4)
        editor.undo()
        assert not segment().any()
        editor.redo()
        np.testing.assert_array_equal(segment(), distance <= 4)

    def test_threshold_is_applied_to_the_chosen_segment(self, editor, segmentation, volume):
        editor.setCurrentSegmentID("liver")
        editor.setActiveEffectByName("Threshold")
        effect = editor.activeEffect()
        effect.setParameter("MinimumThreshold", 50)
        effect.setParameter("MaximumThreshold", 150)
        effect.self().onApply()
        found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "liver", volume)
        np.testing.assert_array_equal(found, slicer.util.arrayFromVolume(volume) == 100)

    def test_what_a_person_could_not_do_is_refused(self, editor):
        editor.hide()
        with pytest.raises(RuntimeError, match="not shown"):
            editor.paint((0, 0, 0), 3)


class TestTheGuard:
    def test_it_catches_a_thread_that_touches_the_scene_or_a_widget(self, host: Host):
        import qt

        node, button = add_volume(host), qt.QPushButton("x")
        offenders = {
            "MRML": node.GetName,
            "VTK": slicer.util.vtkMatrixFromArray,
            "Qt property": lambda: button.text,
            "Qt function": lambda: button.setText("y"),
            "Qt signal": lambda: button.clicked.emit(),
        }
        offenders["VTK"] = lambda: slicer.util.vtkMatrixFromArray(np.eye(4))
        for name, offender in offenders.items():
            assert self._calls_of(offender).offences, name

    def test_it_leaves_others_alone(self, host: Host):
        record = self._calls_of(lambda: np.linalg.inv(np.eye(4)).sum())
        assert not record
        assert record.calls > 0
        assert "watched" in record.threads

    @staticmethod
    def _calls_of(function):
        with record_calls() as record:
            thread = threading.Thread(target=function, name="watched")
            thread.start()
            thread.join()
        return record


class TestItsLife:
    def test_it_leaves_nothing_behind(self):
        names, modules = set(vars(slicer)), set(sys.modules)
        for _round in range(3):
            with Host() as host:
                host.open_module(SAMPLE)
                assert slicer.mrmlScene is host.scene
        assert set(vars(slicer)) == names
        left = {name for name in set(sys.modules) - modules if not name.startswith(("host", "PySide6", "shiboken6"))}
        assert not left & {"qt", "ctk", "Sample", "SampleData", "PyTorchUtils", "slicer.i18n"}
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("qt")

    def test_there_is_one_at_a_time(self, host: Host):
        with pytest.raises(RuntimeError, match="Another Host"):
            Host()

    def test_the_scene_works_without_it(self):
        scene = slicer.vtkMRMLScene()
        assert scene.AddNewNodeByClass(VOLUME_NODE) is not None
        assert not hasattr(slicer, "mrmlScene")

    @pytest.mark.parametrize("closing", ["host.close()", "", "sys.exit(3)"])
    def test_the_process_ends_without_a_crash(self, closing: str):
        script = (
            "import sys\nfrom host import Host\n"
            f"host = Host()\nopened = host.open_module({str(SAMPLE)!r})\n"
            "host.scene.AddNewNodeByClass('vtkMRMLScalarVolumeNode')\nhost.process_events()\n"
            "print('ran', flush=True)\n" + closing
        )
        run = subprocess.run(
            [sys.executable, "-c", script], cwd=TESTING, capture_output=True, text=True, timeout=120, check=False
        )
        assert "ran" in run.stdout
        assert run.returncode == (3 if "exit" in closing else 0), run.stderr

    def test_a_panel_is_drawn_as_wide_as_asked_and_as_high_as_it_needs(
        self, host: Host, sample: OpenModule, tmp_path: Path
    ):
        import qt

        heights = []
        for collapsed in (False, True):
            sample.widget.ui.inputsButton.collapsed = collapsed
            host.screenshot(sample.panel, tmp_path / "panel.png", width=400)
            image = qt.QImage(str(tmp_path / "panel.png"))
            assert image.width() == 400
            heights.append(image.height())
        assert heights[0] > heights[1] + 50
