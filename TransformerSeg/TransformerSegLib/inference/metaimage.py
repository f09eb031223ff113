"""What of a MetaImage file (.mha, .mhd) is checked before ITK reads it.

ITK's reader goes on where a file is short, with memory that nothing was written to; takes a number that it cannot read
for 0 and a spacing that is not there for 1 mm; and prints by a format that the file gives.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

from TransformerSegLib.errors import UnreadableInput
from TransformerSegLib.inference.checks import no_spacing
from TransformerSegLib.inference.names import shown

_LONGEST_HEADER_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 20
_ZLIB_OR_GZIP = 47
"""``wbits`` by which zlib tells the two apart itself."""

_SPACINGS = ("ElementSpacing", "ElementSize")
_VECTORS = (*_SPACINGS, "DimSize", "Offset", "Position", "Origin")
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
"""Of each of these a file has one at most, whichever name it uses."""


@dataclass(frozen=True)
class MetaImageHeader:
    """The fields of a header, and where the voxels are.

    Attributes:
        path: of the header.
        fields: by their names, as they are written.
        voxel_file: the header's own file, or the one beside it.
        start: the byte of ``voxel_file`` at which the voxels begin.
    """

    path: Path
    fields: dict[str, str]
    voxel_file: Path
    start: int

    def check_length(self, expected: int) -> None:
        """Refuse a file that holds fewer voxels than its header says.

        Args:
            expected: size of all voxels in memory, in bytes.

        Raises:
            UnreadableInput: there are fewer, or they cannot be unpacked.
        """
        try:
            if self.fields.get("CompressedData", "").lower().startswith(("t", "1")):
                enough = self._unpacks_to(expected)
            else:
                enough = self.voxel_file.stat().st_size - self.start >= expected
        except (OSError, ValueError, zlib.error) as error:
            raise damaged(self.path) from error
        if not enough:
            raise damaged(self.path)

    def _unpacks_to(self, expected: int) -> bool:
        """Whether the packed bytes are whole, checksum included, and not too few."""
        left = int(self.fields.get("CompressedDataSize", 0)) or self.voxel_file.stat().st_size
        unpacked = 0
        stream = zlib.decompressobj(_ZLIB_OR_GZIP)
        with self.voxel_file.open("rb") as file:
            file.seek(self.start)
            while not stream.eof and unpacked <= expected:
                packed = stream.unconsumed_tail
                if not packed:
                    packed = file.read(min(left, _CHUNK_BYTES))
                    left -= len(packed)
                if not packed:
                    return False
                unpacked += len(stream.decompress(packed, _CHUNK_BYTES))
        return unpacked >= expected


def read_metaimage_header(path: Path, name: str) -> MetaImageHeader:
    """Read the header, and refuse what ITK would misread.

    Raises:
        UnreadableInput: no header; a field that is doubled, or whose numbers are not those of its dimensions; voxels in
            several files (ElementDataFile = LIST, or a pattern).
        SingularAffine: the spacing is not there, not positive or not finite.
    """
    fields, end = _fields(path)
    _check_numbers(path, fields, name)
    data_file = fields["ElementDataFile"]
    if data_file.upper().startswith("LIST") or "%" in data_file:
        raise UnreadableInput(
            f"“{shown(path)}” keeps its voxels in a list of files",
            why="whether they are whole cannot be told",
            remedy="Save the volume as one file, for example as NRRD with Slicer",
        )
    skipped = _number(path, fields.get("HeaderSize", "0"))
    if data_file.upper() == "LOCAL":
        if skipped > 0:
            raise damaged(path)
        return MetaImageHeader(path, fields, path, end)
    return MetaImageHeader(path, fields, path.parent / data_file, max(int(skipped), 0))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields, of which ElementDataFile is the last, and the place of the byte behind them."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in fields:
            key, equals, value = file.readline(_LONGEST_HEADER_BYTES).decode("latin-1").partition("=")
            if not equals or key.strip() in fields or file.tell() > _LONGEST_HEADER_BYTES:
                raise damaged(path)
            fields[key.strip()] = value.strip()
        return fields, file.tell()


def _check_numbers(path: Path, fields: dict[str, str], name: str) -> None:
    axes = _number(path, fields.get("NDims", ""))
    for names, count in ((_VECTORS, axes), (_MATRICES, axes * axes)):
        for key in set(names) & fields.keys():
            numbers = fields[key].split()
            if len(numbers) != count:
                raise damaged(path)
            values = [_number(path, number) for number in numbers]
            if key in _SPACINGS and min(values) <= 0:
                raise no_spacing(name)
    if not fields.keys() & set(_SPACINGS):
        raise no_spacing(name)


def _number(path: Path, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise damaged(path) from error
    if not math.isfinite(number):
        raise damaged(path)
    return number


def damaged(path: Path) -> UnreadableInput:
    """The error of a file that is read by ITK and is not whole."""
    return UnreadableInput(
        f"“{shown(path)}” cannot be read",
        why="it is damaged, cut short, or lacks the file that holds its voxels",
        remedy="Export or copy it again from where it came from",
    )
