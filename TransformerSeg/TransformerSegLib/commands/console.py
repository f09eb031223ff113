"""What all commands share: an argument, exit codes, stopping, and the progress bar."""

from __future__ import annotations

import atexit
import gc
import io
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from TransformerSegLib.errors import TransformerSegError

if TYPE_CHECKING:
    from TransformerSegLib.inference.progress import OnProgress

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

ModelArgument = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A model's name (see “transformerseg models”) or its bundle's folder."),
]
"""Of every command that is about one model."""

OBJECTS_BEFORE_GARBAGE = 100_000
"""Python looks for garbage when so many more objects were made than were let go; by default after 700."""


def run(command: Callable[[], int | None]) -> None:
    """Call ``command``, and turn what it raises into one sentence for a person and an exit code for a program.

    Args:
        command: may return an exit code, as typer does where it has caught Ctrl-C itself; None is 0.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A Windows code page lacks many names' letters; a name that is hard to read is better than no result.
            stream.reconfigure(errors="backslashreplace")
    # To search the objects of torch for garbage again and again takes a third of the time that it needs to load.
    gc.set_threshold(OBJECTS_BEFORE_GARBAGE)
    # A program that ends need not search them either, which takes it 1.6 s.
    atexit.register(gc.freeze)
    signal.signal(signal.SIGTERM, _stop_on_termination)
    # A shell script's background jobs start with Ctrl-C's signal ignored; a stop that was asked for counts there too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = command()
    except TransformerSegError as error:
        typer.echo(f"transformerseg: {error}", err=True)
        for line in error.details:
            typer.echo(f"  {line}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except Exception as error:
        # Usage errors of the command line know how to show themselves; anything else is a fault of ours.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            sys.exit(EXIT_BAD_INPUT)
        raise
    if code == EXIT_INTERRUPTED:
        typer.echo("transformerseg: stopped.", err=True)
    sys.exit(code)


@contextmanager
def stoppable(kept: str) -> Iterator[None]:
    """End the program with exit code 130 on Ctrl-C, saying what is ``kept`` of the work."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"transformerseg: stopped; {kept}.", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


def _stop_on_termination(signum, frame) -> None:
    raise SystemExit(EXIT_TERMINATED)


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """A bar on standard error: stage, windows or slices done of total, time left; notes are printed above it.

    Where standard error is not a terminal there are the notes only.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    from TransformerSegLib.inference.progress import Stage

    console = Console(stderr=True, markup=False, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Starting", total=None, told="")

        def on_progress(progress) -> None:
            if progress.note:
                console.print(progress.note)
            counted = progress.stage is Stage.SEGMENT and progress.total > 0
            done = [f"{progress.done}/{progress.part.counted(progress.total)}"] if counted else []
            left = [f"{_duration(progress.seconds_left)} left"] if progress.seconds_left is not None else []
            bar.update(
                task,
                description=progress.stage.value,
                completed=progress.done,
                total=progress.total if counted else None,
                told=", ".join(done + left),
            )

        yield on_progress


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
