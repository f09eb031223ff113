"""How large the table of contents of a zip archive is, before it is read: in memory it takes many times as much."""

from __future__ import annotations

import struct
from pathlib import Path

MAXIMUM_DIRECTORY_BYTES = 16 * 1024**2
"""Largest table of contents that is read: 100,000 entries and more."""

END = struct.Struct("<4s4H2LH")
"""The record at the end of an archive (PKWARE APPNOTE 4.3.16); its sixth field is the size of the table."""

END_64 = struct.Struct("<4sQ2H2L4Q")
"""The larger record that may lie before it (4.3.14); its ninth field is that size."""

LOCATOR_64_BYTES = 20
MAXIMUM_COMMENT_BYTES = 65_535


def directory_bytes(path: Path) -> int:
    """Of the table of contents of the archive, as its end says; 0 where it has no such end.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - END.size - MAXIMUM_COMMENT_BYTES - LOCATOR_64_BYTES - END_64.size, 0))
        tail = file.read()
    sizes = [0]
    for record, field in ((END, 5), (END_64, 8)):
        place = tail.rfind(b"PK\5\6" if record is END else b"PK\6\6")
        if place >= 0 and place + record.size <= len(tail):
            sizes.append(record.unpack_from(tail, place)[field])
    return max(size for size in sizes if size != 0xFFFFFFFF)
