"""A checkpoint of torch's on disk: looked through as a whole before torch reads any of it.

Two formats are in use (``torch.serialization``): since torch 1.6 an uncompressed zip archive with one pickle and a file
for each storage; before, several pickles one after the other, then the storages. What the pickle claims to hold is
compared with what lies there.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeGuard

from TransformerSegLib.bundles.pickled import ELEMENT_BYTES, Pickled, Refused, StorageClaim, read_pickle
from TransformerSegLib.bundles.zip_directory import MAXIMUM_DIRECTORY_BYTES, directory_bytes
from TransformerSegLib.networks.file_text import quoted

MAXIMUM_PICKLE_BYTES = 32 * 1024**2
"""Largest pickle that is read; those of the largest published checkpoints have a hundredth of it."""

ARCHIVE_START = b"PK\3\4"
"""By its first bytes torch tells an archive from an old file."""

PICKLE_START = b"\x80"
"""The first instruction of every pickle that torch wrote."""

SHOWN_BYTES = 16

TAR_SIGN, TAR_SIGN_AT = b"ustar", 257

OLD_MAGIC_NUMBER, OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What the first two pickles of an old file say."""

CHUNK_BYTES = 1024**2
ENCRYPTED = 0x1


def checked_content(path: Path) -> Pickled:
    """What a checkpoint says it holds, after it was found to hold it. Its numbers are not read.

    Raises:
        Refused: it is damaged, claims what is not there, or holds more than plain tensors, containers and numbers.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(TAR_SIGN_AT + len(TAR_SIGN))
    if not start:
        raise Refused("it is empty")
    if start.startswith(ARCHIVE_START):
        with _archive(path) as (archive, entries):
            return _claims(archive, entries)
    if start[TAR_SIGN_AT:] == TAR_SIGN:
        raise Refused("it is a tar archive, as the very first versions of torch wrote them")
    if not start.startswith(PICKLE_START):
        raise Refused(f"it is damaged, or no file of torch's: it begins with {quoted(start[:SHOWN_BYTES])}")
    return _old_content(path)


def refuse_wrong_checksums(path: Path) -> None:
    """Read all of an archive and compare it with its checksums, which torch does not look at; old files have none.

    Raises:
        Refused: they differ.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(ARCHIVE_START)) != ARCHIVE_START:
            return
    with _archive(path) as (archive, entries):
        for entry in entries.values():
            with archive.open(entry) as packed:
                while packed.read(CHUNK_BYTES):
                    pass


@contextmanager
def _archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, Mapping[str, zipfile.ZipInfo]]]:
    """With its files by their paths below its one folder."""
    if directory_bytes(path) > MAXIMUM_DIRECTORY_BYTES:
        raise Refused("its table of contents is larger than that of any checkpoint")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive, _entries(archive, path.stat().st_size)
    except UnicodeDecodeError:
        raise Refused("it is damaged: the names of its files are no text") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise Refused(f"it is damaged: {error}") from None


def _entries(archive: zipfile.ZipFile, file_bytes: int) -> dict[str, zipfile.ZipInfo]:
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    roots = {entry.filename.partition("/")[0] for entry in entries}
    found = {entry.filename.partition("/")[2]: entry for entry in entries}
    if "constants.pkl" in found or any(name.startswith("code/") for name in found):
        raise Refused("it is a TorchScript program, not weights, and code from a file is never run")
    if any(entry.filename.endswith("models/model.json") for entry in entries):
        raise Refused("it is an exported program (.pt2), not weights, and code from a file is never run")
    if len(found) < len(entries) or len(roots) != 1 or archive.comment:
        raise Refused("its files do not lie as torch lays them: each once, in one folder")
    if len({name.casefold() for name in found}) < len(found):
        raise Refused("two of its files have the same name but for capitals, which torch does not tell apart")
    end = 0
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise Refused(
                f"{quoted(entry.filename)} in it is packed to {entry.compress_size} bytes, which torch never does"
            )
        if entry.flag_bits & ENCRYPTED:
            raise Refused(f"{quoted(entry.filename)} in it is locked with a password")
        if entry.header_offset < end:
            raise Refused(f"{quoted(entry.filename)} in it lies over another file")
        if entry.CRC == 0:
            entry.CRC = None  # none was written: torch.serialization.set_crc32_options(False)
        end = entry.header_offset + entry.file_size
    if end > file_bytes:
        raise Refused("it is damaged: it was cut off")
    return found


def _claims(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> Pickled:
    if "data.pkl" not in entries:
        raise Refused("it is an archive without data.pkl, and so none of torch's")
    if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
        raise Refused("its numbers are stored with their bytes in reverse")
    pickled = read_pickle(io.BytesIO(_bounded(archive, entries["data.pkl"])))
    for storage in pickled.storages.values():
        entry = entries.get(f"data/{storage.key}")
        if entry is None or entry.file_size < storage.bytes:
            raise _not_there(storage, 0 if entry is None else entry.file_size)
    return pickled


def _bounded(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.file_size > MAXIMUM_PICKLE_BYTES:
        raise Refused(f"its pickle has {entry.file_size / 1024**2:.0f} MB")
    return archive.read(entry)


def _old_content(path: Path) -> Pickled:
    with path.open("rb") as file:
        head = io.BytesIO(file.read(MAXIMUM_PICKLE_BYTES))
        if read_pickle(head).content != OLD_MAGIC_NUMBER or read_pickle(head).content != OLD_PROTOCOL:
            raise Refused("it is a pickle, but none that torch wrote")
        read_pickle(head)  # about the machine that wrote it
        pickled, keys = read_pickle(head), read_pickle(head).content
        if not _are_texts(keys):
            raise Refused("its list of storages is no list of names")
        if sorted(keys) != sorted(pickled.storages):
            raise Refused("the storages that it names are not those that it holds")
        place, end = head.tell(), file.seek(0, 2)
        for key in keys:
            storage = pickled.storages[key]
            file.seek(place)
            counted = int.from_bytes(file.read(8), "little")
            if counted != storage.numbers or place + 8 + storage.bytes > end:
                raise _not_there(storage, max(end - place - 8, 0))
            place += 8 + storage.bytes
    return pickled


def _are_texts(values: object) -> TypeGuard[list[str]]:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _not_there(storage: StorageClaim, stored: int) -> Refused:
    numbers = f"{storage.numbers} numbers of {ELEMENT_BYTES[storage.kind]} bytes"
    return Refused(f"it claims {numbers} in its storage {quoted(storage.key)}, where {stored} bytes lie")
