"""The panel's states, each reached as a person reaches it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from TransformerSegLib.bundles.card import Requirements
from TransformerSegLib.inference.progress import Stage
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.volumes import add_volume_node

from bundle_factory import change_json, write_bundle
from figures_on_card import write_figures
from host import Host
from model_server import BLOCK_BYTES, ModelServer, published
from panel_user import SAMPLE, PanelUser

PANEL_WIDTH = 400
"""Pixels; about what Slicer gives to its module panel."""

ENGINE = ("torch", "monai", "einops", "pydantic", "safetensors")
"""What Slicer lacks before TransformerSeg is used for the first time."""

ORGANS = ("Spleen", "Right kidney", "Left kidney", "Gallbladder", "Oesophagus", "Liver", "Stomach", "Aorta")

TRAINING_DATA = Path(__file__).parents[1] / "data" / "hippocampus" / "training"

SERVERS = ExitStack()
"""Of models to be downloaded, as long as a state is shown."""

State = Callable[[PanelUser], None]
STATES: dict[str, State] = {}


@contextmanager
def in_state(name: str) -> Iterator[PanelUser]:
    """A new panel in this state; what runs is cancelled in the end."""
    with Host(without=ENGINE if name == "packages" else ()) as host, SERVERS:
        user = PanelUser(host)
        STATES[name](user)
        yield user
        logic = user.opened.logic
        for run in logic.session.runs:
            logic.session.cancel(run)
        for change in logic.libraryWork.changes:
            logic.libraryWork.cancel(change)
        user.stop_training()
        user.wait_for_end()
        user.wait_for_models()


def draw(name: str, path: Path) -> None:
    """Bring a new panel into the state, and write what is seen of it."""
    with in_state(name) as user:
        user.host.screenshot(user.opened.panel, path, PANEL_WIDTH)


def state(function: State) -> State:
    """Name a state after its function."""
    STATES[function.__name__] = function
    return function


@state
def empty(user: PanelUser) -> None:
    """Slicer was just started."""


@state
def ready(user: PanelUser) -> None:
    """A volume that suits the model."""
    _sample(user)


@state
def running(user: PanelUser) -> None:
    """On its way, through a volume that takes a while; a second one waits."""
    _noise(user, "MR temporal lobe", (72, 96, 72), "MR")
    user.click("segmentButton")
    user.choose_input("T1-weighted MR", _sample(user))
    user.click("queueButton")
    session = user.opened.logic.session
    user.wait_until(lambda: _windows_done(session.runs[0]) > 4)


@state
def finished(user: PanelUser) -> None:
    """The segments are there."""
    _sample(user)
    user.segment()


@state
def correcting(user: PanelUser) -> None:
    """The editor is open on a segment; the editor itself is Slicer's, and here a stand-in."""
    _sample(user)
    user.segment()
    user.fold("reviewCollapsibleButton", True)
    user.fold("correctCollapsibleButton", False)
    user.click_segment(1)


@state
def reviewing(user: PanelUser) -> None:
    """A click was set at the second doubtful place, and that segment completed. What is above is folded away."""
    _sample(user)
    user.segment()
    for section in ("input", "model", "result"):
        user.fold(f"{section}CollapsibleButton", True)
    for key in ("N", "N", "B", "C"):
        user.press(key)


@state
def refused(user: PanelUser) -> None:
    """A volume with slices that were tilted by the gantry, which no model can segment."""
    node = _noise(user, "CT head, tilted gantry", (96, 96, 40), "CT")
    node.SetIJKToRASDirections(1, 0, 0, 0, 1, 0.26, 0, 0, 0.97)
    user.wait()


@state
def mismatch(user: PanelUser) -> None:
    """CT, and a model for MR."""
    _noise(user, "CT thorax", (80, 80, 60), "CT")


@state
def whole_head(user: PanelUser) -> None:
    """Much more than the model wants: the box is offered."""
    _noise(user, "MR head", (176, 240, 240), "MR")


@state
def region(user: PanelUser) -> None:
    """The box was placed."""
    whole_head(user)
    user.click("placeBoxButton")


@state
def packages(user: PanelUser) -> None:
    """Python packages are missing."""
    _sample(user)


