"""``transformerseg models``: which models there are, and how they come to this computer and leave it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from TransformerSegLib.commands.console import stoppable
from TransformerSegLib.commands.model_card import show_card, show_licence, show_list, show_published
from TransformerSegLib.commands.transfer_bar import transfer_bar
from TransformerSegLib.errors import DownloadFailed
from TransformerSegLib.inference.data_size import data_size

if TYPE_CHECKING:
    from TransformerSegLib.bundles.library import ModelLibrary

Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder", metavar="FOLDER", help="Where your models lie, if not in the usual folder (TRANSFORMERSEG_MODELS)."
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name, as “transformerseg models” lists it.")]


class _NameOrCommand(TyperGroup):
    """``models NAME`` is short for ``models show NAME``."""

    def resolve_command(self, ctx, args):
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


models = typer.Typer(
    cls=_NameOrCommand,
    help="List the models, show the card of one, download, import, export or remove it.",
    epilog="“transformerseg models NAME” shows a model's card.",
)


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context, folder: Folder = None) -> None:
    """List the models, show the card of one, download, import, export or remove it."""
    if context.invoked_subcommand is None:
        show_list(_library(folder).summaries())
        typer.echo("“transformerseg models NAME” shows a model's card; “… models download NAME” fetches one.")


@models.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model's name, or a bundle's folder.")],
    folder: Folder = None,
) -> None:
    """Show a model's card."""
    from TransformerSegLib.bundles.catalogue import find_bundle
    from TransformerSegLib.bundles.published import published_models

    library = _library(folder)
    if any(summary.name == name and not summary.on_disk for summary in library.summaries() if summary.downloadable):
        show_published(published_models()[name])
    else:
        show_card(find_bundle(name, library.folder))


@models.command()
def download(
    name: Name,
    accept_licence: Annotated[
        bool,
        typer.Option("--accept-licence", help="You have read the restricting terms; they allow your use."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it begins.")] = False,
    folder: Folder = None,
) -> None:
    """Fetch a published model; a download that was stopped goes on where it stopped."""
    from TransformerSegLib.bundles.published import published_models

    library, model = _library(folder), published_models().get(name)
    on_disk = any(summary.name == name and summary.on_disk for summary in library.summaries())
    if model is not None and not on_disk:
        size = data_size(model.weights.expected_bytes)
        typer.echo(f"{model.title}: about {size} from {model.weights.host} to {library.folder}")
        show_licence(model)
        if model.restricting and not accept_licence:
            raise DownloadFailed(
                f"“{name}” was not downloaded",
                why="its terms restrict its use",
                remedy="Read them; if they allow what you do, add --accept-licence",
            )
        if not yes:
            _ask("Download it?")
    with stoppable("what was downloaded is kept, and the same command goes on from there"), transfer_bar(name) as told:
        summary = library.download(name, told)
    typer.echo(f"{summary.title} is on this computer: --model {summary.name}")


@models.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A bundle's folder, or a zip archive of one.")],
    folder: Folder = None,
) -> None:
    """Copy a MONAI bundle to your models."""
    with stoppable("nothing was imported"), transfer_bar(path.name) as told:
        summary = _library(folder).import_bundle(path, told)
    typer.echo(f"{summary.title} is on this computer: --model {summary.name}")


@models.command()
def export(
    name: Name,
    path: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The archive to be written.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there already.")] = False,
    folder: Folder = None,
) -> None:
    """Pack a model into one file, to be imported on a computer without a network."""
    with stoppable("nothing was written"), transfer_bar(path.name) as told:
        _library(folder).export(name, path, told, overwrite=overwrite)
    typer.echo(f"Saved {path} ({data_size(path.stat().st_size)}).")


@models.command()
def remove(name: Name, folder: Folder = None) -> None:
    """Delete an imported or downloaded model."""
    _library(folder).remove(name)
    typer.echo(f"“{name}” was removed.")


@models.command(name="folder")
def show_folder(
    move_to: Annotated[
        Path | None, typer.Option("--move-to", metavar="FOLDER", help="Move all of your models to this folder.")
    ] = None,
    folder: Folder = None,
) -> None:
    """Show where your models lie and how much they take, or move them."""
    from TransformerSegLib.bundles.models_folder import ENVIRONMENT

    library = _library(folder)
    if move_to is not None:
        with stoppable("your models are where they were"), transfer_bar("Moving") as told:
            library.move_to(move_to, told)
        typer.echo(f"From now on name this folder: {ENVIRONMENT}={library.folder}", err=True)
    size = library.bytes_on_disk()
    typer.echo(library.folder)
    typer.echo(f"{data_size(size) if size else 'nothing'} in it", err=True)


@models.command()
def empty(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it begins.")] = False,
    folder: Folder = None,
) -> None:
    """Delete all downloaded models and unfinished downloads; those that you imported stay."""
    library = _library(folder)
    if not yes:
        _ask(f"Delete the downloaded models in {library.folder}?")
    freed = library.empty()
    typer.echo(f"{data_size(freed) if freed else 'Nothing'} was freed.")


def _library(folder: Path | None) -> ModelLibrary:
    from TransformerSegLib.bundles.library import ModelLibrary
    from TransformerSegLib.bundles.models_folder import models_folder

    return ModelLibrary(folder or models_folder())


def _ask(question: str) -> None:
    """Raises:
    typer.Abort: the answer is no, or nobody is there to answer.
    """
    if not sys.stdin.isatty():
        typer.echo(f"{question} Add --yes where nobody can be asked.", err=True)
    typer.confirm(question, abort=True, err=True)
