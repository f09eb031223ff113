"""Texts in pictures: names of files and classes as they are, whatever letters they are written in."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_text() -> Iterator[None]:
    """Whatever is drawn and saved meanwhile shows its texts letter by letter.

    Without it, matplotlib takes what stands between two “$” for a formula, and stops where it is none; and it warns of
    letters that its font lacks, which it draws as boxes.
    """
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def shortened(name: str, characters: int) -> str:
    """A name that fits: of a longer one the beginning and the end, by which cases are told apart.

    Example:
        >>> shortened("BraTS-GLI-00001-000_registered", 15)
        'BraTS-G…istered'
    """
    if len(name) <= characters:
        return name
    end = (characters - 1) // 2
    return f"{name[: characters - 1 - end]}…{name[len(name) - end :]}"
