"""``python killed_downloads.py LIBRARY CATALOGUE MODEL``: download a model, killed at every kind of step on the disk.

A step is what Python does to a path in the library: opening, renaming, deleting, linking, making folders. For each, in
the order in which a download takes them, a process is killed (SIGKILL) right before it; then what is there is looked
at, and the next try is let through. Prints one JSON object a step.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

from TransformerSegLib.bundles.digests import digests
from TransformerSegLib.bundles.fetching import DOWNLOAD_LOCK, DOWNLOADS
from TransformerSegLib.bundles.library import ModelLibrary
from TransformerSegLib.bundles.summary import ModelSummary

STEPS = frozenset({"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "shutil.rmtree"})
"""Events of Python's auditing (PEP 578) that tell of a change."""

RANDOM_PART = re.compile(r"\.[a-z0-9_]{8}(?=/|$)")
"""What ``tempfile`` adds to a name."""


def download_killed_before(step: int, library: ModelLibrary, model: str) -> str | None:
    """Which step that was; None where the download is through before."""
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        seen: list[str] = []

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            paths = [str(path) for path in arguments[:2] if str(library.folder) in str(path)]
            if event not in STEPS or not paths:
                return
            kind = RANDOM_PART.sub("", f"{event} {' '.join(paths)}".replace(str(library.folder), ""))
            if kind in seen:
                return
            seen.append(kind)
            if len(seen) == step:
                os.write(telling, kind.encode())
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        library.download(model)
        os._exit(0)
    os.close(telling)
    with os.fdopen(told) as pipe:
        kind = pipe.read()
    os.waitpid(child, 0)
    return kind or None


def state_of(summary: ModelSummary) -> str:
    """ "missing", "damaged", or the SHA-256 of its weights."""
    if summary.fault:
        return "damaged"
    return digests(next((summary.folder / "models").iterdir()))["sha256"] if summary.on_disk else "missing"


def main(folder: Path, catalogue: Path, model: str) -> None:
    sys.modules["torch"] = None  # as in Slicer before its first run; it also makes a process quick to begin
    library, step = ModelLibrary(folder, catalogue), 0
    while kind := download_killed_before(step := step + 1, library, model):
        (listed,) = (summary for summary in library.summaries() if summary.name == model)
        then = library.download(model)
        left = [path.name for path in (folder / DOWNLOADS / model).iterdir() if path.name != DOWNLOAD_LOCK]
        print(json.dumps({"step": kind, "after": state_of(listed), "next": state_of(then), "left": left}), flush=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