@state
def several_inputs(user: PanelUser) -> None:
    """A model with four inputs, and a study with three of them."""
    for name in ("FLAIR axial", "T1 native", "T2 TSE axial"):
        _noise(user, name, (60, 72, 60), "MR")
    _import_brain_tumour(user, "CC-BY-NC-4.0: not for commercial use")
    user.wait()


@state
def assigned(user: PanelUser) -> None:
    """A model with four inputs, which the volumes' names tell apart."""
    for name in ("t1 native", "t1ce gadolinium", "t2 tse ax", "ax flair"):
        _noise(user, name, (60, 72, 60), "MR")
    _import_brain_tumour(user, "Apache-2.0")


@state
def catalogue(user: PanelUser) -> None:
    """The models that ship with TransformerSeg or can be downloaded, and a CT that suits one of them."""
    _noise(user, "CT abdomen, portal venous", (80, 80, 60), "CT")
    user.choose_model("Abdomen, 13 organs, Swin UNETR (BTCV)")


@state
def to_download(user: PanelUser) -> None:
    """A model that is not on this computer, and whose licence restricts its use."""
    _published(user)
    _sample(user)
    user.choose_model("Abdomen, 8 organs, Swin UNETR")


@state
def downloading(user: PanelUser) -> None:
    """On its way, through a network that is not fast."""
    server = _published(user)
    _sample(user)
    user.choose_model("Abdomen, 8 organs, Swin UNETR")
    user.click("licenceCheckBox")
    server.seconds_per_block = 0.05
    user.click("downloadButton")
    user.wait_until(lambda: "left" in user.changes()[0])


@state
def download_failed(user: PanelUser) -> None:
    """It broke off, and the server no longer has the file."""
    server = _published(user)
    _sample(user)
    user.choose_model("Abdomen, 8 organs, Swin UNETR")
    user.click("licenceCheckBox")
    server.faults.extend([-100 * BLOCK_BYTES, 404])
    user.click("downloadButton")
    user.wait_for_models()


@state
def models_folder(user: PanelUser) -> None:
    """Where the models lie, unfolded; one was just exported."""
    _published(user, licence="Apache-2.0")
    _sample(user)
    user.choose_model("Abdomen, 8 organs, Swin UNETR")
    user.click("downloadButton")
    user.wait_for_models()
    with tempfile.TemporaryDirectory() as folder:
        user.host.dialogs.answer(str(Path(folder) / "abdomen.zip"))
        user.click("exportModelButton")
        user.wait_for_models()
    user.click("folderButton")


@state
def card(user: PanelUser) -> None:
    """The model's card is read."""
    _sample(user)
    user.click("cardButton")


@state
def figures(user: PanelUser) -> None:
    """The card of a model that was evaluated, at its figures."""
    _sample(user)
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "abdomen", classes=ORGANS[:3])
        _title(bundle, "Abdomen, three organs, UNETR", "Apache-2.0")
        write_figures(bundle)
        user.import_folder(bundle)
    user.click("cardButton")
    browser = user.ui.cardBrowser
    browser.find("too little")  # below the table
    cursor = browser.textCursor()
    cursor.clearSelection()
    browser.setTextCursor(cursor)


@state
def choices(user: PanelUser) -> None:
    """Structures and advanced choices are unfolded."""
    _sample(user)
    user.tick_structure("Anterior hippocampus", False)
    user.fold("advancedCollapsibleButton", False)


@state
def faster(user: PanelUser) -> None:
    """The network is to compute with 16 bits, if this computer's processor can."""
    _sample(user)
    user.fold("advancedCollapsibleButton", False)
    box = user.ui.presetBox
    box.setCurrentIndex(max(box.findData("faster-cpu"), 1))
    user.wait()


@state
def failed(user: PanelUser) -> None:
    """A run that could not be made: the model's weights were damaged on disk."""
    _sample(user)
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "abdomen", classes=("Liver", "Spleen"))
        _title(bundle, "Abdomen, UNETR", "Apache-2.0")
        user.import_folder(bundle)
    user.wait()
    weights = user.opened.logic.session.models.folder / "abdomen" / "models" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    user.segment()


@state
def training_choosing(user: PanelUser) -> None:
    """The cases are chosen, and the new model has a name."""
    _training(user)


