"""``transformerseg train``: from labelled volumes to a model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from TransformerSegLib.commands.console import stoppable
from TransformerSegLib.training.network_choice import NetworkChoice, Preparation
from TransformerSegLib.training.processes import is_first
from TransformerSegLib.training.run_files import RUN_SUFFIX, run_folder

if TYPE_CHECKING:
    from TransformerSegLib.training.definition import Changes, Definition

VALIDATION = 0.2


def train(
    definition: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with recipe.json, data_list.json and card.json (a bundle's “training”). "
            "Without it say --from or --network."
        ),
    ] = None,
    *,
    data: Annotated[
        Path,
        typer.Option(
            metavar="DATA",
            help="With DEFINITION the folder from which its data list's paths start. Else a data list (JSON), a folder "
            "with imagesTr and labelsTr or with images and labels, or one with what was corrected in Slicer.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL", help="The bundle's folder; must not exist.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Train this model further: its network, preparation, classes and weights.",
        ),
    ] = None,
    network: Annotated[
        NetworkChoice | None,
        typer.Option(
            metavar="NETWORK", help=f"Train a new one: {', '.join(choice.value for choice in NetworkChoice)}."
        ),
    ] = None,
    recipe: Annotated[
        Preparation,
        typer.Option(
            metavar="RECIPE",
            help="Of a new network: general, fitted to the data; or brats, as Swin UNETR was published, with the "
            "overlapping regions of brain tumours.",
        ),
    ] = Preparation.GENERAL,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Passes over the training cases.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, metavar="N", help="Cases a step, in each process.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="Of every random number.")] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.9,
            metavar="FRACTION",
            help=f"Share of the cases that is kept out of training and measured on, where DATA does not say which; "
            f"by default {VALIDATION:g}. 0: none.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for checkpoints and log; a stopped run goes on from there. "
            f"By default OUTPUT with “{RUN_SUFFIX}” added.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights to start from: a pretrained Swin encoder (of “transformerseg pretrain”, or "
            "model_swinvit.pt), or a checkpoint or bundle of the same network, which may have other classes.",
        ),
    ] = None,
) -> None:
    """Train a model on labelled volumes and export it as a bundle with its card."""
    from TransformerSegLib.bundles.writing import refuse_overwriting
    from TransformerSegLib.inference.names import shown
    from TransformerSegLib.training.definition import Changes
    from TransformerSegLib.training.session import train_bundle

    _refuse_contradictions(definition, model, network, validation)
    refuse_overwriting(output)
    changes = Changes(epochs, batch, seed)
    name = shown(output.resolve())
    run = run or run_folder(output)
    with stoppable(f"the epochs that were finished, if any, are kept in “{run}”"):
        if definition is not None:
            made = _changed(definition, data, changes) if changes != Changes() else None
            root = data
        else:
            made = _defined(name, data, model, network, recipe, changes, validation, start)
            root = made.data.root
            start = start or _weights_of(model)
        with _folder_of(definition, made) as folder:
            train_bundle(folder, root, output, run, device, typer.echo, start)


def _refuse_contradictions(
    definition: Path | None, model: str | None, network: NetworkChoice | None, validation: float | None
) -> None:
    given = [what for what in (definition, model, network) if what is not None]
    if len(given) != 1:
        raise typer.BadParameter(
            "say what is trained: a definition's folder, --from MODEL or --network NETWORK"
            + ("" if not given else ", one of them"),
            param_hint="DEFINITION",
        )
    if definition is not None and validation is not None:
        raise typer.BadParameter("a definition's data list says which cases are kept out", param_hint="--validation")


def _defined(
    name: str,
    path: Path,
    model: str | None,
    network: NetworkChoice | None,
    recipe: Preparation,
    changes: Changes,
    validation: float | None,
    start: Path | None,
) -> Definition:
    from TransformerSegLib.bundles.catalogue import find_bundle
    from TransformerSegLib.training.data_list import read_data
    from TransformerSegLib.training.definition import for_model, for_new_network

    share = VALIDATION if validation is None else validation
    data = read_data(path, validation=share, seed=changes.seed or 0)
    for note in data.notes if is_first() else ():
        typer.echo(note)
    if network is None:
        return for_model(name, find_bundle(model), data, changes)
    return for_new_network(name, network, recipe, data, changes, start)


def _weights_of(model: str | None) -> Path | None:
    from TransformerSegLib.bundles.catalogue import find_bundle

    return None if model is None else find_bundle(model).folder


def _changed(definition: Path, root: Path, changes: Changes) -> Definition:
    """What stands in a folder, with some of its recipe changed."""
    from TransformerSegLib.bundles.card import Card
    from TransformerSegLib.training.data_list import read_data_list
    from TransformerSegLib.training.definition import Definition
    from TransformerSegLib.training.recipe import read_recipe
    from TransformerSegLib.training.record_file import read_record

    data = read_data_list(definition / "data_list.json", root)
    card = read_record(definition / "card.json", Card, "card")
    recipe = changes.of(read_recipe(definition / "recipe.json"), len(data.training))
    return Definition(recipe, card, data)


@contextmanager
def _folder_of(definition: Path | None, made: Definition | None) -> Iterator[Path]:
    """The folder that a user named, or one that holds what was made of the options while the run lasts; the bundle
    keeps its files."""
    from TransformerSegLib.training.definition import write_definition

    if made is None:
        yield definition
        return
    with tempfile.TemporaryDirectory() as place:
        write_definition(Path(place), made)
        yield Path(place)
