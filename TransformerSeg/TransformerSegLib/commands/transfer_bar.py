"""How far a download, an import or a move is: a bar in bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from TransformerSegLib.bundles.copying import OnBytes


@contextmanager
def transfer_bar(description: str) -> Iterator[OnBytes]:
    """A bar on standard error: bytes of bytes, speed, time left. Where that is not a terminal there is none."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True, markup=False, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)

        def on_bytes(done: int, total: int | None) -> None:
            if done < bar.tasks[0].completed:  # it began anew
                bar.reset(task)
            bar.update(task, completed=done, total=total)

        yield on_bytes
