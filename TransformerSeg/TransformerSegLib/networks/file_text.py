"""Text from a bundle's files: what marks it as code, and how an error repeats it."""

from __future__ import annotations

EXPRESSION_SIGN = "$"
"""A text that begins with it is Python code to MONAI. Here it is never run."""

QUOTED_CHARACTERS = 80
"""How much of a file's own text an error repeats."""


def quoted(value: object) -> str:
    """A value from a file, short enough and free of control characters, in quotation marks."""
    text = value if isinstance(value, str) else repr(value)
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return f"“{line}”" if len(line) <= QUOTED_CHARACTERS else f"“{line[:QUOTED_CHARACTERS]}…”"
