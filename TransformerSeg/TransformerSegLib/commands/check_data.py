"""``transformerseg check-data``: what is wrong with a data set, before it is trained on."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from TransformerSegLib.commands.console import EXIT_BAD_INPUT, stoppable

if TYPE_CHECKING:
    from TransformerSegLib.training.data_check import DataCheck

SECONDS_BETWEEN_LINES = 5.0
LINES_SHOWN = 20


def check_data(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A decathlon-style JSON list, a folder with imagesTr and labelsTr (Decathlon, nnU-Net) or with images "
            "and labels, or a folder of volumes with their labels (NAME_label.nii.gz) or what was corrected on them in "
            "Slicer (.seg.nrrd) beside them.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the report and the pictures go.")
    ],
    validation: Annotated[
        float, typer.Option(min=0.0, max=0.9, metavar="SHARE", help="What is kept out, where DATA does not say it.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", help="Of what is kept out.")] = 0,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="The images are for pretraining: labels are not needed.")
    ] = False,
) -> None:
    """Check a data set: geometry, labels, classes, doubles, with a report and a contact sheet of pictures.

    Exit 0: it can be trained on; 2: it has faults.
    """
    from TransformerSegLib.export.output import make_folder
    from TransformerSegLib.training import data_check
    from TransformerSegLib.training.contact_sheet import write_contact_sheet
    from TransformerSegLib.training.data_list import read_data
    from TransformerSegLib.training.data_report import MARKDOWN_FILE, write_data_report

    read = read_data(data, validation=validation, seed=seed, need_labels=not unlabelled)
    make_folder(output)
    with stoppable("no report was written"):
        with counted("Reading", "case") as on_case:
            check = data_check.check_data(read, None, on_case, need_labels=not unlabelled)
        pictures = []
        if importlib.util.find_spec("matplotlib") is not None:
            with counted("Drawing", "page") as on_page:
                pictures = write_contact_sheet(output, check, on_page)
        else:
            typer.echo("No pictures: install matplotlib for them (pip install matplotlib).", err=True)
        write_data_report(output, check, pictures)
    _say(check)
    typer.echo(f"Saved {output / MARKDOWN_FILE}" + (f" and {pictures[0].name}" if pictures else ""))
    if check.faulty or check.faults:
        raise typer.Exit(EXIT_BAD_INPUT)


@contextmanager
def counted(doing: str, part: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error with the time left; where that is no terminal, a line every few seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started = said = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=None)

        def on_part(done: int, total: int) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total)
            now = time.monotonic()
            if not console.is_terminal and done < total and now - said >= SECONDS_BETWEEN_LINES:
                said = now
                left = (now - started) / done * (total - done)
                typer.echo(f"{doing}: {part} {done} of {total}, {left:.0f} s left", err=True)

        yield on_part


def _say(check: DataCheck) -> None:
    from TransformerSegLib.training.cases import counted_cases

    training, validation = len(check.data.training), len(check.data.validation)
    typer.echo(f"{check.data.name}: {counted_cases(training)} for training, {validation} kept out of it")
    for line in (*check.data.notes, *check.remarks):
        typer.echo(f"  {line}")
    for each in check.classes[:LINES_SHOWN]:
        shown = sum(case.volumes_ml.get(each.label, 0.0) > 0 for case in check.cases)
        typer.echo(f"  {each.label} {each.name}: in {shown} of {counted_cases(len(check.cases))}")
    if len(check.classes) > LINES_SHOWN:
        typer.echo(f"  and {len(check.classes) - LINES_SHOWN} more classes, see the report")
    faults = [str(fault) for fault in check.faults]
    faults += [f"{case.case.name}: {fault}" for case in check.faulty for fault in case.faults]
    odd = [f"{case.case.name}: {'; '.join(case.remarks)}" for case in check.unusual]
    for title, lines in (("Faults", faults), ("Unusual", odd)):
        if lines:
            typer.echo(f"{title}: {len(lines)}")
            for line in lines[:LINES_SHOWN]:
                typer.echo(f"  {line}")
            if len(lines) > LINES_SHOWN:
                typer.echo(f"  and {len(lines) - LINES_SHOWN} more, see the report")
    if not faults:
        typer.echo("No faults.")
