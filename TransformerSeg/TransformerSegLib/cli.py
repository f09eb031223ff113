"""The engine without Slicer: ``transformerseg segment``, ``models``, ``train``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from TransformerSegLib.errors import TransformerSegError

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.inference.progress import OnProgress
    from TransformerSegLib.inference.segmentation import Segmentation
    from TransformerSegLib.inference.volume import Volume

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

app = typer.Typer(
    name="transformerseg",
    help="Segment CT and MR volumes with transformers. For research use, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="A NIfTI, NRRD or MetaImage file, a DICOM folder, or an enhanced DICOM file; "
            "one per channel, in the order of the model's card.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Where the result goes: .seg.nrrd, .nii.gz, or .mrb (a Slicer scene)."),
    ],
    model: Annotated[
        str | None, typer.Option(help="A model's name (see “transformerseg models”) or its bundle's folder.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
    roi: Annotated[
        str | None,
        typer.Option(
            help="Segment only inside: x1,x2,y1,y2,z1,z2 in RAS mm, or a markups ROI file (.mrk.json). "
            "For a model that wants a crop, on a whole head."
        ),
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which series of a DICOM folder: its number, UID or description.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write volumes, provenance and timings to this file, as JSON.")
    ] = None,
    accept_mismatch: Annotated[
        bool,
        typer.Option(
            "--accept-mismatch",
            help="Segment although modality, spacing or field of view are unlike the model's training data.",
        ),
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows a forward pass; by default what the bundle says.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output file that exists.")] = False,
) -> None:
    """Segment one study: one volume, or several for a model with several inputs."""
    from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL, find_bundle
    from TransformerSegLib.export.output import check_output
    from TransformerSegLib.export.report import check_report, write_report
    from TransformerSegLib.inference.reading import read_volume
    from TransformerSegLib.inference.region import read_region
    from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions

    check_output(output, overwrite)
    if report is not None:
        check_report(report)
    bundle = find_bundle(model or DEFAULT_MODEL)
    region = read_region(roi) if roi else None
    volumes = [read_volume(path, series) for path in inputs]
    options = SegmentOptions(accept_mismatch=accept_mismatch, region=region, batch_size=batch_size)
    segmenter = Segmenter(bundle, device, options)
    _say_what_is_segmented(volumes, bundle)
    with progress_bar() as on_progress:
        segmentation = segmenter.segment(volumes, on_progress)
    _write(output, volumes, segmentation, overwrite)
    if report is not None:
        write_report(report, segmentation)
    _say_what_was_found(segmentation, output)


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show this model's card: a name, or a bundle's folder.")] = None,
) -> None:
    """List the models, or show the card of one."""
    from TransformerSegLib.bundles.catalogue import embedded_bundles, find_bundle

    if name is not None:
        _show_card(find_bundle(name))
        return
    for bundle in embedded_bundles():
        card = bundle.card
        structures = ", ".join(c.name for c in card.classes[:6]) + (", …" if len(card.classes) > 6 else "")
        typer.echo(f"{card.name}  {card.version}  {card.requirements.modality or 'any modality'}  {structures}")


@app.command()
def train(
    definition: Annotated[
        Path, typer.Argument(help="Folder with recipe.json, data_list.json and card.json (a bundle's “training”).")
    ],
    data: Annotated[Path, typer.Option(help="Folder from which the data list's paths start.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle's folder; must not exist.")],
    run: Annotated[
        Path | None,
        typer.Option(
            help="Folder for checkpoints and log; a stopped run goes on from there. "
            "By default OUTPUT with “.run” added."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
) -> None:
    """Train a model on labelled volumes and export it as a bundle with its card."""
    from TransformerSegLib.training.session import train_bundle

    train_bundle(definition, data, output, run or output.with_name(output.name + ".run"), device, typer.echo)


def main() -> None:
    """Run the command; exit 0 done, 2 bad input or usage, 130 stopped by Ctrl-C, 143 by a termination signal."""
    run(lambda: app(standalone_mode=False))


def run(command: Callable[[], None]) -> None:
    """Call ``command``, and turn what it raises into one sentence for a person and an exit code for a program."""
    signal.signal(signal.SIGTERM, _stop_on_termination)
    try:
        command()
    except TransformerSegError as error:
        typer.echo(f"transformerseg: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("transformerseg: stopped; nothing was written.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except Exception as error:
        # Usage errors of the command line know how to show themselves; anything else is a fault of ours.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(EXIT_BAD_INPUT)
        raise


def _stop_on_termination(signum, frame) -> None:
    raise SystemExit(EXIT_TERMINATED)


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """A bar on standard error: stage, windows done of total, time left; notes are printed above it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Starting", total=None, left="")

        def on_progress(progress) -> None:
            if progress.note:
                console.print(progress.note, highlight=False)
            left = "" if progress.seconds_left is None else f"{_duration(progress.seconds_left)} left"
            bar.update(
                task, description=progress.stage.value, completed=progress.done, total=progress.total or None, left=left
            )

        yield on_progress


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _say_what_is_segmented(volumes: list[Volume], bundle: Bundle) -> None:
    from TransformerSegLib.inference.checks import summarize

    for volume in volumes:
        typer.echo(f"{volume.name}: {summarize(volume, bundle.card)}")
    typer.echo(f"{bundle.card.title} {bundle.card.version}")


