"""The process that trains: Slicer's Python without Slicer, which a crash of Slicer leaves alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import TransformerSegLib

SLICERS_PYTHON = "PythonSlicer"
"""The program beside Slicer that starts Slicer's Python with all that it needs around it."""

PYTHONS_OWN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")
"""Variables that would have the child take another Python's packages."""

TAIL_BYTES = 20_000
"""What is read of what the child said: enough for its last words."""


def start(arguments: Sequence[str], said: Path) -> subprocess.Popen:
    """Start ``python -m TransformerSegLib.cli`` in a session of its own.

    Args:
        arguments: of the command.
        said: file for what the process prints.

    Raises:
        OSError: it cannot be started, or the file cannot be written.
    """
    with said.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 (no shell: each argument reaches the command as it is)
            [python(), "-m", "TransformerSegLib.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(),
            cwd=said.parent,
            **_apart(),
        )


def stop(process_id: int) -> None:
    """Ask the process, and those that it started, to end; what it has written stays. Nothing where it has ended.

    Slicer's program starts Python as a process of its own, which a signal to the program alone would not reach.
    """
    _signal(process_id, "SIGTERM")


def kill(process_id: int) -> None:
    """End it, and those that it started, whatever they do. Their files are whole: each is replaced at once."""
    _signal(process_id, "SIGKILL")


def python() -> str:
    """Slicer's Python; outside of Slicer the one that runs now."""
    return shutil.which(SLICERS_PYTHON) or sys.executable


def environment() -> dict[str, str]:
    """As Slicer itself was started with: its own libraries would not suit another program, and Slicer's Python sets
    those that it needs by itself."""
    from slicer.util import startupEnvironment

    kept = {name: value for name, value in startupEnvironment().items() if name not in PYTHONS_OWN}
    library = Path(TransformerSegLib.__file__).resolve().parents[1]
    return {**kept, "PYTHONPATH": str(library), "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def last_words(said: Path) -> list[str]:
    """The last lines that were printed, without empty ones; none where there is no such file."""
    try:
        with said.open("rb") as file:
            file.seek(max(0, said.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _signal(process_id: int, name: str) -> None:
    """To all of them. On Windows there is one way only, which ends them."""
    if os.name == "nt":
        command = ("taskkill", "/PID", str(process_id), "/T", "/F")
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603 (a number is all that is put in)
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process_id, getattr(signal, name))


def _apart() -> dict[str, object]:
    """So that neither Ctrl-C in Slicer's terminal nor a crash of Slicer is its end, and no console window opens."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
