"""Text from a bundle's files: what marks it as code, and how an error repeats it."""

from __future__ import annotations

import reprlib

EXPRESSION_SIGN = "$"
"""A text that begins with it is Python code to MONAI. Here it is never run."""

QUOTED_CHARACTERS = 80
"""How much of a file's own text an error repeats."""


_short = reprlib.Repr()
_short.maxlevel = 4
_short.maxstring = _short.maxother = QUOTED_CHARACTERS


def quoted(value: object) -> str:
    """A value from a file, short enough and free of control characters, in quotation marks.

    Of containers only the beginning is written: those that hold the same one again and again would have no end.
    """
    text = value if isinstance(value, str) else _short.repr(value)
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return f"“{line}”" if len(line) <= QUOTED_CHARACTERS else f"“{line[:QUOTED_CHARACTERS]}…”"
