"""``transformerseg train-refiner``: what a click's correction learns of errors, from labelled volumes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from TransformerSegLib.commands.console import stoppable
from TransformerSegLib.inference.progress import Pace

if TYPE_CHECKING:
    from TransformerSegLib.interaction.refiner_card import ClicksMeasured
    from TransformerSegLib.training.refiner_training_module import ClickCase

STEPS = 3000
STEPS_A_LINE = 100
LEAST_LINES = 20
ANSWERS_A_LINE = 20


def train_refiner(
    *,
    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="Labelled volumes: a data set's folder, or a data list (JSON). What that keeps for validation is not "
            "learned from, but measured on, where no model was trained on it either.",
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
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="Whose answers are corrected; by default the embedded model. May be given several times: answers to "
            "cases that a model was not trained on teach most, and such of several models serve any.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps, each of two clicks.")] = STEPS,
    seed: Annotated[int, typer.Option(metavar="N", help="Of clicks and weights.")] = 1,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="On which the model runs.")] = "auto",
) -> None:
    """Train the learned step of corrections by clicks, on simulated clicks; measure it; write it, with its card."""
    import numpy as np

    from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL, find_bundle
    from TransformerSegLib.training.click_cases import click_cases, practice_cases
    from TransformerSegLib.training.data_list import read_data
    from TransformerSegLib.training.refiner_file import (
        check_refiner_output,
        measured_clicks,
        refiner_card,
        write_refiner,
    )
    from TransformerSegLib.training.refiner_training_module import train_refiner as trained_refiner
    from TransformerSegLib.training.trained_cases import not_trained_on

    check_refiner_output(output)
    with stoppable("nothing was written"):
        bundles, cases = [find_bundle(name) for name in model or [DEFAULT_MODEL]], read_data(data)
        answers: list[ClickCase] = []
        expected = sum(len(not_trained_on(bundle, cases.training) or cases.training) for bundle in bundles)
        lines = _Lines("answer", expected, ANSWERS_A_LINE)
        for answer in practice_cases(bundles, cases.training, device, np.random.default_rng(seed)):
            answers.append(answer)
            lines.tell(len(answers))
        losses: list[float] = []
        lines = _Lines("step", steps, min(STEPS_A_LINE, max(steps // LEAST_LINES, 1)))

        def tell(step: int, loss: float) -> None:
            losses.append(loss)
            recent = losses[-STEPS_A_LINE:]
            lines.tell(step, f": loss {sum(recent) / len(recent):.4f}")

        network = trained_refiner(answers, steps, seed, tell)
        for bundle in bundles:
            cases = replace(cases, validation=not_trained_on(bundle, cases.validation))
        measured: dict[str, ClicksMeasured] = {}
        for place, bundle in enumerate(bundles):
            of = f", on answers of {bundle.card.title} {bundle.card.version}" if place else ""
            measured |= measured_clicks(network, list(click_cases(bundle, cases.validation, device)), typer.echo, of)
        names = " ".join(f"--model {bundle.card.name}" for bundle in bundles)
        command = f"transformerseg train-refiner {names} --data {data.name} --steps {steps} --seed {seed}"
        write_refiner(output, network, refiner_card(bundles, cases, command, measured))


class _Lines:
    """What is said of something that takes long.

    Args:
        what: is counted.
        total: of them.
        a_line: after how many a line is written.
    """

    def __init__(self, what: str, total: int, a_line: int) -> None:
        self._what, self._a_line = what, a_line
        self._pace = Pace(total)

    def tell(self, done: int, more: str = "") -> None:
        if done % self._a_line == 0:
            seconds = self._pace.seconds_left(done)
            left = "" if seconds is None else f", {timedelta(seconds=round(seconds))} left"
            typer.echo(f"{self._what} {done} of {self._pace.total}{more}{left}")
