"""What a training tells those who watch it from another process: ``progress.json`` in the run's folder."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from TransformerSegLib.errors import OutputRejected, TransformerSegError
from TransformerSegLib.export.output import written_atomically

SECONDS_BETWEEN = 1.0
"""Two writings of the file while the work goes on."""


class State(StrEnum):
    """What a run is at."""

    CHECKING = "checking"
    TRAINING = "training"
    EXPORTING = "exporting"
    MEASURING = "measuring"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Told:
    """The content of the file.

    Attributes:
        state: what the run is at.
        epoch: that is trained now, from 1; the last one when the training is over.
        epochs: of the run.
        step, steps: done in this epoch, and of how many; while it is measured, cases.
        seconds_left: estimated, of the training or of the measuring; None while there is nothing to estimate it from.
        loss: of the last step.
        mean_dice: as last measured; None before.
        message: for a person; of a run that failed, why.
        output: the path of what was made, once it is.
    """

    state: State = State.CHECKING
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    loss: float | None = None
    mean_dice: float | None = None
    message: str = ""
    output: str = ""


class ProgressFile:
    """Keeps ``progress.json`` as new as a second while it is open as a context, however long a step takes.

    At the end of the context the file says how the work ended: the last state told, “stopped” after Ctrl-C or a
    termination signal, “failed” with the error's sentence. A file that cannot be written for the moment (on Windows,
    one that another program holds open) is written a second later; nothing of the training hangs on it.

    Args:
        path: of the file; its folder is there when something is told.
        write: whether this process writes: of several that train together one does.

    Example:
        >>> with ProgressFile(Path("run/progress.json")) as progress:  # doctest: +SKIP
        ...     progress.tell(state=State.TRAINING, epoch=1, epochs=10)
    """

    def __init__(self, path: Path, *, write: bool = True) -> None:
        self.told = Told()
        self._path = path
        self._write_wanted = write
        self._changed = threading.Event()
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._keep_writing, name="progress.json", daemon=True)

    def tell(self, **changes) -> None:
        """Change fields of ``Told``; the file follows within a second."""
        self.told = replace(self.told, **changes)
        self._changed.set()

    def __enter__(self) -> ProgressFile:
        self._write()
        self._writer.start()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._over.set()
        self._writer.join()
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.tell(state=State.STOPPED, seconds_left=None)
        elif error is not None:
            sentence = str(error) if isinstance(error, TransformerSegError) else f"{kind.__name__}: {error}"
            self.tell(state=State.FAILED, seconds_left=None, message=sentence)
        self._write()

    def _keep_writing(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN):
            self._write()

    def _write(self) -> None:
        if not self._write_wanted or not self._path.parent.is_dir():
            return
        try:
            with written_atomically(self._path) as temporary:
                temporary.write_text(json.dumps(asdict(self.told)) + "\n", encoding="utf-8")
        except OutputRejected:
            pass
