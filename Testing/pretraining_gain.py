"""What pretraining gains, and what a CNN of the same size makes of the same cases, steps of equal kind and CPU time.

    python Testing/pretraining_gain.py DATA DEFINITION ENCODER RESULTS [--minutes 15] [ARM-SEED ...]

DATA is the folder with ``imagesTr`` and ``labelsTr``, DEFINITION one with ``recipe.json`` and ``data_list.json`` (such
as the embedded model's ``training``), ENCODER what ``transformerseg pretrain`` wrote. An arm is “random” (the recipe's
network from random weights), “pretrained” (from ENCODER), or “dynunet” (MONAI's DynUNet). Every arm trains by the
recipe, on one thread, for as many epochs as fit into its CPU minutes; cases whose number has a tens digit of 2 or 7 are
kept out, and measured whole, by their Dice. Each arm's result is a file in RESULTS; those that are there are not made
again. Prints a Markdown table of all that are there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from monai.networks.nets import DynUNet

from TransformerSegLib.networks.registry import build, configured
from TransformerSegLib.training.data_list import read_data_list
from TransformerSegLib.training.engine import run_epochs
from TransformerSegLib.training.losses import loss
from TransformerSegLib.training.recipe import Recipe, read_recipe
from TransformerSegLib.training.samples import training_set, validation_set
from TransformerSegLib.training.starting import starting_weights
from TransformerSegLib.training.validating import decided, dice_metric, inferer

SEEDS = (1, 2, 3)
ARMS = ("random", "pretrained", "dynunet")
KEPT_OUT_TENS = 5
TIMED_STEPS = 12
DYNUNET_FEATURES = (32, 64, 128, 192)
"""So that it has as many parameters as the Swin UNETR, within a few per cent."""


def network_of(arm: str, recipe: Recipe, encoder: Path) -> torch.nn.Module:
    if arm == "dynunet":
        levels = len(DYNUNET_FEATURES)
        strides = [1] + [2] * (levels - 1)
        return DynUNet(
            3, recipe.inputs, recipe.outputs, [3] * levels, strides, strides[1:], DYNUNET_FEATURES, res_block=True
        )
    network = build(recipe.architecture, recipe.network)
    if arm == "pretrained":
        start = starting_weights(encoder, configured(recipe.architecture, recipe.network))
        network.load_state_dict({**network.state_dict(), **start.tensors})
    return network


def trained(arm: str, seed: int, recipe: Recipe, training, encoder: Path, minutes: float) -> tuple:
    """The network with averaged weights, its epochs, and the CPU minutes that they took."""

    def once(epochs: int, cases, folder: Path) -> tuple[torch.nn.Module, float]:
        settings = recipe.model_copy(
            update={"epochs": epochs, "seed": seed, "warmup_steps": min(recipe.warmup_steps, epochs * 10)}
        )
        torch.manual_seed(seed)
        network = network_of(arm, recipe, encoder)
        dataset, random_part = training_set(settings, cases)
        folder.mkdir()
        begin = time.process_time()
        network = run_epochs(settings, network, dataset, loss(settings), folder, random_part=random_part)
        return network, time.process_time() - begin

    with tempfile.TemporaryDirectory() as folder:
        once(1, training[: 2 * recipe.batch], Path(folder) / "warm")
        _, seconds = once(1, training[: TIMED_STEPS * recipe.batch], Path(folder) / "timed")
        steps = len(training) // recipe.batch
        epochs = max(1, int(minutes * 60 / (seconds / TIMED_STEPS * steps)))
        network, seconds = once(epochs, training, Path(folder) / "run")
    return network, epochs, seconds / 60


def measured(network: torch.nn.Module, recipe: Recipe, cases) -> list[list[float]]:
    """Dice of each case, a number a class."""
    metric, infer = dice_metric(recipe), inferer(recipe)
    dataset = validation_set(recipe, cases)
    with torch.inference_mode():
        for number in range(len(cases)):
            case = dataset[number]
            metric(decided(recipe, infer(case["image"][None], network)), case["label"][None])
    return metric.get_buffer().tolist()


def table(results: Path) -> str:
    lines = ["| arm | seed | parameters, millions | epochs | CPU minutes | Dice anterior | Dice posterior |"]
    lines.append("|---|---|---|---|---|---|---|")
    means: dict[str, list[tuple[float, ...]]] = {}
    for arm in ARMS:
        for seed in SEEDS:
            path = results / f"{arm}-{seed}.json"
            if not path.exists():
                continue
            found = json.loads(path.read_text(encoding="utf-8"))
            means.setdefault(arm, []).append(tuple(map(statistics.fmean, zip(*found["dice"], strict=True))))
            dice = " | ".join(f"{value:.4f}" for value in means[arm][-1])
            shown = f"{found['millions']:.2f} | {found['epochs']} | {found['minutes']:.1f} | {dice}"
            lines.append(f"| {arm} | {seed} | {shown} |")
    for arm, values in means.items():
        dice = " | ".join(f"{statistics.fmean(column):.4f}" for column in zip(*values, strict=True))
        lines.append(f"| **{arm}** | mean of {len(values)} | | | | {dice} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("data", "definition", "encoder", "results"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--minutes", type=float, default=15)
    given, wanted = parser.parse_known_args()
    torch.set_num_threads(1)
    recipe = read_recipe(given.definition / "recipe.json")
    cases = read_data_list(given.definition / "data_list.json", given.data).cases
    kept_out = [case for case in cases if _number(case) // 10 % KEPT_OUT_TENS == 2]
    training = [case for case in cases if case not in kept_out]
    given.results.mkdir(parents=True, exist_ok=True)
    for arm, seed in [each.split("-") for each in wanted] or [(arm, seed) for seed in SEEDS for arm in ARMS]:
        path = given.results / f"{arm}-{seed}.json"
        if path.exists():
            continue
        network, epochs, minutes = trained(arm, int(seed), recipe, training, given.encoder, given.minutes)
        millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        dice = measured(network, recipe, kept_out)
        found = {"millions": millions, "epochs": epochs, "minutes": minutes, "kept_out": len(kept_out), "dice": dice}
        path.write_text(json.dumps(found), encoding="utf-8")
    print(table(given.results))


def _number(case) -> int:
    return int(case.name.split("_")[-1])


if __name__ == "__main__":
    main()
