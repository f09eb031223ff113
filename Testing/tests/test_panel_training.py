"""Training from the panel: the real command in a process of its own, on three real cases.

Module code and the real MRML scene, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
import slicer

from TransformerSegLib.bundles.file_lock import locked
from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.panel.training_plan import TrainingPlan
from TransformerSegLib.scene.volumes import add_volume_node
from TransformerSegLib.training import run_files
from TransformerSegLib.training.data_list import read_data
from TransformerSegLib.training.progress_file import ProgressFile, State

from bundle_factory import write_bundle
from example_segmentation import AFFINES, example_segmentation, example_volume
from host import Host
from panel_user import LONGEST_RUN, PanelUser
from scene_runs import names, put
from segment_edits import set_completed

DATA = Path(__file__).parents[1] / "data" / "hippocampus" / "training"
EPOCHS = 4

POSIX_ONLY = pytest.mark.skipif(os.name == "nt", reason="signals and scripts")


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as opened:
        yield opened


@pytest.fixture
def user(host) -> Iterator[PanelUser]:
    user = PanelUser(host)
    user.fold("trainingCollapsibleButton", False)
    yield user
    user.stop_training()


@pytest.fixture
def run_of(host) -> Callable:
    """Makes a run of a plan. (Its module imports Slicer's translation.)"""
    from TransformerSegLib.panel.training_run import TrainingRun

    return TrainingRun


@dataclass(frozen=True)
class PutAside:
    """A training that Slicer left behind when it crashed, that the next Slicer found, and that ended when that was
    closed.

    Attributes:
        plan: of the training.
        heading: of the section in the Slicer that found it.
        offered: the buttons that were to be seen there.
        seconds: that closing took.
        ended: whether its processes were gone then.
    """

    plan: TrainingPlan
    heading: str
    offered: tuple[str, ...]
    seconds: float
    ended: bool

    @property
    def epochs(self) -> int:
        return epochs_in(self.plan.run)


@pytest.fixture(scope="module")
def put_aside(tmp_path_factory) -> PutAside:
    """Started by a program like Slicer's, which starts Python as a process of its own; in the middle of a step that
    takes so long that it does not hear."""
    folder = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch, Host() as host:
        from TransformerSegLib.panel.training_run import TrainingRun

        slicers_python(patch, folder)
        run = TrainingRun(plan(folder))
        run.start()
        host.wait_until(lambda: not works(run) or (run.folder / run_files.CHECKPOINT).exists(), LONGEST_RUN)
        assert works(run), run.error
        processes = json.loads((run.folder / "process.json").read_text())
        os.killpg(processes, signal.SIGSTOP)
    host = Host()
    slicer.app.userSettings().setValue("TransformerSeg/TrainingRun", str(run.folder))
    user = PanelUser(host)
    heading = user.ui.trainingCollapsibleButton.text
    user.fold("trainingCollapsibleButton", False)
    buttons = ("trainButton", "continueTrainingButton", "cancelTrainingButton")
    offered = tuple(button for button in buttons if user.sees(button))
    before = time.monotonic()
    host.close()
    seconds = time.monotonic() - before
    return PutAside(run.plan, heading, offered, seconds, ended=not works(run))


@pytest.fixture(scope="module")
def said() -> list[str]:
    """By a Slicer of its own: what is told of chosen cases before any package is installed, and what of torch is loaded
    once a training was begun and cancelled."""
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from host import Host\nfrom panel_user import PanelUser\n"
        "with Host(without=('torch', 'monai', 'pydantic', 'safetensors')) as host:\n"
        "    user = PanelUser(host)\n"
        "    user.fold('trainingCollapsibleButton', False)\n"
        "    user.choose_cases(sys.argv[2])\n"
        "    print(user.reads('casesLabel').splitlines()[-1])\n"
        "with Host() as host:\n"
        "    user = PanelUser(host)\n"
        "    user.fold('trainingCollapsibleButton', False)\n"
        "    user.choose_cases(sys.argv[2])\n"
        "    user.ui.trainingNameEdit.text = 'Ours'\n"
        "    user.wait()\n"
        "    user.click('trainButton')\n"
        "    user.stop_training()\n"
        "print(sorted({'torch', 'monai'} & sys.modules.keys()))\n"
    )
    arguments = (sys.executable, "-c", code, str(Path(__file__).parents[1]), str(DATA))
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()


def plan(folder: Path, **changes) -> TrainingPlan:
    """A training of a network that is small enough for a test."""
    start = folder / "tiny"
    if not start.exists():
        write_bundle(start, classes=("Anterior", "Posterior"))
    given = {"title": "Ours", "data": str(DATA), "output": str(folder / "ours"), "start": str(start), "network": ""}
    return TrainingPlan(**{**given, "epochs": EPOCHS, "device": "cpu", **changes})


