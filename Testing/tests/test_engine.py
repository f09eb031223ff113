"""The engine of all trainings: its steps, its random numbers, what it writes, and how it ends."""

from __future__ import annotations

import copy
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import nibabel
import numpy as np
import pytest
import torch
from monai.data import Dataset
from monai.losses import DiceCELoss
from monai.transforms import Compose, RandGaussianNoised

from TransformerSegLib.errors import OutOfMemory, OutputRejected, TrainingDataRejected, TrainingDiverged
from TransformerSegLib.networks.registry import build
from TransformerSegLib.training import engine
from TransformerSegLib.training.data_list import DataList, read_data_list
from TransformerSegLib.training.engine import mixed_precision, run_epochs
from TransformerSegLib.training.fine_tuning import fine_tune
from TransformerSegLib.training.learning_log import read_log
from TransformerSegLib.training.randomness import loader_of, repeatable
from TransformerSegLib.training.recipe import Recipe
from TransformerSegLib.training.reports import Watch
from TransformerSegLib.training.run_files import CHECKPOINT, CURVE, LOG, PROGRESS
from TransformerSegLib.training.samples import training_set

from tiny_run import DATA, RECIPE, weights, written_definition

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def data(tmp_path: Path) -> DataList:
    return read_data_list(written_definition(tmp_path / "definition") / "data_list.json", DATA)


def recipe(**changes) -> Recipe:
    return Recipe.model_validate(RECIPE | changes)


def trained_by_hand(recipe: Recipe, data: DataList) -> torch.nn.Module:
    """The same training, step by step, with nothing but torch: AdamW, warm-up and cosine, clipping, moving average."""
    torch.manual_seed(recipe.seed)
    network = build(recipe.architecture, recipe.network).to(memory_format=torch.channels_last_3d).train()
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, smooth_nr=1e-3, smooth_dr=1e-3)
    dataset, random_part = training_set(recipe, data.training)
    total, step = recipe.epochs * (len(dataset) // recipe.batch), 0
    for epoch in range(1, recipe.epochs + 1):
        torch.manual_seed(recipe.seed * 100_003 + epoch)
        random_part.set_random_state(recipe.seed * 100_003 + epoch)
        order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(recipe.seed + epoch)).tolist()
        for places in zip(*[iter(order)] * recipe.batch, strict=False):
            cases = [dataset[place] for place in places]
            image, label = (torch.stack([case[key] for case in cases]) for key in ("image", "label"))
            done = (step - recipe.warmup_steps) / (total - recipe.warmup_steps)
            rate = step / recipe.warmup_steps if step < recipe.warmup_steps else 0.5 * (1 + math.cos(math.pi * done))
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * rate
            optimizer.zero_grad()
            loss(network(image), label).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_norm)
            optimizer.step()
            step += 1
            share = max(recipe.average_momentum, 9 / (10 + step))
            with torch.no_grad():
                for averaged, weight in zip(average.parameters(), network.parameters(), strict=True):
                    averaged.mul_(1 - share).add_(weight, alpha=share)
    return average


def test_the_engine_makes_the_steps_of_a_loop_written_by_hand(data: DataList, tmp_path: Path):
    settings = recipe()
    np.testing.assert_array_equal(
        weights(fine_tune(settings, data, tmp_path / "run")), weights(trained_by_hand(settings, data))
    )


NOISE = 0.5


def noisy_numbers(count: int) -> tuple[Dataset, Compose]:
    noise = Compose([RandGaussianNoised("image", prob=1.0, std=NOISE, sample_std=False)])
    items = [
        {"image": torch.full((1, 2), float(number)), "label": torch.tensor([float(number)])} for number in range(count)
    ]
    return Dataset(items, noise), noise


def seen(monkeypatch: pytest.MonkeyPatch, batch: int, process: int, processes: int, epoch: int) -> list[torch.Tensor]:
    """The batches of one process."""
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setenv("RANK", str(process))
    loader = loader_of(*noisy_numbers(9), batch, seed=4, per_case=True, device="cpu")
    loader.sampler.set_epoch(epoch)
    return [batch["image"].as_tensor() for batch in loader]


def test_two_processes_see_in_each_step_what_one_with_twice_the_batch_sees(monkeypatch: pytest.MonkeyPatch):
    whole = seen(monkeypatch, batch=4, process=0, processes=1, epoch=3)
    halves = zip(*(seen(monkeypatch, batch=2, process=each, processes=2, epoch=3) for each in (0, 1)), strict=True)
    assert len(whole) == 2
    for one, two in zip(whole, map(torch.cat, halves), strict=True):
        assert torch.equal(one.flatten().sort().values, two.flatten().sort().values)
        assert not torch.equal(one, one.round())


def test_a_case_looks_otherwise_in_each_epoch(monkeypatch: pytest.MonkeyPatch):
    first, second = (torch.cat(seen(monkeypatch, 1, 0, 1, epoch)) for epoch in (1, 2))
    assert not set(first.flatten().tolist()) & set(second.flatten().tolist())


