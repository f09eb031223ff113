"""``transformerseg calibrate``: how sure a model may be, and how well it tells where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from TransformerSegLib.commands.console import ModelArgument, stoppable


def calibrate(
    model: ModelArgument,
    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="Labelled cases that the model was not trained on, as “transformerseg evaluate” takes them.",
        ),
    ],
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Put all of it on the model's card, in place of what is there.")
    ] = False,
) -> None:
    """Fit a model's temperature, by which doubtful places and the confidence map are told, and, where a class was found
    in ten cases or more, the scale by which its Dice is predicted; and measure how true they are: confidence of each
    half of the cases at the temperature of the other."""
    from TransformerSegLib.bundles.catalogue import find_bundle
    from TransformerSegLib.bundles.measured import check_card_can_be_written, rewrite_doubt
    from TransformerSegLib.training.data_list import read_data
    from TransformerSegLib.training.input_order import in_card_order
    from TransformerSegLib.training.temperature import calibrated

    bundle = find_bundle(model)
    if write_card:
        check_card_can_be_written(bundle.folder)
    with stoppable("nothing was written"):
        found = calibrated(bundle, in_card_order(read_data(data, validation=0.0), bundle.card), device, typer.echo)
        if write_card:
            rewrite_doubt(bundle.folder, bundle.card, found.temperature, found.dice_scale, found.check)
    typer.echo(f"Temperature {found.temperature:.3f}; {found.check.in_words()}")
    if write_card:
        typer.echo(f"The card of {bundle.card.name} has it now")
