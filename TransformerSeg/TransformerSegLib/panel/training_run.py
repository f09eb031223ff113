"""A training that goes on in another process, seen from Slicer: begun, watched, stopped, continued.

All that is known of it lies in its run folder: closing Slicer stops it, the next Slicer goes on with it, and one that
survived a crash of Slicer is found again.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path

from slicer.i18n import tr as _

from TransformerSegLib.bundles.atomic import write_json
from TransformerSegLib.bundles.file_lock import is_locked
from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.panel import training_child
from TransformerSegLib.panel.training_plan import TrainingPlan
from TransformerSegLib.panel.training_progress import is_in_use, told_in
from TransformerSegLib.training.learning_log import read_log
from TransformerSegLib.training.progress_file import State, Told
from TransformerSegLib.training.run_files import CHECKPOINT, CURVE, LOCK, LOG, PROGRESS

SAID = "output.txt"
"""In the run folder: what the process printed."""

PROCESS = "process.json"
"""In the run folder: the number of the process that was started last, and was not killed since."""

SECONDS_TO_STOP = 5.0
"""What a process gets to end by itself: in the middle of a long step it does not hear that it was asked to."""

SECONDS_TO_QUIT = 2.0
"""The same where Slicer is closed, and a person waits for that."""

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
        self._asked_to_stop: float | None = None
        self.look()

    @property
    def folder(self) -> Path:
        return self.plan.run

    @property
    def curve(self) -> Path:
        """The picture of loss and Dice; need not exist."""
        return self.folder / CURVE

    @property
    def finished_epochs(self) -> int:
        """Those of the log: what the process told last may be a second older. 0 while nothing to go on from is kept."""
        return len(read_log(self.folder / LOG)) if (self.folder / CHECKPOINT).exists() else 0

    @property
    def has_model(self) -> bool:
        """Whether it is written; what is stopped after that lacks its figures alone."""
        return Path(self.plan.output).is_dir()

    def start(self) -> None:
        """Begin, or go on where it was stopped.

        Raises:
            TrainingFailed: the process could not be started, or another one trains in the folder.
        """
        if is_locked(self.folder / LOCK):
            raise _in_use(self.plan.title)
        self._asked_to_stop = None
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
        """Ask the process to end; the epochs that are finished are kept. Nothing where none works. One that does not
        hear is ended by a later ``look``."""
        self.look()
        if not self.state.finished and self._number is not None:
            self._asked_to_stop = time.monotonic()
            training_child.stop(self._number)
            self.look()

    def end(self) -> None:
        """As ``stop``, and wait for it, two seconds at most: Slicer is closed."""
        self.stop()
        until = time.monotonic() + SECONDS_TO_QUIT
        while not self.state.finished and time.monotonic() < until:
            time.sleep(0.05)
            self.look()
        if not self.state.finished:
            self._kill()
            self.look()

    def look(self) -> None:
        """Read how it stands now."""
        if self._asked_to_stop is not None and time.monotonic() - self._asked_to_stop > SECONDS_TO_STOP:
            self._kill()
        works = self._works()  # first: what it told with its last breath is read below
        self.told = told_in(self.folder)
        self.state = self._state_of_working() if works else self._state_of_ended()
        failed = self.state is TrainingState.FAILED
        self.error = _failure(training_child.last_words(self.folder / SAID)) if failed else None

    def _works(self) -> bool:
        """Of a process that an earlier Slicer started it is only known what it does in the folder."""
        if self._process is not None:
            return self._process.poll() is None
        return self._number is not None and is_in_use(self.folder)

    @property
    def _number(self) -> int | None:
        return self._process.pid if self._process else _process_in(self.folder)

    def _kill(self) -> None:
        if not self._works():
            return
        training_child.kill(self._number)
        with suppress(OSError):
            (self.folder / PROCESS).unlink(missing_ok=True)  # what it told last sounds as if it went on

    def _state_of_working(self) -> TrainingState:
        if self._asked_to_stop is not None:
            return TrainingState.STOPPING
        return TrainingState.RUNNING if self.told else TrainingState.STARTING

    def _state_of_ended(self) -> TrainingState:
        stage = self.told.state if self.told else None
        if stage is State.DONE or (self._process and self._process.returncode == 0):
            return TrainingState.DONE
        if self._asked_to_stop is not None or stage is State.STOPPED:
            return TrainingState.STOPPED
        return TrainingState.FAILED if stage is State.FAILED or self._process else TrainingState.STOPPED


def _process_in(folder: Path) -> int | None:
    try:
        number = json.loads((folder / PROCESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return number if isinstance(number, int) and number > 1 else None


def _in_use(title: str) -> TrainingFailed:
    return TrainingFailed(
        _("Another process trains “{title}”").format(title=title),
        why=_("two in one folder would write over each other's epochs"),
        remedy=_("Wait until it ends, or stop it where it was started"),
    )


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