class Line(torch.nn.Module):
    """One weight; its output is the image times it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.5]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.weight


class Wide(torch.nn.Module):
    """As ``Line``, with a state of megabytes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((300_000,), 0.5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.weight.mean()


half_on_a_cpu = pytest.mark.filterwarnings(
    "ignore:torch.cuda.amp.GradScaler is enabled, but CUDA is not available",
    "ignore:User provided device_type of 'cuda', but CUDA is not available",
    "ignore:CUDA is not available",
)
"""Where there is no GPU, half precision is taken as full, and a scaler scales nothing."""


def run_line(folder: Path, loss, network: torch.nn.Module | None = None, **options) -> torch.nn.Module:
    dataset, noise = noisy_numbers(4)
    settings = recipe(learning_rate=0.01)
    return run_epochs(settings, network or Line(), dataset, loss, folder, random_part=noise, **options)


def stopped_in_epoch_2(report) -> None:
    if report.epoch == 2:
        raise KeyboardInterrupt


def test_the_parts_of_a_loss_are_summed_and_logged_one_by_one(tmp_path: Path):
    def loss(output, target) -> dict[str, torch.Tensor]:
        return {"square": (output - target).square().mean(), "size": output.abs().mean()}

    run_line(tmp_path, loss)
    rows = read_log(tmp_path / LOG)
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert row["loss"] == pytest.approx(row["loss square"] + row["loss size"], rel=1e-6)
        assert "mean_dice" not in row


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_epoch_before(tmp_path: Path):
    steps = []

    def loss(output, target) -> torch.Tensor:
        steps.append(output)
        return output.mean() / (len(steps) < 6)  # four steps an epoch

    with pytest.raises(TrainingDiverged, match="in epoch 2"):
        run_line(tmp_path, loss)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["trainer"]["iteration"] == 4
    told = json.loads((tmp_path / PROGRESS).read_text(encoding="utf-8"))
    assert told["state"] == "failed"
    assert "Lower “learning_rate”" in told["message"]


@half_on_a_cpu
def test_a_run_that_began_in_full_precision_goes_on_in_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(KeyboardInterrupt):
        run_line(tmp_path, lambda output, target: output.mean(), watch=Watch(on_epoch=stopped_in_epoch_2))
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert (kept["trainer"]["iteration"], "scaler" in kept) == (4, False)
    monkeypatch.setattr(engine, "mixed_precision", lambda *_: {"amp": True, "amp_kwargs": {"dtype": torch.float16}})
    run_line(tmp_path, lambda output, target: output.mean())
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert (kept["trainer"]["iteration"], "scaler" in kept) == (8, True)


@half_on_a_cpu
def test_in_half_precision_steps_may_be_left_out_but_not_a_whole_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "mixed_precision", lambda *_: {"amp": True, "amp_kwargs": {"dtype": torch.float16}})
    steps = []

    def loss(output, target) -> torch.Tensor:
        steps.append(output)
        return output.mean() if len(steps) < 4 else output.mean() * math.nan  # four steps an epoch

    with pytest.raises(TrainingDiverged, match="in epoch 2"):
        run_line(tmp_path, loss)
    (row,) = read_log(tmp_path / LOG)
    assert math.isfinite(row["loss"])


def test_memory_that_runs_out_is_told_with_a_remedy(tmp_path: Path):
    with pytest.raises(OutOfMemory, match="Lower “batch”"):
        run_line(tmp_path, lambda output, target: torch.zeros(2**50).sum() + output.mean())


def test_a_full_disk_ends_a_run_in_words_and_leaves_the_state_before(tmp_path: Path):
    resource = pytest.importorskip("resource")
    watch = Watch(on_epoch=stopped_in_epoch_2)
    with pytest.raises(KeyboardInterrupt):
        run_line(tmp_path, lambda output, target: output.mean(), network=Wide(), watch=watch)
    before = (tmp_path / CHECKPOINT).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OutputRejected, match="File too large"):
            run_line(tmp_path, lambda output, target: output.mean(), network=Wide())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_too_few_cases_for_a_step_are_refused(data: DataList, tmp_path: Path):
    with pytest.raises(TrainingDataRejected, match="a step takes, which is 3"):
        fine_tune(recipe(batch=3), data, tmp_path / "run")


def test_a_run_stopped_by_ctrl_c_keeps_its_epochs_and_says_so(data: DataList, tmp_path: Path):
    def stop_in_epoch_2(report) -> None:
        if report.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            fine_tune(recipe(), data, tmp_path, Watch(on_step=stop_in_epoch_2))
    finally:
        signal.signal(signal.SIGINT, before)
    told = json.loads((tmp_path / PROGRESS).read_text(encoding="utf-8"))
    assert (told["state"], told["epoch"], told["epochs"]) == ("stopped", 2, 2)
    assert [row["epoch"] for row in read_log(tmp_path / LOG)] == [1]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".", "tmp"))]
    epochs: list[int] = []
    fine_tune(recipe(), data, tmp_path, Watch(lambda report: epochs.append(report.epoch)))
    assert epochs == [2]


