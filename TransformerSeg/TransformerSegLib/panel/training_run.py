"""A training that goes on in another process, seen from Slicer: begun, watched, stopped, continued.

All that is known of it lies in its run folder, so that Slicer may be closed meanwhile.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from slicer.i18n import tr as _

from TransformerSegLib.bundles.atomic import write_json
from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.panel import training_child
from TransformerSegLib.panel.training_plan import TrainingPlan
from TransformerSegLib.panel.training_progress import ENDED, PROGRESS, is_told_now, told_in
from TransformerSegLib.training.progress_file import State, Told

SAID = "output.txt"
"""In the run folder: what the process printed."""

PROCESS = "process.json"
"""In the run folder: the number of the process that was started last."""

CURVE = "curve.png"

COMMAND = "transformerseg: "
"""What the command puts before what a person is to read."""

DETAIL = "  "
"""What it puts before further lines on that."""


class TrainingState(Enum):
    """Where a training stands."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        """Whether no process works on it."""
        return self in (TrainingState.STOPPED, TrainingState.DONE, TrainingState.FAILED)


class TrainingFailed(TransformerSegError):
    """The process that trained could not be started, or ended with an error.

    Args:
        what, why, remedy: as in ``TransformerSegError``.
        details: further lines.
    """

    def __init__(self, what: str, *, why: str, remedy: str, details: Sequence[str] = ()) -> None:
        super().__init__(what, why=why, remedy=remedy)
        self.details = tuple(details)


class TrainingRun:
    """One run folder.

    Args:
        plan: what is trained.

    Attributes:
        plan: as given.
        state: as ``look`` has found it last.
        told: what the process told last; None where it has told nothing yet.
        error: why it FAILED.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan
        self.told: Told | None = None
        self.state = TrainingState.STOPPED
        self.error: TrainingFailed | None = None
        self._process: subprocess.Popen | None = None
        self._stopping = False
        self.look()

    @property
    def folder(self) -> Path:
        return self.plan.run

    @property
    def curve(self) -> Path:
        """The picture of loss and Dice; need not exist."""
        return self.folder / CURVE

    def start(self) -> None:
        """Begin, or go on where it was stopped.

        Raises:
            TrainingFailed: the process could not be started.
        """
        self._stopping = False
        try:
            self.plan.keep()
            (self.folder / PROGRESS).unlink(missing_ok=True)  # what an earlier process told
            self._process = training_child.start(self.plan.arguments, self.folder / SAID)
            write_json(self.folder / PROCESS, self._process.pid)
        except OSError as error:
            raise TrainingFailed(
                _("The training could not be started"),
                why=error.strerror or str(error),
                remedy=_("Free some space in {folder}, or restart Slicer").format(folder=self.folder.parent),
            ) from error
        self.look()

    def stop(self) -> None:
        """Ask the process to end; the epochs that are finished are kept. Nothing where none works."""
        self.look()
        number = self._process.pid if self._process else _process_in(self.folder)
        if not self.state.finished and number is not None:
            self._stopping = True
            training_child.stop(number)
            self.look()

    def look(self) -> None:
        """Read how it stands now."""
        works = self._works()  # first: what it told with its last breath is read below
        self.told = told_in(self.folder)
        self.state = self._state_of_working() if works else self._state_of_ended()
        failed = self.state is TrainingState.FAILED
        self.error = _failure(training_child.last_words(self.folder / SAID)) if failed else None

    def _works(self) -> bool:
        """Of a process that an earlier Slicer started it is only known that it tells."""
        if self._process is not None:
            return self._process.poll() is None
        told = told_in(self.folder)
        return told is not None and told.state not in ENDED and is_told_now(self.folder)

    def _state_of_working(self) -> TrainingState:
        if self._stopping:
            return TrainingState.STOPPING
        return TrainingState.RUNNING if self.told else TrainingState.STARTING

    def _state_of_ended(self) -> TrainingState:
        stage = self.told.state if self.told else None
        if stage is State.DONE or (self._process and self._process.returncode == 0):
            return TrainingState.DONE
        if self._stopping or stage is State.STOPPED:
            return TrainingState.STOPPED
        return TrainingState.FAILED if stage is State.FAILED or self._process else TrainingState.STOPPED


def _process_in(folder: Path) -> int | None:
    try:
        number = json.loads((folder / PROCESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return number if isinstance(number, int) and number > 1 else None


def _failure(words: Sequence[str]) -> TrainingFailed:
    """The error that the command printed ("transformerseg: WHAT: WHY. REMEDY."); of any other its last words."""
    told = [number for number, line in enumerate(words) if line.startswith(COMMAND)]
    if told:
        what, colon, rest = words[told[-1]].removeprefix(COMMAND).partition(": ")
        why, stop, remedy = rest.rpartition(". ")
        if colon and stop:
            details = [line.strip() for line in words[told[-1] + 1 :] if line.startswith(DETAIL)]
            return TrainingFailed(what, why=why, remedy=remedy.rstrip("."), details=details)
    return TrainingFailed(
        _("The training ended with an error"),
        why=words[-1] if words else _("its process was ended from outside"),
        remedy=_("Read {file} in its folder, or continue").format(file=SAID),
    )
