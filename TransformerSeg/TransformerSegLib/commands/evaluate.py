"""``transformerseg evaluate``: how well a model does on labelled cases, and where it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from TransformerSegLib.commands.console import ModelArgument, stoppable


def evaluate(
    model: ModelArgument,
    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="Labelled cases: a folder with imagesTr and labelsTr or with images and labels, a folder of what was "
            "corrected in Slicer, or a JSON list; where that has a list “validation”, the cases on it.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="For report.md, results.csv, summary.json, box plots and pictures of the worst cases; must not exist.",
        ),
    ],
    margin: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="VOXELS",
            help="Add so many voxels on every side, the border repeated: does the model hold on larger crops?",
        ),
    ] = 0,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
    write_card: Annotated[
        bool,
        typer.Option("--write-card", help="Put the figures on the model's card, in place of those that are there."),
    ] = False,
) -> None:
    """Measure a model on labelled cases: Dice, surface Dice, HD95 and volume error of each class.

    The page report.md begins with where the model fails, and shows its worst cases.
    """
    from TransformerSegLib.bundles.catalogue import find_bundle
    from TransformerSegLib.training.data_list import read_data
    from TransformerSegLib.training.evaluation_session import evaluate_bundle

    bundle = find_bundle(model)
    with stoppable("nothing was written"):
        evaluate_bundle(
            bundle, read_data(data, validation=0.0), output, device, typer.echo, margin=margin, write_card=write_card
        )
