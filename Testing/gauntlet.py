"""Sends every hostile file through every door that a user has, in one process that is watched.

``python Testing/gauntlet.py FOLDER`` prints, as JSON, what each said at each door, and what Python's audit hook saw
that no reading of a model should do. The process has little memory to spare.
"""

from __future__ import annotations

import contextlib
import encodings.cp437
import encodings.raw_unicode_escape  # noqa: F401 – of texts in pickles
import inspect
import io
import json
import os
import resource
import sys
import tempfile
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from TransformerSegLib import cli
from TransformerSegLib.bundles.library import ModelLibrary
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.registry import configured
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.training.starting import starting_weights

from hostile import read_manifest

SAMPLE = resources_folder() / "SampleData" / "hippocampus_297.nii.gz"

MEMORY_TO_SPARE = 1024**3
"""Address space beyond what torch and MONAI take."""

RUNNING = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile", "pty.spawn")
RUNNING += ("subprocess.Popen", "exec", "socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request")
RUNNING += ("pickle.find_class", "ctypes.dlopen", "code.__new__", "webbrowser.open", "marshal.loads")
"""Events that mean that something is run, built or called that lay in a file, or that the network is spoken to."""

CHANGING = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod", "shutil.move")
"""Events that change files, beside ``open`` for writing."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


Door = Callable[[Path], None]
"""A way by which a user brings in a bundle, archive or checkpoint."""


class Watch:
    """What Python's audit hook saw while it was on."""

    def __init__(self, writable: Path) -> None:
        self.on = False
        self.seen: list[str] = []
        self._writable = str(writable)
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on:
            return
        if event == "exec" and sys._getframe(1).f_code.co_filename in (inspect.__file__, typing.__file__):
            return  # typer has our own annotations evaluated
        if event in RUNNING or (
            ((event == "open" and self._writes(*arguments)) or event in CHANGING)
            and any(self._is_elsewhere(path) for path in arguments[: 2 if event in CHANGING else 1])
        ):
            self.seen.append(f"{event} {arguments}"[:300])

    def _writes(self, path: object, mode: object, flags: object) -> bool:
        return bool(set(str(mode)) & set("wax+")) if mode else isinstance(flags, int) and bool(flags & WRITING)

    def _is_elsewhere(self, path: object) -> bool:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        return bool(text) and text != os.devnull and not os.path.abspath(text).startswith(self._writable)


def through_reading(path: Path) -> None:
    read_bundle(path).network()


def command(*arguments: object) -> None:
    """``transformerseg``, as ``main`` runs it; what it says against its input is raised."""
    sys.argv = ["transformerseg", *map(str, arguments)]
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as stop:
            if stop.code == 2:
                raise BundleRejected(" ".join(errors.getvalue().split()), why="", remedy="") from None


def segmenting(output: Path) -> Door:
    def through_segment(path: Path) -> None:
        command("segment", SAMPLE, "--model", path, "--output", output, "--overwrite")

    return through_segment


def converting(place: Path, labels: Path) -> Door:
    def through_import(path: Path) -> None:
        (checkpoint,) = (path / "models").iterdir()
        output = place / path.name
        try:
            command("import", checkpoint, "--labels", labels, "--heads", 4, "--output", output)
        except BundleRejected:
            assert not output.exists(), "a refused checkpoint left something"
            raise

    return through_import


def starting(good: Path) -> Door:
    """As ``transformerseg train --start`` reads what it is given."""
    plan = read_bundle(good).plan.network
    architecture = configured(plan.architecture, plan.arguments)

    def through_start(path: Path) -> None:
        (checkpoint,) = (path / "models").iterdir()
        starting_weights(checkpoint, architecture)

    return through_start


def importing(library: ModelLibrary) -> Door:
    def through_the_library(path: Path) -> None:
        before = contents(library.folder)
        try:
            library.remove(library.import_bundle(path).name)
        finally:
            assert contents(library.folder) == before, "the library is not as it was"

    return through_the_library


def contents(folder: Path) -> list[tuple[str, int]]:
    """All that is in a folder, but for locks, which stay."""
    return sorted((str(path), path.stat().st_size) for path in folder.rglob("*") if path.suffix != ".lock")


def answers(folder: Path, doors: Mapping[str, Sequence[Door]], watch: Watch) -> Iterator[dict[str, str]]:
    """What each door said to each: "read", the refusal, or the error that should not be."""
    for one in read_manifest(folder):
        for door in doors[one.path.partition("/")[0]]:
            watch.on = True
            try:
                door(folder / one.path)
                said = "read"
            except BundleRejected as rejected:
                said = rejected.what
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            watch.on = False
            yield {"path": one.path, "door": door.__name__, "said": said}


def main(folder: Path) -> None:
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as place:
        library, watch = ModelLibrary(Path(place) / "models"), Watch(Path(place))
        labels = Path(place) / "labels.json"
        labels.write_text('["first", "second"]', encoding="utf-8")
        library_door, import_door = importing(library), converting(Path(place), labels)
        doors = {
            "archives": [library_door],
            "bundles": [library_door, through_reading, segmenting(Path(place) / "result.seg.nrrd")],
            "checkpoints": [library_door, import_door, starting(folder / "spared" / "as-it-is")],
            "spared": [library_door, through_reading],
        }
        for door in [*doors["bundles"], import_door]:
            door(folder / "spared" / "as-it-is")  # so that no module is imported while it is watched
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_TO_SPARE,) * 2)
        said = list(answers(folder, doors, watch))
        peak = 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
        json.dump({"answers": said, "seen": watch.seen, "peak_bytes": peak}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
