"""Zip archives of bundles that were made to do harm, or are damaged."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

from TransformerSegLib.bundles.layout import CONFIGURATION, LICENCE

SAFETENSORS = "models/model.safetensors"


def zipped(folder: Path, *more: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The bundle's files, and further ones."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as written, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is in it twice
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            written.write(path, path.relative_to(folder).as_posix())
        for name, content in more:
            written.writestr(name, content)
    return buffer.getvalue()


def of_kind(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    return entry


def without(folder: Path, *names: str) -> list[tuple[str, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in files
            if path.relative_to(folder).as_posix() not in names]  # fmt: skip


def made(files: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as written:
        for name, content in files:
            written.writestr(name, content)
    return buffer.getvalue()


def directory_entry(whole: bytes, name: str) -> int:
    """Where the archive's table of contents tells of a file."""
    place = -1
    while (place := whole.index(b"PK\1\2", place + 1)) >= 0:
        if whole[place + 46 :].startswith(name.encode()):
            return place
    raise LookupError(name)


def patched(whole: bytes, name: str, offset: int, content: bytes) -> bytes:
    """With other bytes in what the table of contents tells of a file."""
    place = directory_entry(whole, name) + offset
    return whole[:place] + content + whole[place + len(content) :]


def lying_over(folder: Path) -> bytes:
    """With the licence where the configuration lies."""
    whole = zipped(folder)
    place = directory_entry(whole, CONFIGURATION)
    return patched(whole, LICENCE, 42, whole[place + 42 : place + 46])


def damaged_inside(folder: Path) -> bytes:
    whole = zipped(folder, compression=zipfile.ZIP_STORED)
    place = whole.index(b"Apache-2.0\n")
    return whole[:place] + b"#" + whole[place + 1 :]


ARCHIVES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "escape": ("“../../escaped” leads out of the archive", lambda good: zipped(good, ("../../escaped", b"x"))),
    "escape-inside": ("“models/../../../up” leads out", lambda good: zipped(good, ("models/../../../up", b"x"))),
    "escape-backslash": ("leads out of the archive", lambda good: zipped(good, ("..\\..\\back", b"x"))),
    "absolute": ("“/absolute” names a place outside", lambda good: zipped(good, ("/absolute", b"x"))),
    "drive": ("“C:/drive” names a place outside", lambda good: zipped(good, ("C:/drive", b"x"))),
    "share": ("names a place outside of the archive", lambda good: zipped(good, ("\\\\server\\share\\x", b"x"))),
    "link": (
        "“models/model.pt” is a link or device",
        lambda good: zipped(good, (of_kind("models/model.pt", stat.S_IFLNK), b"/etc/passwd")),
    ),
    "device": ("“docs/zero” is a link or device", lambda good: zipped(good, (of_kind("docs/zero", stat.S_IFCHR), b""))),
    "pipe": ("“docs/pipe” is a link or device", lambda good: zipped(good, (of_kind("docs/pipe", stat.S_IFIFO), b""))),
    "bomb": (
        "“models/model.safetensors” unpacks to 64 MB",
        lambda good: made([*without(good, SAFETENSORS), (SAFETENSORS, bytes(64 << 20))]),
    ),
    "bomb-in-a-text": ("unpacks to 15 MB", lambda good: made([*without(good, LICENCE), (LICENCE, bytes(15 << 20))])),
    "nested": ("“nested.zip” holds no model", lambda good: made([("bundle.zip", zipped(good))])),
    "file-over-file": ("lies over another file", lying_over),
    "twice": ("is in it twice", lambda good: zipped(good, (CONFIGURATION, b"{}"))),
    "twice-but-for-case": (
        "“Configs/Inference.JSON” is in it twice",
        lambda good: zipped(good, ("Configs/Inference.JSON", b"{}")),
    ),
    "locked": ("“LICENSE” is locked with a password", lambda good: patched(zipped(good), LICENCE, 8, b"\1")),
    "wrong-checksum": ("“LICENSE”: Bad CRC-32", damaged_inside),
    "larger-than-it-says": (
        "“configs/inference.json”",
        lambda good: patched(zipped(good), CONFIGURATION, 24, struct.pack("<L", 99)),
    ),
    "unknown-packing": (
        "“configs/inference.json” is packed by another method than Deflate",
        lambda good: patched(zipped(good), CONFIGURATION, 10, b"\x61\0"),
    ),
    "large-dictionary": (
        "“LICENSE” is packed by another method than Deflate",
        lambda good: zipped(good, compression=zipfile.ZIP_LZMA),
    ),
    "cut-off": ("is no model", lambda good: zipped(good)[:-30]),
    "too-many": (
        "has 100001 entries",
        lambda good: made([(f"{number}", b"") for number in range(100_001)], zipfile.ZIP_STORED),
    ),
    "huge-directory": (
        "table of contents has more than 16 MB",
        lambda good: zipped(good)[:-10] + struct.pack("<LLH", 1 << 30, 0, 0),
    ),
    "long-name": ("has a name of 30000 characters", lambda good: zipped(good, ("x" * 30_000, b"x"))),
    "deep-name": ("has a name of 1001 characters", lambda good: zipped(good, ("d/" * 500 + "x", b"x"))),
    "two-models": ("holds 2 models", lambda good: made([(f"{a}/{n}", c) for a in "ab" for n, c in without(good)])),
    "code-inside": (
        "network “builtins.breakpoint” is not supported",
        lambda good: made(
            [
                *without(good, CONFIGURATION),
                (CONFIGURATION, (good / CONFIGURATION).read_bytes().replace(b'"UNETR"', b'"builtins.breakpoint"')),
            ]
        ),
    ),
}
"""Name → what the refusal says, and the archive that is made of a good bundle."""
