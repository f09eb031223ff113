"""What of an NRRD file's header (.nrrd, .nhdr) is checked before ITK reads it, which takes a spacing that is not there
for 1 mm (https://teem.sourceforge.net/nrrd/format.html).
"""

from __future__ import annotations

import math
from pathlib import Path

from TransformerSegLib.inference.checks import no_spacing

_LONGEST_HEADER_BYTES = 1 << 20
_AXES_IN_SPACE = 3


def check_nrrd_spacing(path: Path, name: str) -> None:
    """Refuse a file of three or more dimensions of which fewer than three have a spacing.

    Raises:
        SingularAffine: neither ``space directions`` nor ``spacings`` give a length to three axes, or a length is
            negative.
    """
    fields = _fields(path)
    if len(fields.get("sizes", "").split()) < _AXES_IN_SPACE:
        return  # flat, or damaged: said elsewhere
    directions = fields.get("spacedirections")
    if directions is not None:
        placed = directions.count("(")
    else:
        spacings = [_number(text) for text in fields.get("spacings", "").split()]
        placed = 0 if any(spacing < 0 for spacing in spacings) else sum(spacing > 0 for spacing in spacings)
    if placed < _AXES_IN_SPACE:
        raise no_spacing(name)


def _fields(path: Path) -> dict[str, str]:
    """By their names in small letters and without spaces; up to the empty line that ends the header."""
    with path.open("rb") as file:
        lines = file.read(_LONGEST_HEADER_BYTES).decode("latin-1").replace("\r\n", "\n").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in lines.splitlines() if not line.startswith("#"))
    return {key.lower().replace(" ", ""): value for key, colon, value in pairs if colon}


def _number(text: str) -> float:
    """NaN where it is none, or not finite."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
