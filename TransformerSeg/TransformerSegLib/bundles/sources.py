"""Where a bundle is imported from: a folder or a zip archive, of which only the bundle's own files are ever taken.

An archive from elsewhere may be made to do harm: to write outside of its folder, to link there, to fill the disk. It is
looked through as a whole before anything is taken from it, and refused where it holds any such entry.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from TransformerSegLib.bundles.copying import Tell, copy_bytes
from TransformerSegLib.bundles.layout import METADATA, inside, model_folders
from TransformerSegLib.bundles.zip_directory import MAXIMUM_DIRECTORY_BYTES, directory_bytes
from TransformerSegLib.errors import BundleRejected, CheckpointRejected
from TransformerSegLib.networks.file_text import quoted

MAXIMUM_ENTRIES = 100_000
"""Most entries of an archive that is read."""

MAXIMUM_PATH_CHARACTERS = 500
"""Longest path of a file in an archive."""

MAXIMUM_EXPANSION = 100
"""How many times its packed size a file may unpack to; weights pack to nine tenths, texts to a tenth."""

ALWAYS_ALLOWED_BYTES = 1024**2
"""What a file may unpack to however small it was packed."""

CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")
"""Endings of files that hold weights alone."""

ENCRYPTED = 0x1
"""The flag of an archive's entry that needs a password."""


class Source(ABC):
    """The files of one bundle, by their paths in it ("configs/metadata.json").

    Attributes:
        name: what the bundle is called where it lies.
    """

    name: str

    @abstractmethod
    def has(self, file: str) -> bool:
        """Whether the bundle has this file."""

    @abstractmethod
    def size(self, file: str) -> int:
        """Of a file that it has, in bytes."""

    @abstractmethod
    def copy(self, file: str, target: Path, tell: Tell) -> None:
        """Write a file that it has to ``target``, which is not there yet, and ``tell`` of its bytes.

        Raises:
            BundleRejected: it is damaged, or is a link that leads out of the bundle.
            OSError: it cannot be written.
        """


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The bundle in a folder or zip archive, at its top or as the only one in a folder within.

    Raises:
        BundleRejected: there is no bundle, or more than one, or the archive is not safe to unpack.
    """
    if path.is_dir():
        yield _FolderSource(path)
    elif not path.exists():
        raise BundleRejected(
            f"{quoted(path.name)} does not exist",
            why="there is nothing to import",
            remedy="Check how the path is spelt",
        )
    elif path.suffix.lower() in CHECKPOINTS:
        raise CheckpointRejected(
            f"{quoted(path.name)} is a checkpoint: weights alone",
            why="a model also says what its structures are called and how a volume is prepared for it",
            remedy=f"Make a model of it on the command line (transformerseg import {path.name} --labels labels.json "
            "--output FOLDER), and import that folder",
        )
    elif path.is_file() and zipfile.is_zipfile(path):
        with _archive(path) as archive:
            yield _ZipSource(path, archive)
    else:
        raise BundleRejected(
            f"{quoted(path.name)} is no model",
            why="a model is a folder with configs and models in it, or a zip archive of one",
            remedy="Choose such a folder or archive",
        )


class _FolderSource(Source):
    def __init__(self, path: Path) -> None:
        path = path.resolve()
        at_top = (path / METADATA).is_file()
        self._folder = path if at_top else path / _only(model_folders(path), path.name)
        self.name = self._folder.name

    def has(self, file: str) -> bool:
        return (self._folder / file).is_file()

    def size(self, file: str) -> int:
        return (self._folder / file).stat().st_size

    def copy(self, file: str, target: Path, tell: Tell) -> None:
        with inside(self._folder, self._folder / file).open("rb") as read, target.open("wb") as written:
            copy_bytes(read, written, tell)


class _ZipSource(Source):
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._entries = _safe_entries(archive, path.name)
        roots = [name.removesuffix(METADATA) for name in self._entries if f"/{name}".endswith(f"/{METADATA}")]
        self._root = "" if "" in roots else _only(roots, path.name)
        self.name = PurePosixPath(self._root).name or path.stem

    def has(self, file: str) -> bool:
        return self._root + file in self._entries

    def size(self, file: str) -> int:
        return self._entries[self._root + file].file_size

    def copy(self, file: str, target: Path, tell: Tell) -> None:
        _unpack(self._archive, self._entries[self._root + file], target, self.name, tell)


def unpack_member(archive: Path, member: str, target: Path, most_bytes: int, tell: Tell) -> None:
    """Write the one file called ``member``, in whatever folder of a zip archive, to ``target``.

    Raises:
        BundleRejected: the archive is not safe to unpack or damaged, or has no such file, several, or a larger one.
        OSError: it cannot be written.
    """
    with _archive(archive) as opened:
        entries = _safe_entries(opened, archive.name)
        found = [entry for path, entry in entries.items() if PurePosixPath(path).name == member]
        if len(found) != 1:
            raise _damaged(archive.name, f"it holds {len(found)} files {quoted(member)}")
        if found[0].file_size > most_bytes:
            raise _unsafe(archive.name, f"{quoted(member)} has {found[0].file_size / 1024**2:.0f} MB")
        _unpack(opened, found[0], target, archive.name, tell)


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, name: str, tell: Tell) -> None:
    if entry.file_size > max(MAXIMUM_EXPANSION * entry.compress_size, ALWAYS_ALLOWED_BYTES):
        raise _unsafe(name, f"{quoted(entry.filename)} unpacks to {entry.file_size / 1024**2:.0f} MB")
    with target.open("wb") as written:
        try:
            with archive.open(entry) as packed:
                copy_bytes(packed, written, tell)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
            raise _damaged(name, f"{quoted(entry.filename)}: {error}") from None


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    if directory_bytes(path) > MAXIMUM_DIRECTORY_BYTES:
        raise _unsafe(path.name, f"its table of contents has more than {MAXIMUM_DIRECTORY_BYTES // 1024**2} MB")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise _damaged(path.name, str(error)) from None
    with archive:
        yield archive


def _safe_entries(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """The archive's files by their paths, each of which lies within it, once, as a plain file."""
    entries = archive.infolist()
    if len(entries) > MAXIMUM_ENTRIES:
        raise _unsafe(name, f"it has {len(entries)} entries")
    files: dict[str, zipfile.ZipInfo] = {}
    paths: set[str] = set()
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        path = entry.filename.replace("\\", "/")
        if fault := _fault(entry, path):
            raise _unsafe(name, f"{quoted(entry.filename)} {fault}")
        if entry.header_offset < end:
            raise _unsafe(name, f"{quoted(entry.filename)} lies over another file")
        end = entry.header_offset + entry.compress_size
        if entry.is_dir():
            continue
        known = str(PurePosixPath(path))
        if known.casefold() in paths:  # as Windows and macOS see it
            raise _unsafe(name, f"{quoted(entry.filename)} is in it twice")
        paths.add(known.casefold())
        files[known] = entry
    return files


