"""Numbers, names and errors as a clinician reads them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from slicer.i18n import tr as _

from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.inference.parts import Part

GOOD, DOUBTFUL, BAD = "✓", "!", "✗"

# Readable on Slicer's light and on its dark theme.
_COLORS = {GOOD: "#2f9e44", DOUBTFUL: "#d9820f", BAD: "#e03131"}

_LONG_WORD = 40
"""Characters; about a line of the panel."""

_MINUTE = 60
_HOUR = 60 * _MINUTE


def escaped(text: str) -> str:
    """Text of a node, a file or a card, fit to stand in rich text."""
    return html.escape(str(text), quote=False).replace("\n", "<br>")


def sign(mark: str) -> str:
    """✓, ! or ✗, bold and in its colour, as rich text."""
    return f'<span style="color:{_COLORS[mark]}; font-weight:600">{mark}</span>'


def duration(seconds: float) -> str:
    """ "0.4 s", "12 s", "3 min", "1 h 5 min"."""
    if seconds < 9.95:
        return _("{number} s").format(number=f"{seconds:.1f}")
    if seconds < 1.5 * _MINUTE:
        return _("{number} s").format(number=f"{seconds:.0f}")
    minutes = round(seconds / _MINUTE)
    if minutes < _HOUR // _MINUTE:
        return _("{number} min").format(number=minutes)
    return _("{hours} h {minutes} min").format(hours=minutes // 60, minutes=minutes % 60)


def counted_parts(number: int, part: Part) -> str:
    """ "27 windows", "1 slice"."""
    if part is Part.SLICE:
        return _("1 slice") if number == 1 else _("{count} slices").format(count=number)
    return _("1 window") if number == 1 else _("{count} windows").format(count=number)


def breakable(text: str) -> str:
    """With places where a line may break in words that would not fit on one: a path or an address has no spaces. (Not
    in shorter ones: who copies a command, copies these places too.)"""
    return re.sub(rf"\S{{{_LONG_WORD},}}", lambda word: re.sub(r"([/\\_])", "\\1\u200b", word[0]), text)


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    if len(names) <= most:
        return ", ".join(names)
    return _("{names} and {number} more").format(names=", ".join(names[:most]), number=len(names) - most)


def explained(error: TransformerSegError) -> str:
    """An error as rich text, behind a mark: what, why, and its remedy on a line of its own."""
    return f"{sign(BAD)} {what_why_remedy(error)}"


def what_why_remedy(error: TransformerSegError) -> str:
    """An error as rich text."""
    what, why, remedy = (breakable(escaped(sentence(text))) for text in (error.what, error.why, error.remedy))
    return f"<b>{what}</b><br>{why}<br>→ {remedy}"


def sentence(text: str) -> str:
    """With a capital, and a full stop where nothing else ends it."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")
