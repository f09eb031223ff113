"""``transformerseg check-precision``: does a model give the same results in bfloat16 as in float32?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from TransformerSegLib.commands.console import EXIT_BAD_INPUT, ModelArgument, stoppable


def check_precision(
    model: ModelArgument,
    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="Cases like those that the model is for: a folder with imagesTr or images, or a JSON list; where that "
            "has a list “validation”, the cases on it. Labels are not needed.",
        ),
    ],
    write_card: Annotated[
        bool,
        typer.Option(
            "--write-card",
            help="Put the figures into the model's bundle, whether it passed or not, so that it is known.",
        ),
    ] = False,
) -> None:
    """Segment cases in float32 and in bfloat16, and compare the two, class by class.

    A model that passes may be run with the preset faster-cpu. Exit 0: it passed; 2: it did not.
    """
    from TransformerSegLib.bundles.card import ALIKE, counted_cases
    from TransformerSegLib.bundles.catalogue import find_bundle
    from TransformerSegLib.bundles.measured import check_card_can_be_written, rewrite_precision
    from TransformerSegLib.training.data_list import read_data
    from TransformerSegLib.training.precision import compared

    bundle = find_bundle(model)
    if write_card:
        check_card_can_be_written(bundle.folder)
    with stoppable("nothing was written"):
        check = compared(bundle, read_data(data, validation=0.0, need_labels=False), typer.echo)
        if write_card:
            rewrite_precision(bundle.folder, check)
    for name, dice in check.dice.items():
        typer.echo(f"  {name}: Dice {dice:.5f}")
    left_out = check.left_out(bundle.card.classes)
    if not check.passed:
        verdict = f"did not pass: a class is below {ALIKE}"
    elif left_out:
        verdict = f"did not pass: nothing was found of {', '.join(left_out)}"
    else:
        verdict = f"passed: each class reaches {ALIKE} on average"
    typer.echo(f"{bundle.card.title} {verdict}, over {counted_cases(check.cases)}.")
    if write_card:
        typer.echo(f"The card of {bundle.card.name} has the figures")
    if not check.passed or left_out:
        raise typer.Exit(EXIT_BAD_INPUT)
