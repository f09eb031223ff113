"""Pretraining an encoder on real images, with a network small enough for a test."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from TransformerSegLib.bundles.plan import (
    NetworkPlan,
    NormalizeIntensity,
    Orientation,
    OutputPlan,
    Plan,
    Spacing,
    WindowPlan,
)
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.cli import app
from TransformerSegLib.errors import OutputRejected, TrainingDataRejected, TransformerSegError
from TransformerSegLib.networks.registry import configured
from TransformerSegLib.networks.swin_unetr_pretraining_module import SwinUNETRPretraining
from TransformerSegLib.training.cases import Case, DataList
from TransformerSegLib.training.data_list import read_data
from TransformerSegLib.training.learning_log import read_log
from TransformerSegLib.training.pretrained_encoder import RECORD, encoder_record, encoder_told, licence_of
from TransformerSegLib.training.pretraining import pretrain
from TransformerSegLib.training.pretraining_recipe import PretrainingRecipe
from TransformerSegLib.training.pretraining_session import pretrain_encoder
from TransformerSegLib.training.pretraining_tasks import TASKS, task_losses, two_views
from TransformerSegLib.training.reports import Watch
from TransformerSegLib.training.run_files import CASES, LOG, PROGRESS
from TransformerSegLib.training.session import train_bundle
from TransformerSegLib.training.starting import starting_weights
from TransformerSegLib.training.sub_volumes import foreground, frame_of, framed, sub_volumes

import own_process
from tiny_run import DATA, weights, written_definition

IMAGES = DATA / "imagesTr"
PATCH = (32, 32, 64)
NETWORK = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "window_size": 4, "depths": [1, 1, 1, 1]}
RECIPE = {
    "architecture": "SwinUNETR",
    "network": NETWORK | {"downsample": "mergingv2"},
    "spacing_mm": [1.0, 1.0, 1.0],
    "patch": list(PATCH),
    "batch": 2,
    "epochs": 1,
    "warmup_steps": 1,
}


def plan(downsample: str = "mergingv2", window: tuple[int, int, int] = PATCH, **changed) -> Plan:
    return Plan(
        NetworkPlan("SwinUNETR", NETWORK | {"downsample": downsample} | changed),
        (Orientation("RAS"), Spacing((1.0, 1.0, 1.0)), NormalizeIntensity()),
        WindowPlan(window),
        OutputPlan(),
    )


def recipe(downsample: str = "mergingv2", **changed) -> PretrainingRecipe:
    return PretrainingRecipe.of_model(plan(downsample), **({"epochs": 2, "batch": 2} | changed))


@pytest.fixture
def images() -> DataList:
    return read_data(IMAGES, validation=0.0, need_labels=False)


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    return written_definition(tmp_path / "definition", **RECIPE)


def test_each_loss_falls_in_training_on_real_images(images: DataList):
    chosen = recipe()
    dataset, crop = sub_volumes(images.training[:2], chosen.preparation, chosen.patch, chosen.plane)
    crop.set_random_state(0)
    given = torch.stack([torch.as_tensor(dataset[index]["image"]) for index in range(2)])
    views = two_views(given, chosen.plane, np.random.RandomState(0))
    torch.manual_seed(0)
    network = SwinUNETRPretraining(chosen.architecture.module(), 1, 12)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4)
    seen = []
    for _ in range(11):
        losses = task_losses(network(views.shown), views)
        seen.append({task: loss.item() for task, loss in losses.items()})
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    assert seen[-1]["inpainting"] < 0.95 * seen[0]["inpainting"]
    assert seen[-1]["rotation"] < 0.5 * seen[0]["rotation"]
    assert seen[-1]["contrastive"] < 0.5 * seen[0]["contrastive"]


def test_a_run_killed_with_9_in_its_second_epoch_ends_as_one_that_was_not(images: DataList, tmp_path: Path):
    arguments = (recipe(), images, tmp_path / "killed")
    killed = own_process.started(own_process.pretraining_that_is_killed_in_its_second_epoch, *arguments)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    epochs = []
    continued = pretrain(recipe(), images, tmp_path / "killed", watch=Watch(lambda report: epochs.append(report.epoch)))
    whole = pretrain(recipe(), images, tmp_path / "whole")
    assert epochs == [2]
    np.testing.assert_array_equal(weights(continued), weights(whole))
    assert [row["epoch"] for row in read_log(tmp_path / "killed" / LOG)] == [1, 2]


def test_pretrain_needs_no_labels_and_its_encoder_starts_a_training_that_says_what_it_left_out(
    definition: Path, tmp_path: Path
):
    shutil.copytree(IMAGES, tmp_path / "images")
    (definition / "data_list.json").rename(tmp_path / "data_list.json")
    encoder, run = tmp_path / "out" / "encoder.safetensors", tmp_path / "out" / "encoder.safetensors.run"
    arguments = ["--data", tmp_path / "images", "--output", encoder, "--definition", definition, "--device", "cpu"]
    said = CliRunner().invoke(app, ["pretrain", *map(str, arguments), "--epochs", "1", "--batch", "2"])
    assert said.exit_code == 0, said.output
    assert "epoch 1/1: loss" in said.output
    assert all(f"{task} " in said.output for task in TASKS)
    assert "0:00:00 left" in said.output
    (row,) = read_log(run / LOG)
    assert row["loss"] == pytest.approx(sum(row[f"loss {task}"] for task in TASKS))
    assert json.loads((run / PROGRESS).read_text())["state"] == "done"

    (tmp_path / "data_list.json").rename(definition / "data_list.json")
    lines: list[str] = []
    train_bundle(definition, DATA, tmp_path / "model", tmp_path / "run", "cpu", lines.append, encoder)
    started = "\n".join(lines)
    taken = len([name for name, tensor in load_file(encoder).items() if tensor.is_floating_point()])
    assert f"Start: {taken} of the network's" in started
    assert "Begun at random: " in started
    assert "Take care" not in started
    sha256 = hashlib.sha256(encoder.read_bytes()).hexdigest()
    assert read_bundle(tmp_path / "model").card.training_data == (
        f"Three cases. The training started from the weights of “encoder.safetensors”, SHA-256 {sha256}. They were "
        "pretrained on 3 images of “images”, without their labels; licence “not stated”."
    )


def test_an_encoder_says_where_it_comes_from_and_how_it_merges_patches(images: DataList, tmp_path: Path):
    encoder = tmp_path / "encoder.safetensors"
    pretrain_encoder(recipe("legacy", epochs=1), images, encoder, tmp_path / "run", "cpu", lambda line: None)
    record = encoder_record(encoder)
    assert (record["cases"], record["patch"], record["seed"]) == (3, list(PATCH), 0)
    assert record["network"]["downsample"] == "legacy"
    assert [step["transform"] for step in record["preparation"]] == ["Orientation", "Spacing", "NormalizeIntensity"]
    assert all(name.startswith("swinViT.") for name in load_file(encoder))
    same = starting_weights(encoder, configured("SwinUNETR", NETWORK | {"downsample": "legacy"}))
    other = starting_weights(encoder, configured("SwinUNETR", NETWORK | {"downsample": "mergingv2"}))
    assert not any("merges" in line for line in same.report)
    assert any(
        "the start merges patches as MONAI 0.9 to 1.4, and the recipe as “mergingv2”" in line for line in other.report
    )
    with pytest.raises(OutputRejected, match="never overwritten"):
        pretrain_encoder(recipe(), images, encoder, tmp_path / "run", "cpu", lambda line: None)


@pytest.mark.parametrize(
    ("record", "told", "licence"),
    [
        (
            {"data": "Task04", "licence": "CC-BY-SA 4.0", "cases": 200, "network": NETWORK | {"downsample": "legacy"}},
            "200 images of “Task04”, without their labels; licence “CC-BY-SA 4.0”",
            "CC-BY-SA 4.0",
        ),
        (
            {"data": "", "cases": 7, "network": NETWORK | {"downsample": "legacy", "in_channels": 4}},
            "7 cases of 4 images each of data without a name, without their labels; licence “not stated”",
            "",
        ),
        ({"data": ["Task04"], "cases": "200"}, "", ""),
        ({}, "", ""),
    ],
)
def test_what_an_encoder_learned_from_is_told_as_far_as_its_file_says(
    record: dict, told: str, licence: str, tmp_path: Path
):
    path = tmp_path / "encoder.safetensors"
    save_file({"swinViT.weight": torch.zeros(2)}, path, {RECORD: json.dumps(record)})
    assert (encoder_told(path), licence_of(path)) == (told, licence)


def test_the_licence_of_the_pretraining_counts_for_the_model_that_started_from_it(
    images: DataList, definition: Path, tmp_path: Path
):
    encoder = tmp_path / "encoder.safetensors"
    licensed = replace(images, licence="CC-BY-NC 4.0", name="Heads")
    pretrain_encoder(recipe(epochs=1), licensed, encoder, tmp_path / "encoder.run", "cpu", lambda line: None)
    lists = json.loads((definition / "data_list.json").read_text())
    (definition / "data_list.json").write_text(json.dumps(lists | {"validation": []}), encoding="utf-8")
    train_bundle(definition, DATA, tmp_path / "model", tmp_path / "run", "cpu", lambda line: None, encoder)
    card = read_bundle(tmp_path / "model").card
    assert card.licence == "CC-BY-SA-4.0; of the images of the pretraining: CC-BY-NC 4.0"
    assert "3 images of “Heads”" in card.training_data
    assert card.licence in (tmp_path / "model" / "LICENSE").read_text(encoding="utf-8")


def test_what_a_data_list_keeps_for_validation_is_not_learned_from(definition: Path, tmp_path: Path):
    arguments = ["--data", DATA, "--output", tmp_path / "encoder.safetensors", "--definition", definition]
    said = CliRunner().invoke(app, ["pretrain", *map(str, arguments), "--epochs", "1", "--batch", "2"])
    assert said.exit_code == 0, said.output
    cases = json.loads((tmp_path / "encoder.safetensors.run" / CASES).read_text())
    assert cases == {
        "training": [["imagesTr/hippocampus_150.nii.gz"], ["imagesTr/hippocampus_243.nii.gz"]],
        "validation": [],
    }


def test_a_run_with_other_settings_is_not_continued(images: DataList, tmp_path: Path):
    pretrain(recipe(epochs=1), images, tmp_path)
    with pytest.raises(TrainingDataRejected, match="another recipe"):
        pretrain(recipe(epochs=1, seed=1), images, tmp_path)


@pytest.mark.parametrize(
    ("refused", "match"),
    [
        (lambda: recipe(batch=1), "A batch of 1 is too small"),
        (lambda: recipe(patch=(32, 32, 40)), "Patches of 32×32×40 voxels do not fit"),
        (lambda: recipe(patch=(32, 64, 96)), "cannot be turned"),
        (
            lambda: PretrainingRecipe.of_model(Plan(NetworkPlan("UNETR", {}), (), WindowPlan(PATCH), OutputPlan())),
            "UNETR cannot be pretrained",
        ),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused_with_a_remedy(refused, match: str):
    with pytest.raises(TrainingDataRejected, match=match) as error:
        refused()
    assert "--" in error.value.remedy


def test_cases_that_the_network_cannot_take_are_refused_before_a_step_is_made(images: DataList, tmp_path: Path):
    def start(data: DataList, **changed) -> None:
        pretrain_encoder(recipe(**changed), data, tmp_path / "a.safetensors", tmp_path / "run", "cpu", pytest.fail)

    with pytest.raises(TrainingDataRejected, match="There are 3 cases, and a step takes 4"):
        start(images, batch=4)
    pair = Case((images.training[0].image, images.training[1].image))
    with pytest.raises(TrainingDataRejected, match="has 2 images, and the network takes 1"):
        start(DataList((pair, *images.training), (), "", "", IMAGES))
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    with pytest.raises(TransformerSegError, match="broken"):
        start(DataList((*images.training, Case((broken,))), (), "", "", IMAGES))
    assert not (tmp_path / "a.safetensors").exists()


def test_sub_volumes_come_from_where_the_image_is_bright_and_are_as_long_as_a_patch_if_the_image_is():
    image = torch.zeros(1, 100, 40, 20)
    image[0, 60:70, 5:35, 4:10] = 1
    assert foreground(image, (32, 32, 64)).shape == (1, 32, 32, 20)
    assert foreground(image, (32, 32, 64)).sum() == image.sum()
    image[0, 0, 0, 0] = 1
    assert foreground(image, (32, 32, 64)).shape == (1, 70, 35, 20)


def test_zeros_around_a_small_image_do_not_give_away_how_it_was_turned():
    assert frame_of((32, 50, 27), (32, 64, 32), (0, 2)) == 3
    assert frame_of((32, 50, 40), (32, 64, 32), (0, 2)) == 0
    volume = framed(torch.ones(1, 32, 64, 32), 3, (0, 2))
    for quarters in range(4):
        assert torch.equal(volume.rot90(quarters, (1, 3)), volume)
    assert volume[0, 3:-3, :, 3:-3].min() == 1
    assert volume.sum() == 26 * 64 * 26
