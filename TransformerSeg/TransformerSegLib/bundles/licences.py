"""Whether a licence restricts the use of a model's results: then it is acknowledged before the first run."""

from __future__ import annotations

import re

FREE = re.compile(
    r"apache|\bmit\b|\bbsd\b|\bisc\b|\bcc0\b|public domain|\bcc[- ]by\b|creative commons attribution", re.IGNORECASE
)
"""Licences that allow every use of the results."""

RESTRICTING = re.compile(
    r"non-?\s?commercial|\bnc\b|no\s?-?derivatives|\bnd\b|academic|research (?:use )?only|evaluation", re.IGNORECASE
)
"""What a free licence does not say."""


def restricts(licence: str) -> bool:
    """Whether a licence must be acknowledged: it limits the use, or it is none of those known to be free.

    Args:
        licence: as the model's card has it; where it is empty there is nothing to acknowledge.
    """
    return bool(licence) and (RESTRICTING.search(licence) is not None or FREE.search(licence) is None)
