"""Where a result goes: asked before the work starts, replaced whole when it is done."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.dicom_values import is_segmentation
from TransformerSegLib.export.untouched import is_untouched
from TransformerSegLib.inference.names import is_text, shown

OUTPUT_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".dcm", ".mrb")
"""Longer suffixes come before those they end in."""

_TEMPORARY_PREFIX = ".transformerseg-"


def output_suffix(path: Path) -> str:
    """Which of ``OUTPUT_SUFFIXES`` the file's name ends in, whatever its case.

    Raises:
        OutputRejected: none of them.
    """
    name = path.name.lower()
    for suffix in OUTPUT_SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise OutputRejected(
        f"“{path.name}” has a format that is not written",
        why=f"a segmentation is saved as {', '.join(OUTPUT_SUFFIXES[:-1])} or {OUTPUT_SUFFIXES[-1]}",
        remedy="Let the output's name end in .seg.nrrd",
    )


def check_output(path: Path, overwrite: bool = False) -> None:
    """Make sure, before a run, that its result can be written.

    Raises:
        OutputRejected: the format is unknown, the folder is missing or not writable, a file is there already that a
            person may have worked on and ``overwrite`` is False, a ``.dcm`` is there that is an image, whatever
            ``overwrite`` says, or a ``.mrb`` is asked for where slicer-core is not installed.
    """
    suffix = output_suffix(path)
    _check_name(behind_links(path))
    check_folder(behind_links(path).parent)
    if path.is_dir():
        raise OutputRejected(
            f"“{path}” is a folder",
            why="the result is one file",
            remedy="Give the output another name",
        )
    if path.exists() and suffix == ".dcm" and not is_segmentation(path):
        raise OutputRejected(
            f"“{path}” is there already, and is no DICOM segmentation",
            why="it may be one of the images",
            remedy="Name another output",
        )
    if path.exists() and not overwrite and (suffix in (".dcm", ".mrb") or not is_untouched(path)):
        raise OutputRejected(
            f"“{path}” is there already",
            why="it may hold a person's corrections",
            remedy="Name another output, or add --overwrite",
        )
    if suffix == ".mrb" and not _slicer_is_installed():
        raise OutputRejected(
            f"“{path.name}” cannot be written",
            why="a .mrb needs the package slicer-core, which is not installed",
            remedy="Save as .seg.nrrd, or install TransformerSeg with the extra “scene”",
        )


def check_inputs_are_kept(written: Sequence[Path], read: Sequence[Path]) -> None:
    """Make sure, before a run, that no file that it writes takes the place of one that it reads, or of another result.

    Args:
        written: results.
        read: files and folders. A result may lie within a folder: there it replaces no image.

    Raises:
        OutputRejected: two paths, maybe by links, lead to the same file.
    """
    taken = [path for path in read if os.path.exists(path)]
    for path in written:
        if not os.path.exists(path):
            continue
        for other in taken:
            if os.path.samefile(path, other):
                raise OutputRejected(
                    f"“{other.name}” would be replaced by “{path.name}”",
                    why="the same run reads or writes that file",
                    remedy="Name another output",
                )
        taken.append(path)


def _check_name(path: Path) -> None:
    """ITK, which writes some of the formats, ends the process on a path that is no text."""
    if not is_text(path):
        raise OutputRejected(
            f"“{shown(path)}” cannot be written to",
            why="the path to it is not written in UTF-8",
            remedy="Name an output in another folder",
        )


def check_side_file(
    path: Path, kind: str, suffix: str, is_of_kind: Callable[[Path], bool], overwrite: bool = False
) -> None:
    """Make sure, before a run, that a file beside its result can be written; an earlier one of its kind is replaced.

    Args:
        kind: "report", for messages.
        suffix: that it has.
        is_of_kind: whether a file that is there was written as such a one.

    Raises:
        OutputRejected: the folder is missing or not writable, ``path`` has another suffix, or something else is there
            already and ``overwrite`` is False.
    """
    if path.suffix.lower() != suffix or path.is_dir():
        raise OutputRejected(
            f"“{path.name}” cannot be a {kind}",
            why=f"{kind}s are {suffix[1:].upper()} files",
            remedy=f"Let its name end in {suffix}",
        )
    check_folder(behind_links(path).parent)
    if path.exists() and not overwrite and not is_of_kind(path):
        raise OutputRejected(
            f"“{path}” is there already, and is no {kind}",
            why="what it holds would be lost",
            remedy=f"Name another file for the {kind}, or add --overwrite",
        )


def check_folder(folder: Path) -> None:
    """Make sure that files can be written to a folder.

    Raises:
        OutputRejected: it is missing or not writable.
    """
    if not folder.is_dir():
        raise OutputRejected(
            f"The folder “{folder}” does not exist",
            why="the result is to be saved there",
            remedy="Create it, or name another output",
        )
    try:
        # Permissions alone do not tell: a file system may be read-only, or not take files at all.
        tempfile.TemporaryFile(prefix=_TEMPORARY_PREFIX, dir=folder).close()
    except OSError as error:
        raise OutputRejected(
            f"The folder “{folder}” cannot be written to",
            why=error.strerror or str(error),
            remedy="Name an output in another folder",
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder, where it is not there yet, and make sure that files can be written to it.

    Raises:
        OutputRejected: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputRejected(
            f"The folder “{folder}” cannot be made", why=error.strerror or str(error), remedy="Name another folder"
        ) from error
    check_folder(folder)


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; ``path`` is replaced by that file at the end, or not touched at all.

    The temporary file has the name of ``path`` (its suffix in lower case), because writers choose their format by it,
    and lies in a hidden folder beside it, because only within one file system is replacing atomic. An error or Ctrl-C
    leaves nothing behind. Where ``path`` is a link, the file that it leads to is replaced and the link stays.

    Args:
        path: absolute or not.

    Example:
        >>> with written_atomically(Path("report.json")) as temporary:  # doctest: +SKIP
        ...     temporary.write_text("{}")

    Raises:
        OutputRejected: the operating system refused (disk full, permission lost).
    """
    folder = None
    target = behind_links(path)
    try:
        folder = tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=target.parent)
        temporary = Path(folder) / (path.stem + path.suffix.lower())
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise OutputRejected(
            f"“{path}” could not be written",
            why=error.strerror or str(error),
            remedy="Free some space there, or name another output",
        ) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Take away what ``written_atomically`` left in a folder where its process was killed."""
    for left in folder.glob(f"{_TEMPORARY_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def behind_links(path: Path) -> Path:
    """The file that a path leads to, absolute; it need not exist."""
    return Path(os.path.realpath(path))


def _slicer_is_installed() -> bool:
    """Whether there is a package ``slicer`` that is Slicer's own: an unrelated one on PyPI has the same name."""
    spec = importlib.util.find_spec("slicer")
    places = spec.submodule_search_locations if spec is not None else None
    return any(Path(place, "util.py").is_file() for place in places or ())
