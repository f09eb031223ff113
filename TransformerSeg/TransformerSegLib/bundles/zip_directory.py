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

END_SIGN, END_64_SIGN = b"PK\5\6", b"PK\6\6"
LOCATOR_64_BYTES = 20
MAXIMUM_COMMENT_BYTES = 65_535


def directory_bytes(path: Path) -> int:
    """Of the table of contents of the archive, as its end says; 0 where it has no end.

    The end is looked for where Python's ``zipfile`` looks for it.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - END.size - MAXIMUM_COMMENT_BYTES - LOCATOR_64_BYTES - END_64.size, 0))
        tail = file.read()
    end = len(tail) - END.size
    if not (end >= 0 and tail.startswith(END_SIGN, end) and tail.endswith(bytes(2))):
        end = tail.rfind(END_SIGN)  # a comment follows it
    if end < 0 or end + END.size > len(tail):
        return 0
    sizes = [END.unpack_from(tail, end)[5]]
    larger = end - LOCATOR_64_BYTES - END_64.size
    if larger >= 0 and tail.startswith(END_64_SIGN, larger):
        sizes.append(END_64.unpack_from(tail, larger)[8])
    return max(sizes)
