"""A file that is on its way: the bytes that came so far, and what they are part of.

Beside the bytes (``NAME.part``) lies a note (``NAME.part.json``) on which file of which server they are part of. Bytes
without a note that allows to go on are thrown away, never joined to others.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from TransformerSegLib.bundles.atomic import write_json

FIELDS = {"address": str, "etag": str, "last_modified": str, "total": int | None}


@dataclass(frozen=True)
class Version:
    """Which file the bytes are part of, as its server tells.

    Attributes:
        address: at which it was asked for.
        etag: the server's mark for these very bytes; "" where it gives none, or a weak one (``W/…``), which may stand
            for other bytes too.
        last_modified: the server's date of the file, as it writes it; may be empty.
        total: bytes of the whole file; None where that is not known.
    """

    address: str
    etag: str = ""
    last_modified: str = ""
    total: int | None = None

    @property
    def mark(self) -> str:
        """What a server is asked to go on by (``If-Range``, RFC 9110, 13.1.5); "" where it cannot be asked."""
        return self.etag or self.last_modified


class PartialFile:
    """The partial file of ``target``.

    Args:
        target: where the finished file belongs.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def version(self, address: str) -> Version | None:
        """What the bytes are part of; None where there are none, or none that can be gone on with from ``address``."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            if not all(isinstance(note[name], kind) for name, kind in FIELDS.items()):
                return None
            version = Version(**{name: note[name] for name in FIELDS})
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        fits = version.total is None or self.size <= version.total
        return version if version.address == address and version.mark and self.size and fits else None

    def begin(self, version: Version) -> None:
        """Throw away what is there, and note what comes now. At no moment are there bytes with another's note."""
        self.delete()
        write_json(self._note, asdict(version))
        self.path.touch()

    def add(self, data: bytes) -> None:
        """Append bytes; they are in the system's hands when this returns."""
        with self.path.open("ab", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]

    def delete(self) -> None:
        """Throw away bytes and note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Give the bytes, which are all there, the finished file's name."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.path, target)
        with suppress(OSError):
            self._note.unlink()
