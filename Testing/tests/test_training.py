"""Training, on three real cases, with a network small enough for a test."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles.card import PrecisionCheck
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import DeviceUnavailable, OutputRejected, PackagesMissing, TrainingDataRejected
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.training import curve, needed_packages, session
from TransformerSegLib.training.data_list import read_data_list
from TransformerSegLib.training.evaluation_session import evaluate_bundle
from TransformerSegLib.training.export import write_trained_card
from TransformerSegLib.training.fine_tuning import fine_tune
from TransformerSegLib.training.metrics import METRICS, dice
from TransformerSegLib.training.new_card import card_of_model
from TransformerSegLib.training.progress_file import ProgressFile, State, Told
from TransformerSegLib.training.recipe import Recipe, read_recipe
from TransformerSegLib.training.reports import Watch
from TransformerSegLib.training.run_files import CHECKPOINT, CURVE, LOCK, LOG, PROGRESS
from TransformerSegLib.training.session import train_bundle

from tiny_run import CARD, DATA, RECIPE, entry, weights, written_definition


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    return written_definition(tmp_path / "definition")


class Killed(BaseException):
    """Stands for the moment in which a run is killed."""


def kill_in_epoch_2(report) -> None:
    if report.epoch == 2:
        raise Killed


def refuse_to_train(report) -> None:
    pytest.fail("an epoch was trained")


class Runs:
    """One training that went on to its end, and one that was killed in its second epoch; with copies to go on with."""

    def __init__(self, place: Path) -> None:
        self.definition = written_definition(place / "definition")
        self.recipe = read_recipe(self.definition / "recipe.json")
        self.data = read_data_list(self.definition / "data_list.json", DATA)
        self._place = place
        self.weights = weights(fine_tune(self.recipe, self.data, place / "whole"))
        with pytest.raises(Killed):
            fine_tune(self.recipe, self.data, place / "killed", Watch(kill_in_epoch_2))

    def copy(self, name: str, folder: Path) -> Path:
        return Path(shutil.copytree(self._place / name, folder / name))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def test_an_interrupted_run_ends_with_the_same_weights_as_an_uninterrupted_one(runs: Runs, tmp_path: Path):
    epochs = []
    killed = runs.copy("killed", tmp_path)
    continued = fine_tune(runs.recipe, runs.data, killed, Watch(lambda report: epochs.append(report.epoch)))
    assert epochs == [2]
    np.testing.assert_array_equal(runs.weights, weights(continued))
    assert (killed / CHECKPOINT).is_file()


def test_a_finished_run_is_not_trained_again_not_even_where_its_data_were_moved(runs: Runs, tmp_path: Path):
    whole = runs.copy("whole", tmp_path)
    shutil.copytree(DATA, tmp_path / "moved")
    moved = read_data_list(runs.definition / "data_list.json", tmp_path / "moved")
    again = fine_tune(runs.recipe, moved, whole, Watch(refuse_to_train))
    np.testing.assert_array_equal(runs.weights, weights(again))


def test_a_run_with_another_recipe_is_not_continued(runs: Runs, tmp_path: Path):
    with pytest.raises(TrainingDataRejected, match=re.escape("another recipe (“seed” was 3)")):
        fine_tune(runs.recipe.model_copy(update={"seed": 4}), runs.data, runs.copy("killed", tmp_path))


def test_a_run_with_other_cases_is_not_continued(runs: Runs, tmp_path: Path):
    fewer = replace(runs.data, training=runs.data.training[:1])
    with pytest.raises(TrainingDataRejected, match="other cases"):
        fine_tune(runs.recipe, fewer, runs.copy("killed", tmp_path))


@pytest.mark.parametrize("name", ["recipe.json", "cases.json", CHECKPOINT])
def test_a_torn_run_is_refused_with_the_name_of_the_torn_file(runs: Runs, tmp_path: Path, name: str):
    killed = runs.copy("killed", tmp_path)
    whole = (killed / name).read_bytes()
    for size in (0, len(whole) // 2):
        (killed / name).write_bytes(whole[:size])
        with pytest.raises(TrainingDataRejected, match=f"its {name} is damaged"):
            fine_tune(runs.recipe, runs.data, killed)


class Trained:
    """What ``train_bundle`` makes: its lines, what it told of its progress, and its files."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.definition = written_definition(place / "definition")
        self.model, self.run = place / "tiny", place / "run"
        self.lines: list[str] = []
        self.told: list[Told] = []
        monkeypatch.setattr(session, "ProgressFile", remembering(self.told.append))
        train_bundle(self.definition, DATA, self.model, self.run, "cpu", self.lines.append)