def _say_what_was_found(segmentation: Segmentation, output: Path) -> None:
    width = max(len(segment.definition.name) for segment in segmentation.segments)
    for segment in segmentation.segments:
        found = "not found in this volume" if segment.empty else f"{segment.volume_ml:.2f} mL"
        typer.echo(f"  {segment.definition.name:<{width}}  {found}")
    typer.echo(f"Saved {output} in {segmentation.provenance['seconds']:.1f} s. For research use, not for diagnosis.")


def _write(output: Path, volumes: list[Volume], segmentation: Segmentation, overwrite: bool) -> None:
    if output.suffix.lower() == ".mrb":
        from TransformerSegLib.scene.mrb import write_mrb

        write_mrb(output, volumes, segmentation, overwrite)
    else:
        from TransformerSegLib.export.segmentation_file import write_segmentation

        write_segmentation(output, segmentation, overwrite)


def _show_card(bundle: Bundle) -> None:
    card = bundle.card
    typer.echo(f"{card.title} ({card.name}, version {card.version})\n\n{card.description}\n")
    for channel in card.inputs:
        typer.echo(f"Input: {channel.name}")
    for definition in card.classes:
        dice = card.dice.get(definition.name)
        code = f", {definition.type.scheme} {definition.type.value}" if definition.type else ""
        measured = "" if dice is None else f", Dice {dice:.3f}"
        typer.echo(f"Class {definition.label}: {definition.name}{code}{measured}")
    needs = card.requirements
    if needs.modality:
        typer.echo(f"Modality: {needs.modality}")
    if needs.spacing_mm:
        typer.echo(f"Spacing: {needs.spacing_mm[0]:g} to {needs.spacing_mm[1]:g} mm")
    if needs.field_of_view_mm:
        typer.echo(f"Field of view: {needs.field_of_view_mm[0]:g} to {needs.field_of_view_mm[1]:g} mm an axis")
    for title, text in (
        ("Dice measured on", card.dice_data),
        ("Training data", card.training_data),
        ("Licence", card.licence),
        ("Weights SHA-256", bundle.weights_sha256),
    ):
        if text:
            typer.echo(f"{title}: {text}")
    for limit in card.limits:
        typer.echo(f"Limit: {limit}")
    for reference in card.references:
        typer.echo(f"Reference: {reference}")
    typer.echo(card.intended_use)


if __name__ == "__main__":
    main()
