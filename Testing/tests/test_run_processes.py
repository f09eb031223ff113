"""Trainings in processes of their own: killed and continued, and two of them that train one network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch

from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import RunInUse
from TransformerSegLib.networks.registry import build
from TransformerSegLib.training import run_folder
from TransformerSegLib.training.data_list import read_data_list
from TransformerSegLib.training.fine_tuning import fine_tune
from TransformerSegLib.training.learning_log import read_log
from TransformerSegLib.training.recipe import read_recipe
from TransformerSegLib.training.reports import Watch
from TransformerSegLib.training.run_files import CHECKPOINT, LOG, PROGRESS
from TransformerSegLib.training.session import train_bundle

import own_process
from tiny_run import DATA, weights, written_definition

SECONDS = 240.0
"""What a process may take on a computer that does much else."""

SAID = "said.txt"

TOGETHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "TransformerSegLib.cli", "--",
            "train")  # fmt: skip


def arguments(definition: Path, place: Path) -> list[str]:
    """Of ``transformerseg train``; the model and its run lie in ``place``."""
    return [str(definition), "--data", str(DATA), "--output", str(place / "model"), "--run", str(place / "run"),
            "--device", "cpu"]  # fmt: skip


def alone(definition: Path, place: Path) -> BaseProcess:
    """``transformerseg train`` in a process of its own; what it says is in ``place``, in ``SAID``."""
    return own_process.started(own_process.command, place / SAID, "train", *arguments(definition, place))


def logged_epochs(run: Path) -> list[int]:
    return [int(row["epoch"]) for row in read_log(run / LOG)]


def wait_until_epoch(epoch: int, process: BaseProcess, run: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while epoch not in logged_epochs(run):
        assert process.is_alive(), (run.parent / SAID).read_text(encoding="utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.01)


def contents(folder: Path) -> dict[Path, bytes]:
    """Of the files in it, those in folders too: a process may be held while it writes into a temporary one."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse_another(definition: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second training of the same run is refused, and leaves it as it is."""
    files = contents(place / "run")
    monkeypatch.setattr(run_folder, "GRACE_SECONDS", 0.3)
    with pytest.raises(RunInUse, match=r"Another process trains in “.*run”: two .* Wait until it ends or stop it"):
        train_bundle(definition, DATA, place / "other", place / "run", "cpu", print)
    assert contents(place / "run") == files
    assert not (place / "other").exists()


def test_a_run_that_is_killed_and_stopped_goes_on_and_ends_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    definition = written_definition(tmp_path / "definition", epochs=5, validation_interval=5)
    run = tmp_path / "run"
    killed = alone(definition, tmp_path)
    wait_until_epoch(1, killed, run)
    os.kill(killed.pid, signal.SIGSTOP)  # it waits, and has the run still
    refuse_another(definition, tmp_path, monkeypatch)
    killed.kill()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    reached = max(logged_epochs(run))
    assert reached < 4

    stopped = alone(definition, tmp_path)
    wait_until_epoch(reached + 1, stopped, run)
    stopped.terminate()
    stopped.join(SECONDS)
    assert stopped.exitcode == 128 + signal.SIGTERM
    said = (tmp_path / SAID).read_text(encoding="utf-8")
    assert "Traceback" not in said
    # The log is written just before the state: the epoch that was logged last may be lost, and no more.
    first = int(said.split("epoch ")[1].split("/")[0])
    assert first in (reached, reached + 1)
    last = max(logged_epochs(run))
    told = json.loads((run / PROGRESS).read_text(encoding="utf-8"))
    assert (told["state"], told["message"]) == ("stopped", "")
    assert not (tmp_path / "model").exists()

    recipe, data = read_recipe(definition / "recipe.json"), read_data_list(definition / "data_list.json", DATA)
    epochs: list[int] = []
    continued = fine_tune(recipe, data, run, Watch(lambda report: epochs.append(report.epoch)))
    assert epochs == list(range(epochs[0], 6))
    assert epochs[0] in (last, last + 1)
    assert logged_epochs(run) == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(weights(continued), weights(fine_tune(recipe, data, tmp_path / "whole")))


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path):
    changes = {"epochs": 2, "validation_interval": 1, "randomness": "case"}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = written_definition(tmp_path / "one" / "definition", batch=2, **changes)
    two = written_definition(tmp_path / "two" / "definition", batch=1, **changes)
    command = [sys.executable, *TOGETHER, *arguments(two, tmp_path / "two")]
    together = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    recipe, data = read_recipe(one / "recipe.json"), read_data_list(one / "data_list.json", DATA)
    alone = fine_tune(recipe, data, tmp_path / "one" / "run")
    said, warned = together.communicate(timeout=SECONDS)
    assert together.returncode == 0, warned

    kept = torch.load(tmp_path / "two" / "run" / CHECKPOINT, weights_only=True)["average"]
    torch.manual_seed(recipe.seed)
    begun = weights(build(recipe.architecture, recipe.network))
    network = build(recipe.architecture, recipe.network)
    network.load_state_dict(kept)
    # Adam makes much of the rounding of gradients that are almost zero; the way of all weights together is the same.
    way = np.linalg.norm(weights(alone) - begun)
    assert np.linalg.norm(weights(network) - weights(alone)) < 0.02 * way
    logs = [read_log(tmp_path / name / "run" / LOG) for name in ("one", "two")]
    for single, double in zip(*logs, strict=True):
        assert double["loss"] == pytest.approx(single["loss"], rel=1e-4)
        assert double.get("mean_dice") == pytest.approx(single.get("mean_dice"), abs=0.01)
    # The first process alone talks.
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith("epoch")] == [
        f"epoch {epoch}/2" for epoch in (1, 2)
    ]
    assert said.count("Saved ") == 1
    assert read_bundle(tmp_path / "two" / "model").card.dice
    assert json.loads((tmp_path / "two" / "run" / PROGRESS).read_text(encoding="utf-8"))["state"] == "done"