def remembering(on_tell: Callable[[Told], None]) -> type[ProgressFile]:
    """A progress file that lets a test see each thing that it is told."""

    class Remembering(ProgressFile):
        def tell(self, **changes) -> None:
            super().tell(**changes)
            on_tell(self.told)

    return Remembering


EMBEDDED = resources_folder() / "Models" / "hippocampus_swin_unetr"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return Trained(tmp_path_factory.mktemp("trained"), monkeypatch)


def test_train_exports_a_bundle_with_its_log_and_what_defined_it(trained: Trained):
    assert any("left" in line for line in trained.lines)
    assert len((trained.run / LOG).read_text().splitlines()) == 3
    assert json.loads((trained.model / "training" / "card.json").read_text()) == CARD
    hidden = {path.name for folder in (trained.model.parent, trained.run) for path in folder.glob(".*")}
    assert hidden == {LOCK}


def test_a_trained_model_says_how_it_was_mirrored_and_nothing_of_16_bits_or_doubt(trained: Trained, tmp_path: Path):
    model = Path(shutil.copytree(trained.model, tmp_path / "model"))
    recipe = read_recipe(trained.definition / "recipe.json").model_copy(update={"flip_axes": (0, 2)})
    checked = PrecisionCheck(dice={"Anterior": 1.0}, data="other cases", cases=1, weights_sha256="0" * 64)
    embedded = read_bundle(EMBEDDED).card
    told = {"temperature": embedded.temperature, "dice_scale": embedded.dice_scale, "doubt": embedded.doubt}
    assert None not in told.values()
    others = read_bundle(model).card.model_copy(update={"mirror_axes": (1,), "bfloat16": checked, **told})
    write_trained_card(model, others, recipe)
    card = read_bundle(model).card
    assert card.mirror_axes == (0, 2)
    assert card.bfloat16 is card.dice_scale is card.doubt is None
    assert card.temperature == 1.0


def test_what_was_measured_of_a_model_is_not_said_of_one_that_goes_on_from_it(trained: Trained):
    data, recipe = (
        read_data_list(trained.definition / "data_list.json", DATA),
        read_recipe(trained.definition / "recipe.json"),
    )
    card = card_of_model("mine", recipe, data, read_bundle(EMBEDDED))
    assert card.dice == card.figures == {}
    assert card.bfloat16 is card.dice_scale is card.doubt is None
    assert card.temperature == 1.0


def test_the_card_of_a_trained_model_has_the_figures_that_evaluate_finds(trained: Trained, tmp_path: Path):
    bundle = read_bundle(trained.model)
    data = read_data_list(trained.definition / "data_list.json", DATA)
    evaluate_bundle(bundle, data, tmp_path / "out", "cpu", lambda line: None)
    found = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["classes"]
    assert list(found) == ["Anterior", "Posterior"]
    for name, figures in found.items():
        assert bundle.card.dice[name] == pytest.approx(figures["dice"]["mean"], abs=5e-4)
        for metric in METRICS:
            if figures[metric.key]["cases"]:
                kept = bundle.card.figures[name][metric.label]
                assert kept.mean == pytest.approx(figures[metric.key]["mean"], abs=0.5 * 10**-metric.digits)
            else:
                assert metric.label not in bundle.card.figures[name]
        assert f"  {name}: Dice {figures['dice']['mean']:.3f}" in trained.lines
    assert bundle.card.dice_data == "1 case of three cases that was kept out of training (mean)"
    document = (trained.model / "docs" / "README.md").read_text(encoding="utf-8")
    assert "| Anterior | " in document
    assert "Surface Dice at 1 mm" in document


def test_the_measuring_tells_cases_done_and_time_left(trained: Trained):
    measuring = [told for told in trained.told if told.state is State.MEASURING]
    assert [(told.step, told.steps) for told in measuring][:2] == [(0, 1), (1, 1)]
    assert measuring[0].seconds_left is None
    assert measuring[1].seconds_left == 0
    assert measuring[1].message == "1 of 1 cases measured"
    assert trained.told[-1].state is State.DONE
    mean = sum(read_bundle(trained.model).card.dice.values()) / 2
    assert trained.told[-1].mean_dice == pytest.approx(mean, abs=5e-4)
    assert json.loads((trained.run / PROGRESS).read_text(encoding="utf-8"))["output"] == str(trained.model)