@state
def training(user: PanelUser) -> None:
    """On its way in a process of its own; its learning curve was drawn."""
    _training(user, epochs=200)
    user.click("trainButton")
    user.wait_until(lambda: user.sees("curveLabel") and "left" in user.reads("trainingLabel"))


@state
def trained(user: PanelUser) -> None:
    """The model is there, and can be used."""
    _training(user, epochs=2)
    user.click("trainButton")
    user.wait_until(lambda: user.sees("useTrainedButton"))


@state
def training_failed(user: PanelUser) -> None:
    """The labels of a case were taken away after it was chosen."""
    with tempfile.TemporaryDirectory() as folder:
        data = shutil.copytree(TRAINING_DATA, Path(folder) / "hippocampi")
        _training(user, data)
        (data / "labelsTr" / "hippocampus_243.nii.gz").unlink()
        user.click("trainButton")
        user.wait_until(lambda: user.sees("continueTrainingButton"))


@state
def many(user: PanelUser) -> None:
    """A model with a hundred classes, and long names everywhere: nothing grows beyond the panel."""
    name = "CT_thorax_abdomen_portal_venous_phase_1.0mm_B31f_supine_with_a_name_without_any_space"
    classes = tuple(f"Structure {number} with a name that is longer than its column" for number in range(104))
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "whole_body", classes=classes)
        _title(bundle, "Whole body, every organ, vessel, muscle and bone, Swin UNETR, third edition", "Apache-2.0")
        user.import_folder(bundle)
    _noise(user, name, (40, 48, 40), "CT")
    user.segment()
    user.fold("reviewCollapsibleButton", True)


def _import_brain_tumour(user: PanelUser, licence: str) -> None:
    """A model with four inputs."""
    channels, classes = ("T1", "T1ce", "T2", "FLAIR"), ("Necrotic core", "Oedema", "Enhancing tumour")
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(
            Path(folder) / "brain_tumour", inputs=channels, classes=classes, requirements=Requirements(modality="MR")
        )
        _title(bundle, "Brain tumour, UNETR", licence)
        user.import_folder(bundle)


def _published(user: PanelUser, licence: str = "CC-BY-NC-4.0: not for commercial use") -> ModelServer:
    """A model that is listed, and the server that has it."""
    folder = Path(SERVERS.enter_context(tempfile.TemporaryDirectory()))
    bundle = write_bundle(folder / "abdomen", architecture="SwinUNETR", classes=ORGANS)
    _title(bundle, "Abdomen, 8 organs, Swin UNETR", licence)
    server = SERVERS.enter_context(published(bundle, folder / "catalogue.json", licence))
    user.list_catalogue(folder / "catalogue.json")
    return server


def _training(user: PanelUser, data: Path = TRAINING_DATA, epochs: int = 100) -> None:
    """Everything above is folded away, so that the section is in sight."""
    for section in ("inputCollapsibleButton", "resultCollapsibleButton", "tableCollapsibleButton"):
        user.fold(section, True)
    user.fold("trainingCollapsibleButton", False)
    user.choose_cases(data)
    user.ui.trainingNameEdit.text = "Hippocampus, our scanner"
    user.ui.trainingEpochsBox.value = epochs
    user.wait()


def _sample(user: PanelUser):
    """The sample volume, under the name that Slicer's Sample Data gives it."""
    node = add_volume_node(user.host.scene, replace(read_volume(SAMPLE), name="Hippocampus MR", modality="MR"))
    user.show(node)
    return node


def _noise(user: PanelUser, name: str, shape: tuple[int, int, int], modality: str):
    """A volume of 1 mm voxels in which nothing is to be seen."""
    low = -1000 if modality == "CT" else 0
    array = np.random.default_rng(sum(name.encode())).integers(low, 900, shape).astype(np.int16)
    node = add_volume_node(user.host.scene, Volume(array, np.eye(4), name, modality))
    user.show(node)
    return node


def _title(bundle: Path, title: str, licence: str) -> None:
    metadata = bundle / "configs" / "metadata.json"
    own = json.loads(metadata.read_text(encoding="utf-8"))["transformerseg"]
    change_json(metadata, transformerseg={**own, "title": title, "licence": licence})


def _windows_done(run) -> int:
    progress = run.progress
    return progress.done if progress is not None and progress.stage is Stage.SEGMENT else 0