def name_it(user: PanelUser, name: str) -> None:
    user.ui.trainingNameEdit.text = name
    user.wait()


# What is chosen


def test_the_section_is_closed_until_somebody_needs_it(host):
    user = PanelUser(host)

    assert user.ui.trainingCollapsibleButton.collapsed
    assert not user.sees("trainButton")


def test_the_reason_why_nothing_can_be_trained_yet_is_what_is_to_be_done_next(user):
    assert user.reads("trainingReason") == "Choose the cases to train on."

    user.choose_cases(DATA)
    assert user.reads("trainingReason") == "Give the new model a name."
    assert not user.ui.trainButton.enabled

    name_it(user, "Our scanner")
    assert not user.sees("trainingReason")
    assert user.ui.trainButton.enabled


def test_a_model_that_is_not_on_this_computer_cannot_be_started_from_but_a_new_network_can(user):
    user.choose_cases(DATA)
    name_it(user, "Our scanner")
    user.choose_model("Abdomen, 13 organs, Swin UNETR (BTCV)")
    assert "on this computer" in user.reads("trainingReason")

    user.ui.trainingStartBox.currentIndex = 1

    assert user.ui.trainingStartBox.currentText == "A new Swin UNETR"
    assert user.ui.trainButton.enabled


def test_cases_that_cannot_be_used_are_refused_with_what_to_do(user, tmp_path):
    user.choose_cases(tmp_path)

    assert "no labelled cases" in user.reads("casesLabel")
    assert "→" in user.reads("casesLabel")
    assert not user.ui.trainButton.enabled


def test_a_data_list_is_chosen_and_a_closed_dialog_changes_nothing(user, tmp_path):
    name = "hippocampus_150.nii.gz"
    entry = {"image": str(DATA / "imagesTr" / name), "label": str(DATA / "labelsTr" / name)}
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"training": [entry]}), encoding="utf-8")

    user.choose_cases(path)
    assert "1 case" in user.reads("casesLabel")

    user.choose_cases("")
    assert "1 case" in user.reads("casesLabel")


def test_what_was_corrected_and_completed_in_the_scene_becomes_cases(user, tmp_path):
    volume = add_volume_node(user.host.scene, example_volume(AFFINES["oblique"]))
    node = put(user.host.scene, example_segmentation(AFFINES["oblique"]), volume).node
    *others, last = node.GetSegmentation().GetSegmentIDs()
    for segment_id in others:
        set_completed(node, segment_id)

    user.ui.casesButton.menu().actions()[2].trigger()
    assert "No segmentation in this scene is completed" in user.reads("casesLabel")

    set_completed(node, last)
    user.add_completed_cases(tmp_path)

    assert "1 case" in user.reads("casesLabel")
    assert len(read_data(tmp_path).cases) == 1
    assert sorted(each.name for each in read_data(tmp_path).classes) == sorted(names(node).values())


def test_what_the_process_lacks_is_installed_after_asking_and_nothing_begins_without():
    with Host(without=("matplotlib",)) as host:
        user = PanelUser(host)
        user.fold("trainingCollapsibleButton", False)
        user.choose_cases(DATA)
        name_it(user, "Our scanner")

        host.dialogs.answer(False)
        user.click("trainButton")

        assert "matplotlib" in host.dialogs.asked[-1]
        assert "Press Train again, and agree to the installation" in user.reads("trainingError")
        assert user.sees("trainButton")


def test_before_any_package_is_installed_cases_are_chosen_and_looked_at_later(said):
    assert said[0] == "They are looked at once Python packages are installed."


@POSIX_ONLY
def test_a_training_that_was_put_aside_is_found_by_its_name_and_can_be_gone_on_with(user, put_aside):
    folder = Path(slicer.app.slicerUserSettingsFilePath).parent / "TransformerSeg" / "Trainings"
    moved = replace(put_aside.plan, output=str(folder / "ours"))
    shutil.copytree(put_aside.plan.run, moved.run)
    (moved.run / "panel.json").write_text(json.dumps(asdict(moved)), encoding="utf-8")

    name_it(user, "ours")
    assert user.reads("trainingReason") == "There is a training of this name already."
    assert user.reads("trainButton") == "Show it"
    user.click("trainButton")

    assert f"Stopped after epoch {put_aside.epochs} of {EPOCHS}" in user.reads("trainingLabel")
    assert user.sees("continueTrainingButton")


# The process


def test_the_process_has_slicers_own_python_and_none_of_the_variables_of_another(monkeypatch, tmp_path, host):
    from TransformerSegLib.panel import training_child

    program = slicers_python(monkeypatch, tmp_path)
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    environment = training_child.environment()

    assert training_child.python() == str(program)
    assert "PYTHONHOME" not in environment
    assert (Path(environment["PYTHONPATH"]) / "TransformerSegLib" / "cli.py").is_file()


