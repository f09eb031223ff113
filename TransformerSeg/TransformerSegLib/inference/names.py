"""Names that files bring with them, made fit to be shown."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from TransformerSegLib.errors import UnreadableInput

_CONTROL = frozenset({"Cc", "Cf", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what is no letter, number or sign: ESC, line ends, marks that turn the direction of writing."""


def clean_name(text: str) -> str:
    """A name on one line, without control characters; letters of every script are kept.

    What a file system or DICOM gave in bytes that are no text (Python keeps them as lone surrogates) becomes "�".
    May be empty.
    """
    return " ".join("".join(map(_shown, text)).split())


def shown(path: Path) -> str:
    """The last part of a path, for a message."""
    return clean_name(path.name)


def path_for_itk(path: Path) -> str:
    """A path as ITK takes it.

    Raises:
        UnreadableInput: it is no text: ITK ends the process on such a path.
    """
    if not is_text(path):
        raise UnreadableInput(
            f"“{shown(path)}” cannot be read",
            why="the path to it is not written in UTF-8",
            remedy="Rename the file, or the folder that it lies in",
        )
    return os.fspath(path)


def is_text(path: Path) -> bool:
    """Whether a path can be written in UTF-8."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    return " " if category in _CONTROL else character
