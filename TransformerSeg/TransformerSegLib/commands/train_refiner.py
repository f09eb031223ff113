"""``transformerseg train-refiner``: what a click's correction learns of errors, from labelled volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from TransformerSegLib.commands.console import stoppable

STEPS = 3000
STEPS_A_LINE = 100


def train_refiner(
    *,
    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="Labelled volumes: a data set's folder, or a data list (JSON). What that keeps for validation is not "
            "learned from, but measured on: it should be what the model has not learned from either.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Its weights, .safetensors; must not exist. Its card, .json, goes beside them.",
        ),
    ],
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Whose answers are corrected; by default the embedded model.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps, each of two clicks.")] = STEPS,
    seed: Annotated[int, typer.Option(metavar="N", help="Of clicks and weights.")] = 1,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="On which the model runs.")] = "auto",
) -> None:
    """Train the learned step of corrections by clicks, on simulated clicks; measure it; write it, with its card."""
    import numpy as np

    from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL, find_bundle
    from TransformerSegLib.training.click_cases import click_cases
    from TransformerSegLib.training.data_list import read_data
    from TransformerSegLib.training.refiner_file import (
        check_refiner_output,
        measured_clicks,
        refiner_card,
        write_refiner,
    )
    from TransformerSegLib.training.refiner_training_module import train_refiner as trained_refiner

    check_refiner_output(output)
    losses: list[float] = []

    def tell(step: int, loss: float) -> None:
        losses.append(loss)
        if step % STEPS_A_LINE == 0:
            typer.echo(f"step {step} of {steps}: loss {sum(losses[-STEPS_A_LINE:]) / STEPS_A_LINE:.4f}")

    with stoppable("nothing was written"):
        bundle, cases = find_bundle(model or DEFAULT_MODEL), read_data(data)
        learned_from = list(click_cases(bundle, cases.training, device, np.random.default_rng(seed)))
        network = trained_refiner(learned_from, steps, seed, tell)
        measured = measured_clicks(network, list(click_cases(bundle, cases.validation, device)), typer.echo)
        command = f"transformerseg train-refiner --model {bundle.card.name} --data {data.name} --steps {steps} "
        write_refiner(output, network, refiner_card(bundle, cases, f"{command}--seed {seed}", measured))
