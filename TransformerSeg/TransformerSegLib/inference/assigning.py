"""Which volume is which input of a model, told by what the volumes are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from TransformerSegLib.errors import AssignmentUnclear

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Card, InputChannel


class Fit(NamedTuple):
    """How well a name fits an input: the higher, the better.

    Attributes:
        kind: one of the constants below; ``NO_FIT`` is 0.
        length: of the word that fits; 0 where the weighting does.
    """

    kind: int
    length: int = 0


NO_FIT = Fit(0)

WHOLE_WORD, SAME_WEIGHTING, WITHIN_A_WORD = 3, 2, 1
""" "t1" is a whole word of "T1 axial", has the weighting of "MPRAGE", and is only a part of "t1w"."""

SHORTEST_IN_THE_MIDDLE = 5
"""Letters of a hint that may stand in the middle of a word, as "flair" in "spcflair": "t1" is in "patient1", too."""


class Weighting(Enum):
    """The four images that a study of the brain has, and models for tumours take."""

    T1 = "T1"
    T1_WITH_CONTRAST = "T1 with contrast"
    T2 = "T2"
    FLAIR = "FLAIR"


# What scanners, people and the BraTS data sets call them (t1n, t1c, t2w, t2f; before 2023 t1, t1ce, t2, flair).
_T1 = re.compile(r"\bt1(?!\d)|mprage|\bbravo\b|\bspgr\b")
_T2 = re.compile(r"\bt2(?!\d)")
_FLAIR = re.compile(r"flair|\bt2f\b|\bdark ?fluid\b")
_CONTRAST = re.compile(r"\bt1 ?(c|ce|gd|post|km)\b|contrast|\bgad|\bgd\b|enhanced")
_NO_CONTRAST = re.compile(r"\b(pre|without|no|non) ?contrast|\b(un|non) ?enhanced")

_REGISTERED_TO = re.compile(r" (?:to|in|on) ")
"""What follows it is the image that another was registered to: "flair to t1"."""


@dataclass(frozen=True)
class Candidate:
    """A volume that may be an input.

    Attributes:
        name: what it is called, with all that tells it.
        beside_shown: it stands in the study of the volume that is shown.
        alike: with how many letters its name begins as that of the shown volume does: files of one patient are often
            named so.
        shown: it is that volume.
    """

    name: str
    beside_shown: bool = False
    alike: int = 0
    shown: bool = False


class Told(Enum):
    """How an assignment came about."""

    NAMED = "named"
    BY_NAME = "by name"
    AS_GIVEN = "as given"


@dataclass(frozen=True)
class Assignment:
    """Which of the volumes given is which input.

    Attributes:
        order: per input of the card, the number of the volume given for it, from 0.
        told: how that was found: all were named by the user; by what they are called; or by the order alone, since
            nothing that they are called fits any input.
    """

    order: tuple[int, ...]
    told: Told


def propose(candidates: Sequence[Candidate], channels: Sequence[InputChannel]) -> dict[str, int | None]:
    """A candidate for each input, where one suggests itself; never the same one twice.

    Those beside the shown volume go first; of these the one that fits best; of those that fit alike the one whose name
    begins most like that of the shown volume.

    Returns:
        channel name → number of the candidate, or None where a person has to choose.
    """
    ranked = []
    for number, candidate in enumerate(candidates):
        fits = _fits(candidate.name, channels)
        others = sum(fit > NO_FIT for fit in fits.values()) - 1
        for name, fit in fits.items():
            if fit > NO_FIT:
                rank = (candidate.beside_shown, fit.kind, -others, candidate.alike, fit.length, candidate.shown)
                ranked.append((rank, name, number))
    chosen: dict[str, int | None] = {channel.name: None for channel in channels}
    for _, name, number in sorted(ranked, key=itemgetter(0), reverse=True):
        if chosen[name] is None and number not in chosen.values():
            chosen[name] = number
    return chosen


def assign(given: Sequence[Sequence[str]], named: Mapping[str, int], card: Card) -> Assignment:
    """Tell the volumes given apart: by what the user named, else by what they are called.

    Args:
        given: per volume its names: the file's, the DICOM series'; as many volumes as the card has inputs.
        named: name of an input, as the card has it → number of the volume that the user named for it.

    Raises:
        AssignmentUnclear: some are told by their names and others are not, or two may be the same input.
    """
    channels = [channel for channel in card.inputs if channel.name not in named]
    rest = [number for number in range(len(given)) if number not in named.values()]
    found = {number: _told_by(given[number], channels) for number in rest}
    if not any(found.values()):
        chosen = {channel.name: number for channel, number in zip(channels, rest, strict=True)}
        told = Told.AS_GIVEN if rest else Told.NAMED
    else:
        chosen = _one_for_each(found, given, card)
        told = Told.BY_NAME
    chosen.update(named)
    return Assignment(tuple(chosen[channel.name] for channel in card.inputs), told)


def input_called(name: str, card: Card) -> str:
    """The input that a user means by a name: as the card has it, one of its hints, or another word for it.

    Raises:
        AssignmentUnclear: there is none, or more than one.
    """
    words = _normal(name)
    meant = [channel.name for channel in card.inputs if _normal(channel.name) == words]
    meant = meant or _best(_fits(name, card.inputs))
    if len(meant) != 1:
        listed = ", ".join(channel.name for channel in card.inputs)
        raise AssignmentUnclear(
            f"“{name}” may be {_or(meant)}" if meant else f"“{name}” is no input of “{card.title}”",
            why=f"its inputs are {listed}",
            remedy="Name one of these: --input NAME=FILE",
        )
    return meant[0]


def _told_by(names: Sequence[str], channels: Sequence[InputChannel]) -> list[str]:
    """The inputs that a volume may be by its names: none, one, or several where they leave it open."""
    best = [_best(_fits(name, channels)) for name in names]
    return list(dict.fromkeys(name for names in best for name in names))


def _one_for_each(found: Mapping[int, list[str]], given: Sequence[Sequence[str]], card: Card) -> dict[str, int]:
    """Input → number of its volume, if every volume is told.

    Raises:
        AssignmentUnclear: one is not.
    """
    chosen: dict[str, int] = {}
    for number, names in found.items():
        called = f"“{given[number][0]}”"
        if not names:
            raise _unclear(f"What {called} shows is not told by its name", card)
        if len(names) > 1:
            raise _unclear(f"By its name, {called} may be {_or(names)}", card)
        if names[0] in chosen:
            raise _unclear(f"By their names, “{given[chosen[names[0]]][0]}” and {called} are both {names[0]}", card)
        chosen[names[0]] = number
    return chosen


def _unclear(what: str, card: Card) -> AssignmentUnclear:
    names = [channel.name for channel in card.inputs]
    options = (f'--input "{name}=FILE"' if " " in name else f"--input {name}=FILE" for name in names)
    return AssignmentUnclear(
        what,
        why=f"“{card.title}” needs one volume for each of {', '.join(names)}, and a guess may be wrong",
        remedy=f"Name them: {' '.join(options)}",
    )


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)


def _fits(name: str, channels: Sequence[InputChannel]) -> dict[str, Fit]:
    words = _normal(name)
    weighting = _weighting(words)
    return {channel.name: _fit(channel, words, weighting) for channel in channels}


def _best(fits: Mapping[str, Fit]) -> list[str]:
    """The inputs that fit best; none where none fits."""
    best = max(fits.values(), default=NO_FIT)
    return [name for name, fit in fits.items() if fit == best > NO_FIT]


def _fit(channel: InputChannel, words: str, weighting: Weighting | None) -> Fit:
    """The best fit of an input's name and hints. What is of another weighting does not fit: "t1" is not "t1ce"."""
    fits = [NO_FIT]
    for hint in map(_normal, (channel.name, *channel.hints)):
        own = _weighting(hint)
        if not hint or (own and weighting and own is not weighting):
            continue
        if f" {hint} " in f" {words} ":
            fits.append(Fit(WHOLE_WORD, len(hint)))
        elif own and own is weighting:
            fits.append(Fit(SAME_WEIGHTING))
        elif _is_part(hint, words):
            fits.append(Fit(WITHIN_A_WORD, len(hint)))
    return max(fits)


def _is_part(hint: str, words: str) -> bool:
    """Whether a word begins with a hint, as "dwi1000" does with "dwi"; long ones may also stand within it."""
    goes_on = r"(?!\d)" if hint[-1].isdigit() else ""  # "b1" is not the beginning of "b1000"
    begins = "" if len(hint) >= SHORTEST_IN_THE_MIDDLE else r"\b"
    return re.search(f"{begins}{re.escape(hint)}{goes_on}", words) is not None


def _weighting(words: str) -> Weighting | None:
    """What a name says of the image's weighting. (GE's "T1 FLAIR" is T1-weighted.)"""
    words = _REGISTERED_TO.split(words)[0]
    contrast = _CONTRAST.search(words) and not _NO_CONTRAST.search(words)
    if _T1.search(words):
        return Weighting.T1_WITH_CONTRAST if contrast else Weighting.T1
    if _FLAIR.search(words):
        return Weighting.FLAIR
    if _T2.search(words):
        return Weighting.T2
    return Weighting.T1_WITH_CONTRAST if contrast else None


def _normal(text: str) -> str:
    """ "T1-weighted_ce" → "t1 weighted ce"."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))
