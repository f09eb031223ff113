"""Stand-in for ``slicer.i18n``: Slicer in English, which translates nothing."""

from __future__ import annotations


def translate(_context: str, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"Only text is translated, not {text!r}")
    return text


def tr(text: str) -> str:
    return translate("", text)
