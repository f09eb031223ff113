"""``transformerseg pretrain``: an encoder for Swin UNETR from images without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from TransformerSegLib.commands.console import stoppable
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.training.processes import is_first
from TransformerSegLib.training.run_files import RUN_SUFFIX, run_folder

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Card
    from TransformerSegLib.bundles.plan import Plan
    from TransformerSegLib.training.cases import DataList


def pretrain(
    *,
    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="The images: a folder of them, a data set's folder (imagesTr), or a data list (JSON); what that keeps "
            "for validation is not learned from. Labels are not looked at.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The encoder's file, .safetensors; must not exist.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="A Swin UNETR whose network, preparation of images and window are taken, but not its weights; "
            "by default the embedded model.",
        ),
    ] = None,
    definition: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Take them from recipe.json and card.json in this folder (a bundle's “training”) instead. Where it "
            "holds data_list.json too, the paths in that start from DATA.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the images.")] = 100,
    batch: Annotated[
        int, typer.Option(min=2, metavar="N", help="Sub-volumes a step, each of another image, and process.")
    ] = 4,
    patch: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Size of a sub-volume in voxels, multiples of 32, two of them equal: sub-volumes are turned in that "
            "plane. By default the model's window.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of every random number.")] = 0,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the state and the log; a stopped run goes on from there. "
            f"By default OUTPUT with “{RUN_SUFFIX}” added.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
) -> None:
    """Pretrain the encoder of a Swin UNETR on images without labels; “train --start FILE” starts from it.

    Three tasks at once, as Tang et al. 2022 (https://arxiv.org/abs/2111.14791): fill in what was cut out, tell by how
    many quarter turns a sub-volume was turned, and recognise it among others.
    """
    from TransformerSegLib.training.input_order import in_card_order
    from TransformerSegLib.training.pretrained_encoder import check_encoder_output
    from TransformerSegLib.training.pretraining_recipe import PretrainingRecipe
    from TransformerSegLib.training.pretraining_session import pretrain_encoder

    check_encoder_output(output)
    plan, card = _described(model, definition)
    recipe = PretrainingRecipe.of_model(plan, _sides(patch) if patch else None, epochs=epochs, batch=batch, seed=seed)
    images = in_card_order(_images(data, definition), card)
    for note in images.notes if is_first() else ():
        typer.echo(note)
    run = run or run_folder(output)
    with stoppable(f"the epochs that were finished, if any, are kept in “{run}”"):
        pretrain_encoder(recipe, images, output, run, device, typer.echo)


def _described(model: str | None, definition: Path | None) -> tuple[Plan, Card]:
    """What the encoder is for: from a model, or from a training's definition."""
    from TransformerSegLib.bundles.card import Card
    from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL, find_bundle
    from TransformerSegLib.training.export import plan_of
    from TransformerSegLib.training.recipe import read_recipe
    from TransformerSegLib.training.record_file import read_record

    if definition is None:
        bundle = find_bundle(model or DEFAULT_MODEL)
        return bundle.plan, bundle.card
    if model is not None:
        raise typer.BadParameter("say --from or --definition, not both", param_hint="--from")
    card = read_record(definition / "card.json", Card, "card")
    return plan_of(read_recipe(definition / "recipe.json")), card


def _images(data: Path, definition: Path | None) -> DataList:
    from TransformerSegLib.training.data_list import read_data, read_data_list

    if definition is not None and data.is_dir() and (definition / "data_list.json").is_file():
        return read_data_list(definition / "data_list.json", data, need_labels=False)
    return read_data(data, validation=0.0, need_labels=False)


def _sides(text: str) -> tuple[int, int, int]:
    try:
        x, y, z = (int(side) for side in text.split(","))
    except ValueError as error:
        raise TrainingDataRejected(
            f"“{text}” is no size of a sub-volume",
            why="it has three sides, in voxels",
            remedy="Write them as in --patch 96,96,96",
        ) from error
    if min(x, y, z) < 1:
        raise TrainingDataRejected(
            f"“{text}” is no size of a sub-volume", why="a side has at least one voxel", remedy="Write --patch 96,96,96"
        )
    return x, y, z