def _fault(entry: zipfile.ZipInfo, path: str) -> str | None:
    mode = entry.external_attr >> 16
    if len(path) > MAXIMUM_PATH_CHARACTERS:
        return f"has a name of {len(path)} characters"
    if PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive:
        return "names a place outside of the archive"
    if ".." in PurePosixPath(path).parts:
        return "leads out of the archive"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or device, not a file"
    if entry.flag_bits & ENCRYPTED:
        return "is locked with a password"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by another method than Deflate"
    return None


def _only(roots: Collection[str], name: str) -> str:
    match list(roots):
        case [root]:
            return root
        case []:
            raise BundleRejected(
                f"{quoted(name)} holds no model",
                why=f"a MONAI bundle has a file {METADATA}",
                remedy="Choose the folder that holds configs and models, or a zip archive of it",
            )
        case several:
            shown = ", ".join(quoted(root.rstrip("/")) for root in sorted(several)[:3])
            raise BundleRejected(
                f"{quoted(name)} holds {len(several)} models ({shown}{', …' if len(several) > 3 else ''})",
                why="one is imported at a time",
                remedy="Choose the folder of one of them, after unpacking where it is an archive",
            )


def _unsafe(name: str, fault: str) -> BundleRejected:
    return BundleRejected(
        f"The archive {quoted(name)} is not safe to unpack ({fault})",
        why="a bundle consists of plain files of its own",
        remedy="Fetch it again from its makers, or pack the bundle's folder anew",
    )


def _damaged(name: str, fault: str) -> BundleRejected:
    return BundleRejected(
        f"The archive {quoted(name)} is damaged ({quoted(fault)[1:-1]})",
        why="every file of a model is needed whole",
        remedy="Fetch the archive again",
    )