def test_outside_of_slicer_it_is_the_python_that_runs(monkeypatch):
    from TransformerSegLib.panel import training_child

    monkeypatch.setenv("PATH", "")

    assert training_child.python() == sys.executable


@POSIX_ONLY
def test_a_training_outlives_a_crash_of_slicer_is_found_again_and_ends_when_slicer_is_closed(put_aside):
    assert put_aside.heading.startswith("Train (")
    assert put_aside.offered == ("cancelTrainingButton",)
    assert put_aside.ended
    assert put_aside.seconds < 5
    assert 0 < put_aside.epochs < EPOCHS


@POSIX_ONLY
def test_what_was_put_aside_is_cancelled_again_at_once_then_finished_and_its_model_used(put_aside):
    with Host() as host:
        slicer.app.userSettings().setValue("TransformerSeg/TrainingRun", str(put_aside.plan.run))
        user = PanelUser(host)
        user.fold("trainingCollapsibleButton", False)
        assert "what is finished is kept" in user.reads("trainingLabel")
        user.click("continueTrainingButton")
        before = time.monotonic()
        user.click("cancelTrainingButton")
        assert time.monotonic() - before < 1
        user.wait_until(lambda: user.sees("continueTrainingButton"))

        user.click("continueTrainingButton")
        user.wait_until(lambda: user.sees("useTrainedButton"))
        assert put_aside.epochs == EPOCHS
        assert "Dice 0." in user.reads("trainingLabel")
        assert user.sees("curveLabel")

        user.click("useTrainedButton")
        user.wait_for_models()
        assert user.opened.logic.getParameterNode().model == "ours"
        assert "Ours" in user.panel_model()


@POSIX_ONLY
def test_a_process_that_does_not_hear_that_it_is_cancelled_is_ended(tmp_path, host, run_of, monkeypatch):
    from TransformerSegLib.panel import training_run

    monkeypatch.setattr(training_run, "SECONDS_TO_STOP", 0.5)
    run = run_of(plan(tmp_path))
    run.start()
    os.killpg(json.loads((run.folder / "process.json").read_text()), signal.SIGSTOP)

    run.stop()
    assert run.state.value == "stopping"
    host.wait_until(lambda: not works(run), 10)

    assert run.state.value == "stopped"


def test_a_folder_in_which_another_process_trains_is_left_alone_and_that_is_told(tmp_path, host, run_of):
    run = run_of(plan(tmp_path))
    with locked(run.folder / run_files.LOCK, pytest.fail), pytest.raises(TransformerSegError) as told:
        run.start()

    assert told.value.what == "Another process trains “Ours”"
    assert told.value.remedy == "Wait until it ends, or stop it where it was started"
    assert [path.name for path in run.folder.iterdir()] == [run_files.LOCK]


def test_a_model_that_was_stopped_while_it_was_measured_is_used_without_figures(tmp_path, host):
    stopped = plan(tmp_path)
    stopped.keep()
    write_bundle(Path(stopped.output))
    with suppress(SystemExit), ProgressFile(stopped.run / run_files.PROGRESS) as progress:
        progress.tell(state=State.MEASURING, steps=20)
        raise SystemExit

    slicer.app.userSettings().setValue("TransformerSeg/TrainingRun", str(stopped.run))
    user = PanelUser(host)
    user.fold("trainingCollapsibleButton", False)

    assert "Trained. It was stopped before it was measured." in user.reads("trainingLabel")
    assert user.sees("useTrainedButton")
    assert not user.sees("continueTrainingButton")


@POSIX_ONLY
def test_a_process_that_is_killed_has_failed_and_says_so(tmp_path, host, run_of):
    run = run_of(plan(tmp_path))
    run.start()
    os.kill(json.loads((run.folder / "process.json").read_text()), signal.SIGKILL)
    host.wait_until(lambda: not works(run))

    assert run.state.value == "failed"
    assert "ended from outside" in run.error.why


def test_an_error_of_the_process_is_shown_with_what_why_and_remedy(tmp_path, host, run_of):
    run = run_of(plan(tmp_path, data=str(tmp_path / "gone")))
    run.start()
    host.wait_until(lambda: not works(run))

    assert run.state.value == "failed"
    assert (run.error.what, run.error.why, run.error.remedy) == (
        f"“{tmp_path / 'gone'}” does not exist",
        "there is nothing to read",
        "Check how the path is spelt",
    )


def test_nothing_of_torch_is_loaded_into_slicers_process_by_a_training(said):
    assert said[1] == "[]"


def epochs_in(run: Path) -> int:
    """That the log of a run tells of."""
    log = run / "log.csv"
    return len(log.read_text(encoding="utf-8").splitlines()) - 1 if log.exists() else 0


def works(run) -> bool:
    run.look()
    return not run.state.finished


def slicers_python(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A program that starts Python as a process of its own, as Slicer's does."""
    program = folder / "PythonSlicer"
    program.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n', encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return program