def test_a_model_that_was_stopped_while_it_was_measured_is_kept_without_figures(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def stop_when_measuring(told: Told) -> None:
        if told.state is State.MEASURING and told.step:
            raise KeyboardInterrupt

    monkeypatch.setattr(session, "ProgressFile", remembering(stop_when_measuring))
    run, lines = shutil.copytree(trained.run, tmp_path / "run"), []
    with pytest.raises(KeyboardInterrupt):
        train_bundle(trained.definition, DATA, tmp_path / "model", run, "cpu", lines.append)
    assert read_bundle(tmp_path / "model").card.dice == {}
    assert "but not measured: “transformerseg evaluate --write-card” does that" in lines[-1]
    assert json.loads((run / PROGRESS).read_text(encoding="utf-8"))["state"] == "stopped"


@pytest.mark.parametrize("missing", ["ignite", "scipy"])
def test_what_trains_and_measures_is_asked_for_before_the_training(
    definition: Path, monkeypatch: pytest.MonkeyPatch, missing: str
):
    there = needed_packages.find_spec
    monkeypatch.setattr(needed_packages, "find_spec", lambda name: None if name == missing else there(name))
    with pytest.raises(PackagesMissing, match=f"The package {missing} is not installed.*extra “train”"):
        train_on_three_cases(definition)
    assert list(definition.parent.iterdir()) == [definition]


def test_without_matplotlib_a_training_says_that_there_is_no_curve(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for place in (session, curve.importlib.util):
        there = place.find_spec
        monkeypatch.setattr(place, "find_spec", lambda name, find=there: None if name == "matplotlib" else find(name))
    run, lines = shutil.copytree(trained.run, tmp_path / "run", ignore=shutil.ignore_patterns(CURVE)), []
    train_bundle(trained.definition, DATA, tmp_path / "model", run, "cpu", lines.append)
    assert lines[0] == "There will be no picture of the learning curve: matplotlib is not installed"
    assert not (run / CURVE).exists()


def test_the_loss_falls(definition: Path, tmp_path: Path):
    changes = {"epochs": 8, "validation_interval": 8, "learning_rate": 5e-3}
    recipe = read_recipe(definition / "recipe.json").model_copy(update=changes)
    losses: list[float] = []
    data = read_data_list(definition / "data_list.json", DATA)
    fine_tune(recipe, data, tmp_path, Watch(lambda report: losses.append(report.loss)))
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])


def train_on_three_cases(definition: Path, **changes: dict) -> None:
    """``train_bundle`` with changed fields in the files of the definition."""
    for name, change in changes.items():
        path = definition / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change), encoding="utf-8")
    train_bundle(definition, DATA, definition.parent / "new", definition.parent / "run", "cpu", print)


FIRST, SECOND = CARD["classes"]
RECIPE_OF_SLICES = {"in_channels": 1, "out_channels": 3, "img_size": 32, "num_layers": 1}
SLICES = {"architecture": "TransUNet", "network": RECIPE_OF_SLICES, "patch": [2, 32, 32], "axcodes": "SLA"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": {"batch": 3}}, "has 2 training cases, and the recipe a batch of 3"),
        ({"recipe": {"axcodes": "RRA"}}, "“RRA”"),
        ({"recipe": {"patch": [16, 16, 32]}}, "takes windows of 16×16×16 only"),
        ({"recipe": {"spacing_mm": [1, 1, 0]}}, "spacing_mm"),
        ({"recipe": {"architecture": "UNet"}}, "“UNet” is not supported"),
        (
            {"recipe": {"architecture": "TransUNet", "network": {"in_channels": 1, "out_channels": 3}}},
            "slice of 16×16 voxels does not suit its network",
        ),
        (
            {"recipe": SLICES | {"network": RECIPE_OF_SLICES | {"multi_scale": True}}},
            "has 4 heads, and without deep supervision one of them would be trained",
        ),
        ({"recipe": SLICES | {"deep_supervision": True}}, "asks for deep supervision, and its TransUNet has one head"),
        ({"recipe": SLICES | {"preparation": "brats"}}, "the preparation for BraTS cuts patches out of volumes"),
        ({"recipe": SLICES | {"flip_axes": [0, 2]}}, "mirrors along axis 2, and TransUNet sees slices"),
        ({"recipe": {"labels": "brats"}}, "do not say that the regions of BraTS are trained"),
        ({"recipe": {"network": {"out_channels": 3}}}, "“in_channels” is missing"),
        ({"recipe": {"network": RECIPE["network"] | {"in_channels": 2}}}, "2"),
        ({"recipe": {"network": RECIPE["network"] | {"out_channels": 2}}}, "last channel is 1"),
        ({"recipe": {"network": RECIPE["network"] | {"out_channels": 5}}}, "has 5 channels, and the card 2 classes"),
        ({"card": {"classes": [FIRST]}}, "has 3 channels, and the card 1 classes"),
        ({"card": {"classes": [FIRST, SECOND | {"label": 7}]}}, "not numbered from 1 to 2"),
        ({"card": {"classes": [FIRST | {"label": 2}, SECOND | {"label": 1}]}}, "not numbered from 1 to 2"),
        ({"card": {"classes": [FIRST | {"channel": 0}, SECOND]}}, "not numbered from 1 to 2"),
        ({"card": {"title": None}}, "Correct “title”"),
        ({"data_list": {"training": []}}, "no training case"),
    ],
)
def test_what_would_fail_after_the_training_is_refused_before_it(definition: Path, changes: dict, said: str):
    with pytest.raises(TrainingDataRejected, match=re.escape(said)):
        train_on_three_cases(definition, **changes)
    assert list(definition.parent.iterdir()) == [definition]


