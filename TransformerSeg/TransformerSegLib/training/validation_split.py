"""Which cases are kept out of training, where the data do not say it themselves."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import groupby

from TransformerSegLib.training.cases import Case

BLOCK_CASES = 10
"""Where as many cases are to be kept out, they are in blocks of about this length."""

_WHO = re.compile(r"^\D*\d+")
"""A name up to the end of its first number: “patient001” of “patient001_frame01”."""


def split(cases: Sequence[Case], validation: float, seed: int) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Keep blocks of neighbouring names out, never single cases here and there: neighbours may be the same person, and
    a person who was trained on measures nothing.

    The names are put in order and divided into as many equal parts as there are blocks; in each part one block is
    chosen, at a place that follows from the seed. Names that are alike up to their first number are never parted.

    Args:
        cases: all of them.
        validation: the share that is kept out, 0 ≤ validation < 1; at least one case unless it is 0, or there is but
            one.
        seed: the same one gives the same division.

    Returns:
        The cases for training and those kept out, each in the order of their names.
    """
    people = _people(sorted(cases, key=lambda case: _in_order(case.name)))
    wanted = min(max(1, round(validation * len(people))), len(people) - 1) if validation > 0 else 0
    chosen = _blocks(len(people), wanted, random.Random(seed)) if wanted else set()
    training = (case for number, person in enumerate(people) if number not in chosen for case in person)
    kept_out = (case for number in sorted(chosen) for case in people[number])
    return tuple(training), tuple(kept_out)


def _people(cases: list[Case]) -> list[list[Case]]:
    """Cases grouped by who they are of, as far as names tell it; each alone where all would be one group."""
    groups = [list(group) for _, group in groupby(cases, key=lambda case: _who(case.name))]
    return groups if len(groups) > 1 else [[case] for case in cases]


def _who(name: str) -> str:
    found = _WHO.match(name)
    return found.group() if found else name


def _in_order(name: str) -> list[tuple[int, int, str]]:
    """Numbers in a name count as numbers: 9 comes before 10."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in re.split(r"(\d+)", name) if part
    ]


def _blocks(total: int, wanted: int, chance: random.Random) -> set[int]:
    blocks = max(1, round(wanted / BLOCK_CASES))
    chosen: set[int] = set()
    for block in range(blocks):
        first, end = (number * total // blocks for number in (block, block + 1))
        length = (block + 1) * wanted // blocks - block * wanted // blocks
        start = chance.randint(first, end - length)
        chosen.update(range(start, start + length))
    return chosen
