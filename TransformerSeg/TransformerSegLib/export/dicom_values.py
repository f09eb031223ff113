"""Single values as DICOM takes them: what is too long, or not of a value's form, makes a file that archives refuse."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.errors import UnreadableInput
from TransformerSegLib.inference.dicom_header import is_dicom, read_header, text_of
from TransformerSegLib.inference.names import clean_name

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LONG_STRING = 64
SHORT_STRING = 16
"""Characters that a text has at most (PS3.5, section 6.2); counted in bytes of UTF-8, as many programs do."""

_CUT = "…"

_STRICT = ("AS", "CS", "DA", "DS", "IS", "TM")
"""Kinds of value with a form of their own; a name or a description is kept as it is."""


def long_text(text: str, fallback: str = "") -> str:
    """A text on one line, without the backslash that separates values, and cut where it is too long."""
    cleaned = clean_name(text.replace("\\", "/"))
    if len(cleaned.encode()) > LONG_STRING:
        cleaned = cleaned.encode()[: LONG_STRING - len(_CUT.encode())].decode(errors="ignore").rstrip() + _CUT
    return cleaned or fallback


def valid_or_empty(header: Dataset, keyword: str) -> object | None:
    """An element's value; None where there is none, or it is not of the form that DICOM asks for."""
    from pydicom import config
    from pydicom.valuerep import validate_value

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if keyword not in header or header[keyword].is_empty:
                return None
            element = header[keyword]
            if element.VR in _STRICT:
                values = element.value if element.VM > 1 else [element.value]
                for value in values:
                    validate_value(element.VR, str(value), config.RAISE)
        except Exception:  # whatever pydicom stumbles over: it has no error of its own for a value that is damaged
            return None
    if keyword == "PatientSex" and element.value not in ("M", "F", "O"):
        return None
    return element.value


def is_segmentation(path: Path) -> bool:
    """Whether a file is a DICOM segmentation; not of one that cannot be read."""
    try:
        return path.is_file() and is_dicom(path) and text_of(read_header(path), "Modality") == "SEG"
    except (OSError, UnreadableInput):
        return False