def test_a_run_that_ends_while_it_writes_its_state_keeps_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save, saved = torch.save, []

    def ended_while_writing(content, file: BinaryIO) -> None:
        saved.append(file)
        if len(saved) == 2:
            file.write(b"half")
            raise KeyboardInterrupt
        save(content, file)

    monkeypatch.setattr(torch, "save", ended_while_writing)
    with pytest.raises(KeyboardInterrupt):
        run_line(tmp_path, lambda output, target: output.mean())
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["trainer"]["iteration"] == 4


def test_what_a_killed_process_left_half_written_is_taken_away(data: DataList, tmp_path: Path):
    (tmp_path / ".transformerseg-abc").mkdir()
    (tmp_path / ".transformerseg-abc" / CHECKPOINT).write_bytes(b"half")
    fine_tune(recipe(epochs=1), data, tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_a_run_writes_its_log_by_class_its_curve_and_how_far_it_is(data: DataList, tmp_path: Path):
    steps = []

    def look(report) -> None:
        steps.append((report.epoch, report.step, report.steps, report.seconds_left))

    fine_tune(recipe(), data, tmp_path, Watch(on_step=look), classes=["Anterior", "Posterior"])
    first, last = read_log(tmp_path / LOG)
    assert (tmp_path / LOG).read_text(encoding="utf-8").splitlines()[0] == (
        "epoch,loss,learning_rate,seconds,mean_dice,dice Anterior,dice Posterior"
    )
    assert "mean_dice" not in first
    assert last["mean_dice"] == pytest.approx((last["dice Anterior"] + last["dice Posterior"]) / 2, rel=1e-6)
    assert [step[:3] for step in steps] == [(1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2)]
    assert all(left > 0 for *_, left in steps[:-1])
    assert steps[-1][-1] == 0
    assert (tmp_path / CURVE).read_bytes().startswith(PNG)
    told = json.loads((tmp_path / PROGRESS).read_text(encoding="utf-8"))
    assert (told["epoch"], told["step"], told["steps"]) == (2, 2, 2)
    assert told["mean_dice"] == last["mean_dice"]


def test_where_no_validation_case_shows_a_class_no_dice_is_told(data: DataList, tmp_path: Path):
    (case,) = data.validation
    stored = nibabel.load(case.label)
    nibabel.save(nibabel.Nifti1Image(np.zeros(stored.shape, np.uint8), stored.affine), tmp_path / "empty.nii.gz")
    nothing = replace(data, validation=(replace(case, label=tmp_path / "empty.nii.gz"),))
    reports = []
    fine_tune(recipe(epochs=1), nothing, tmp_path / "run", Watch(reports.append))
    assert [report.mean_dice for report in reports] == [None]
    assert json.loads((tmp_path / "run" / PROGRESS).read_text(encoding="utf-8"))["mean_dice"] is None


def test_a_run_from_before_a_field_of_the_recipe_existed_goes_on(data: DataList, tmp_path: Path):
    fine_tune(recipe(), data, tmp_path)
    kept = json.loads((tmp_path / "recipe.json").read_text(encoding="utf-8"))
    for field in ("mixed_precision", "randomness", "deep_supervision"):
        del kept[field]
    (tmp_path / "recipe.json").write_text(json.dumps(kept), encoding="utf-8")
    fine_tune(recipe(), data, tmp_path, Watch(lambda report: pytest.fail("an epoch was trained")))
    with pytest.raises(TrainingDataRejected, match="another recipe"):
        fine_tune(recipe(randomness="case"), data, tmp_path)


def test_a_gpu_is_asked_to_compute_alike_while_it_trains_and_not_longer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")  # and so at the end as it was
    with repeatable("cpu"):
        assert not torch.are_deterministic_algorithms_enabled()
    with repeatable("cuda:1"):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_seed_gives_the_same_weights_on_a_gpu(data: DataList, tmp_path: Path):
    settings = recipe(mixed_precision="auto")
    one, two = (weights(fine_tune(settings, data, tmp_path / name, device="cuda")) for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)


def test_precision_is_never_halved_on_a_cpu():
    assert mixed_precision(recipe(mixed_precision="auto"), "cpu") == {}
    assert mixed_precision(recipe(mixed_precision="off"), "cuda") == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_precision_is_halved_on_a_gpu_where_that_is_asked_for(data: DataList, tmp_path: Path):
    losses: dict[str, list[float]] = {"auto": [], "off": []}
    for precision, found in losses.items():
        settings = recipe(mixed_precision=precision, epochs=4)
        fine_tune(settings, data, tmp_path / precision, Watch(lambda r, found=found: found.append(r.loss)), "cuda")
    assert losses["auto"] == pytest.approx(losses["off"], rel=0.05)
    assert losses["auto"] != losses["off"]
