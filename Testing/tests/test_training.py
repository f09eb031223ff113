"""Training, on three real cases, with a network small enough for a test."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import DeviceUnavailable, OutputRejected, TrainingDataRejected
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.training.data_list import Case, check_cases, read_data_list
from TransformerSegLib.training.evaluation import means
from TransformerSegLib.training.fine_tuning import fine_tune
from TransformerSegLib.training.metrics import dice
from TransformerSegLib.training.recipe import Recipe, read_recipe
from TransformerSegLib.training.reports import Watch
from TransformerSegLib.training.run_folder import CHECKPOINT, LOG
from TransformerSegLib.training.session import train_bundle

from tiny_run import CARD, CASES, DATA, RECIPE, entry, weights, written_definition


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    return written_definition(tmp_path / "definition")


class Killed(BaseException):
    """Stands for the moment in which a run is killed."""


def kill_in_epoch_2(report) -> None:
    if report.epoch == 2:
        raise Killed


def test_an_interrupted_run_ends_with_the_same_weights_as_an_uninterrupted_one(definition: Path, tmp_path: Path):
    recipe, data = read_recipe(definition / "recipe.json"), read_data_list(definition / "data_list.json", DATA)
    whole = fine_tune(recipe, data, tmp_path / "whole")
    with pytest.raises(Killed):
        fine_tune(recipe, data, tmp_path / "killed", Watch(kill_in_epoch_2))
    epochs = []
    continued = fine_tune(recipe, data, tmp_path / "killed", Watch(lambda report: epochs.append(report.epoch)))
    assert epochs == [2]
    np.testing.assert_array_equal(weights(whole), weights(continued))
    assert (tmp_path / "killed" / CHECKPOINT).is_file()


def test_a_finished_run_is_not_trained_again(definition: Path, tmp_path: Path):
    recipe, data = read_recipe(definition / "recipe.json"), read_data_list(definition / "data_list.json", DATA)
    first = fine_tune(recipe, data, tmp_path / "run")
    again = fine_tune(recipe, data, tmp_path / "run", Watch(lambda report: pytest.fail("an epoch was trained")))
    np.testing.assert_array_equal(weights(first), weights(again))


def test_a_run_with_another_recipe_is_not_continued(definition: Path, tmp_path: Path):
    recipe, data = read_recipe(definition / "recipe.json"), read_data_list(definition / "data_list.json", DATA)
    with pytest.raises(Killed):
        fine_tune(recipe, data, tmp_path, Watch(kill_in_epoch_2))
    with pytest.raises(TrainingDataRejected, match="another recipe"):
        fine_tune(recipe.model_copy(update={"seed": 4}), data, tmp_path)


def test_a_run_with_other_cases_is_not_continued(definition: Path, tmp_path: Path):
    recipe, data = read_recipe(definition / "recipe.json"), read_data_list(definition / "data_list.json", DATA)
    with pytest.raises(Killed):
        fine_tune(recipe, data, tmp_path, Watch(kill_in_epoch_2))
    with pytest.raises(TrainingDataRejected, match="other cases"):
        fine_tune(recipe, replace(data, training=data.training[:1]), tmp_path)


def test_a_run_is_continued_where_its_data_were_moved(definition: Path, tmp_path: Path):
    recipe, data = read_recipe(definition / "recipe.json"), read_data_list(definition / "data_list.json", DATA)
    fine_tune(recipe, data, tmp_path / "run")
    shutil.copytree(DATA, tmp_path / "moved")
    moved = read_data_list(definition / "data_list.json", tmp_path / "moved")
    fine_tune(recipe, moved, tmp_path / "run", Watch(lambda report: pytest.fail("an epoch was trained")))


@pytest.mark.parametrize("name", ["recipe.json", "cases.json", CHECKPOINT])
def test_a_torn_run_is_refused_with_the_name_of_the_torn_file(definition: Path, tmp_path: Path, name: str):
    recipe, data = read_recipe(definition / "recipe.json"), read_data_list(definition / "data_list.json", DATA)
    with pytest.raises(Killed):
        fine_tune(recipe, data, tmp_path, Watch(kill_in_epoch_2))
    whole = (tmp_path / name).read_bytes()
    for size in (0, len(whole) // 2):
        (tmp_path / name).write_bytes(whole[:size])
        with pytest.raises(TrainingDataRejected, match=f"its {name} is damaged"):
            fine_tune(recipe, data, tmp_path)


def test_train_exports_a_bundle_with_its_measured_dice(definition: Path, tmp_path: Path):
    lines: list[str] = []
    train_bundle(definition, DATA, tmp_path / "tiny", tmp_path / "run", "cpu", lines.append)
    bundle = read_bundle(tmp_path / "tiny")
    case = read_volume(DATA / entry(CASES[2])["image"])
    reference = read_volume(DATA / entry(CASES[2])["label"]).array
    segmentation = Segmenter(bundle, "cpu").segment([case])
    for segment in segmentation.segments:
        measured = dice(segmentation.mask(segment), reference == segment.definition.label)
        assert bundle.card.dice[segment.definition.name] == pytest.approx(measured, abs=1e-4)
    assert "1 cases of three cases" in bundle.card.dice_data
    assert any("left" in line for line in lines)
    assert len((tmp_path / "run" / LOG).read_text().splitlines()) == 3
    assert json.loads((tmp_path / "tiny" / "training" / "card.json").read_text()) == CARD
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_loss_falls(definition: Path, tmp_path: Path):
    recipe = read_recipe(definition / "recipe.json").model_copy(update={"epochs": 8, "validation_interval": 8})
    losses: list[float] = []
    data = read_data_list(definition / "data_list.json", DATA)
    fine_tune(recipe, data, tmp_path, Watch(lambda report: losses.append(report.loss)))
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])


def test_a_class_is_averaged_over_the_cases_that_show_it():
    nothing = float("nan")
    assert means({"Anterior": [0.5, nothing, 1.0], "Posterior": [nothing, nothing]}) == {"Anterior": 0.75}


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
        ({"recipe": {"patch": [32, 32, 48]}}, "takes windows of 32×32×32 only"),
        ({"recipe": {"spacing_mm": [1, 1, 0]}}, "spacing_mm"),
        ({"recipe": {"architecture": "UNet"}}, "“UNet” is not supported"),
        (
            {"recipe": {"architecture": "TransUNet", "network": {"in_channels": 1, "out_channels": 3}}},
            "slice of 32×32 voxels does not suit its network",
        ),
        (
            {"recipe": SLICES | {"network": RECIPE_OF_SLICES | {"multi_scale": True}}},
            "has 4 heads, and without deep supervision one of them would be trained",
        ),
        ({"recipe": SLICES | {"deep_supervision": True}}, "asks for deep supervision, and its TransUNet has one head"),
        ({"recipe": SLICES | {"preparation": "brats"}}, "the preparation for BraTS cuts patches out of volumes"),
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


def test_labels_on_another_grid_are_refused():
    with pytest.raises(TrainingDataRejected, match="different grids"):
        check_cases([Case(DATA / entry("150")["image"], DATA / entry("243")["label"])], classes=2)


def test_labels_outside_the_classes_are_refused():
    case = Case(DATA / entry("150")["image"], DATA / entry("150")["label"])
    check_cases([case], classes=2)
    with pytest.raises(TrainingDataRejected, match="holds the labels 0, 1, 2"):
        check_cases([case], classes=1)


def test_dice_of_half_overlapping_masks_is_a_half():
    a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    a[:, :2] = b[:, 1:3] = True
    assert dice(a, b) == 0.5
    assert np.isnan(dice(~(a | True), ~(b | True)))


def test_recipes_are_written_and_read_alike(tmp_path: Path):
    recipe = Recipe.model_validate(RECIPE)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.json") == recipe