def test_folders_that_cannot_be_made_are_refused_before_the_training(definition: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    for output, run in ((tmp_path / "file" / "new", tmp_path / "run"), (tmp_path / "new", tmp_path / "file")):
        with pytest.raises(OutputRejected, match="cannot be made"):
            train_bundle(definition, DATA, output, run, "cpu", print)


def test_a_device_that_is_not_there_is_refused_before_the_training(definition: Path, tmp_path: Path):
    with pytest.raises(DeviceUnavailable):
        train_bundle(definition, DATA, tmp_path / "new", tmp_path / "run", "cuda:99", print)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("name", ["recipe", "card", "data_list"])
def test_a_damaged_file_of_the_definition_is_refused(definition: Path, name: str, content: bytes):
    (definition / f"{name}.json").write_bytes(content)
    with pytest.raises(TrainingDataRejected, match=f"{name}.json"):
        train_on_three_cases(definition)


def test_a_model_is_never_overwritten(definition: Path, tmp_path: Path):
    with pytest.raises(OutputRejected, match="never overwritten"):
        train_bundle(definition, DATA, definition, tmp_path / "run", "cpu", print)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spacing_mm": [1, 1]}, "spacing_mm"),
        ({"epochs": 0}, "epochs"),
        ({"epoch": 3}, "epoch"),
        ({"overlap": 1.0}, "overlap"),
        ({"axcodes": "$exit()"}, "axcodes"),
        ({"spacing_mm": [1, 0, 1]}, "spacing_mm.1"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_refused_by_field(definition: Path, change: dict, said: str):
    (definition / "recipe.json").write_text(json.dumps(RECIPE | change), encoding="utf-8")
    with pytest.raises(TrainingDataRejected, match=f"Correct “{said}"):
        read_recipe(definition / "recipe.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"training": [{"image": "a.nii.gz"}]}', "cannot be read"),
        ('{"training": [{"image": "a.nii.gz", "label": "b.nii.gz"}]}', "a.nii.gz"),
        ('{"training": []}', "no training case"),
        ("[" * 100_000, "cannot be read"),
        (json.dumps({"training": [entry("150")], "validation": [entry("150")]}), "for training and for validation"),
        (
            json.dumps(
                {
                    "training": [entry("150")],
                    "validation": [entry("150") | {"image": "imagesTr/../imagesTr/hippocampus_150.nii.gz"}],
                }
            ),
            "for training and for validation",
        ),
    ],
)
def test_a_data_list_that_cannot_be_used_is_refused(tmp_path: Path, content: str, said: str):
    (tmp_path / "data_list.json").write_text(content, encoding="utf-8")
    with pytest.raises(TrainingDataRejected, match=said):
        read_data_list(tmp_path / "data_list.json", DATA)


def test_dice_of_half_overlapping_masks_is_a_half():
    a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    a[:, :2] = b[:, 1:3] = True
    assert dice(a, b) == 0.5
    assert np.isnan(dice(~(a | True), ~(b | True)))


def test_recipes_are_written_and_read_alike(tmp_path: Path):
    recipe = Recipe.model_validate(RECIPE)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.json") == recipe
