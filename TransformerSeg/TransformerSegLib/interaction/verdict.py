"""What to do about a class, from how well it was probably found."""

from __future__ import annotations

from enum import Enum

LIKELY_FINE_FROM = 0.85
PROBABLY_WRONG_BELOW = 0.70


class Verdict(Enum):
    """What to do about a class; the values are for people."""

    LIKELY_FINE = "likely fine"
    LOOK = "look"
    PROBABLY_WRONG = "probably wrong"


def verdict(dice: float) -> Verdict:
    """What a predicted Dice means."""
    if dice >= LIKELY_FINE_FROM:
        return Verdict.LIKELY_FINE
    return Verdict.LOOK if dice >= PROBABLY_WRONG_BELOW else Verdict.PROBABLY_WRONG
