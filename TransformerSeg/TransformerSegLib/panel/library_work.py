"""What changes the models on this computer: one change after the other, in a worker of its own.

A segmentation runs in another worker, so that it does not wait for a download.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.inference.progress import Progress, Stage
from TransformerSegLib.jobs.job import Job, JobState
from TransformerSegLib.panel.remedies import for_panel
from TransformerSegLib.panel.transfer import Transfer

if TYPE_CHECKING:
    from TransformerSegLib.bundles.library import ModelLibrary, ModelSummary
    from TransformerSegLib.inference.progress import CancelToken, OnProgress
    from TransformerSegLib.jobs.queue import JobQueue


class Kind(Enum):
    """What is done to the models on this computer."""

    DOWNLOAD = "download"
    IMPORT = "import"
    EXPORT = "export"
    REMOVE = "remove"
    MOVE = "move"
    EMPTY = "empty"


Do = Callable[["OnBytes", Callable[[], None]], object]
OnBytes = Callable[[int, "int | None"], None]


@dataclass(eq=False)
class Change:
    """One change of the models. Read it on the main thread; only ``LibraryWork`` changes it.

    Attributes:
        kind: what is done.
        subject: to what, for people: a model's title, or the name of a file or folder.
        model: the name of the model in the library; "" where it has none yet, or it is about all of them.
        transfer: how far it is.
        state: where it stands.
        result: what came of it, DONE: the model that came in, the file that was written, or how many bytes are free
            now; None where there is nothing to tell.
        error: why it FAILED: always fit to be shown.
    """

    kind: Kind
    subject: str
    model: str = ""
    transfer: Transfer = field(default_factory=Transfer)
    state: JobState = JobState.QUEUED
    result: ModelSummary | Path | int | None = None
    error: TransformerSegError | None = None
    do: Do | None = field(default=None, repr=False)
    job: Job | None = field(default=None, repr=False)

    @property
    def finished(self) -> bool:
        return self.state.finished

    @property
    def of_all(self) -> bool:
        """Whether no model can be relied on before it is finished."""
        return self.kind in (Kind.MOVE, Kind.EMPTY)


OnChange = Callable[[Change], None]


class LibraryWork:
    """Downloads, imports, exports, removes, moves and empties. Everything is called on the main thread, and calls back
    on it; only what the library itself does happens in the worker.

    Nothing contacts a server but ``download``.

    Args:
        models: the library.
        queue: for these changes alone; closed by ``close``.
        keep_pumping: called whenever there is something to pump (``Pump.start``).

    Attributes:
        models: as given.
    """

    def __init__(self, models: ModelLibrary, queue: JobQueue, keep_pumping: Callable[[], None] = lambda: None) -> None:
        self.models = models
        self._queue = queue
        self._keep_pumping = keep_pumping
        self._changes: list[Change] = []

    @property
    def changes(self) -> tuple[Change, ...]:
        """Those that are not finished, in the order in which they were asked for."""
        return tuple(self._changes)

    def download(self, model: ModelSummary, on_change: OnChange) -> Change:
        """Fetch a model of the catalogue; what a broken download left is gone on with."""
        return self._start(
            Change(Kind.DOWNLOAD, model.title, model.name, do=partial(self.models.download, model.name)), on_change
        )

    def import_bundle(self, path: Path, on_change: OnChange) -> Change:
        """Copy a bundle, a folder or a zip archive, into the library."""
        do = partial(self.models.import_bundle, path)
        return self._start(Change(Kind.IMPORT, path.name, do=do), on_change)

    def export(self, model: ModelSummary, path: Path, on_change: OnChange) -> Change:
        """Pack a model into a zip archive, in the place of one that is there."""

        def export(on_bytes: OnBytes, raise_if_cancelled: Callable[[], None]) -> Path:
            self.models.export(model.name, path, on_bytes, raise_if_cancelled, overwrite=True)
            return path

        return self._start(Change(Kind.EXPORT, model.title, model.name, do=export), on_change)

    def remove(self, model: ModelSummary, on_change: OnChange) -> Change:
        """Delete a model from this computer."""

        def remove(on_bytes: OnBytes, raise_if_cancelled: Callable[[], None]) -> None:
            self.models.remove(model.name)

        return self._start(Change(Kind.REMOVE, model.title, model.name, do=remove), on_change)

    def move_to(self, folder: Path, on_change: OnChange) -> Change:
        """Move all models into another folder."""
        return self._start(Change(Kind.MOVE, str(folder), do=partial(self.models.move_to, folder)), on_change)

    def empty(self, on_change: OnChange) -> Change:
        """Delete the downloaded models, and what broken downloads left."""

        def empty(on_bytes: OnBytes, raise_if_cancelled: Callable[[], None]) -> int:
            return self.models.empty()

        return self._start(Change(Kind.EMPTY, str(self.models.folder), do=empty), on_change)

    def again(self, change: Change, on_change: OnChange) -> Change:
        """Try once more what failed."""
        return self._start(Change(change.kind, change.subject, change.model, do=change.do), on_change)

    def cancel(self, change: Change) -> None:
        """Ask for an end. What was downloaded so far is kept; nothing for a finished one."""
        if change in self._changes:
            self._queue.cancel(change.job)
            self._keep_pumping()

    def close(self) -> None:
        """Cancel all, and end the worker. Safe to call twice."""
        self._queue.close()

    def _start(self, change: Change, on_change: OnChange) -> Change:
        self._changes.append(change)
        change.job = self._queue.submit(change.subject, _Work(change.do), partial(self._follow, change, on_change))
        self._keep_pumping()
        on_change(change)
        return change

    def _follow(self, change: Change, on_change: OnChange, job: Job) -> None:
        """Something of its job changed."""
        change.state = job.state
        if job.progress is not None:
            change.transfer.add(job.progress.done, job.progress.total or None, time.monotonic())
        if job.state.finished:
            self._changes.remove(change)
            change.result = job.result
            change.error = for_panel(job.error) if job.state is JobState.FAILED else None
            change.job = None
        on_change(change)


class _Work:
    """One job: plain data and the library go in."""

    def __init__(self, do: Do) -> None:
        self._do = do

    def __call__(self, on_progress: OnProgress, cancel: CancelToken) -> object:
        def on_bytes(done: int, total: int | None) -> None:
            on_progress(Progress(Stage.TRANSFER, done, total or 0))

        return self._do(on_bytes, cancel.raise_if_cancelled)
