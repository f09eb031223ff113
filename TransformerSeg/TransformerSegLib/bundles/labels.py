"""The file that names a model's classes (labels.json), in any of the forms that such files have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from TransformerSegLib.bundles.card import SegmentClass
from TransformerSegLib.bundles.configuration import distinct
from TransformerSegLib.bundles.fields import BACKGROUND, plain
from TransformerSegLib.bundles.metadata import color
from TransformerSegLib.errors import LabelsRejected
from TransformerSegLib.networks.file_text import quoted

MAXIMUM_FILE_BYTES = 16 * 1024**2

IGNORED = "ignore"
"""What nnU-Net calls voxels that are not to be learned; no channel scores them."""

CODED = ("category", "type", "modifier")
COLOR_STEPS = 255
"""Colours with a number above 1 are counted in 255ths."""

FORMS = '{"spleen": 1, …}, {"1": "spleen", …}, a list of names, a dataset.json, or a list of objects as in a card'


@dataclass(frozen=True)
class Label:
    """One class as a file names it.

    Attributes:
        name: for people.
        number: in label files; None where the file only lists names.
        channel: of the network's output; None where the file does not say.
        more: colour and codes, as in ``SegmentClass``; may be empty.
    """

    name: str
    number: int | None = None
    channel: int | None = None
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_background(self) -> bool:
        return self.name.casefold() == BACKGROUND


def read_labels(path: Path) -> tuple[Label, ...]:
    """The classes in the file's order, background included where the file names it.

    Raises:
        LabelsRejected: the file cannot be read, or has none of the known forms.
    """
    if not path.exists():
        raise LabelsRejected(
            f"The labels “{path.name}” do not exist",
            why="they say what the network's channels are",
            remedy="Check how the path is spelt",
        )
    try:
        if not path.is_file():
            raise ValueError("it is not a file")
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise ValueError(f"it is larger than {MAXIMUM_FILE_BYTES // 1024**2} MB")
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=distinct)
        labels = _labels(content)
    except OSError as error:
        raise _rejected(path, error.strerror or str(error)) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise _rejected(path, str(error) or "it is nested too deeply") from None
    if not any(not label.is_background for label in labels):
        raise _rejected(path, "it names no class")
    return labels


def segment_classes(labels: Sequence[Label], channels: int, *, exclusive: bool) -> tuple[SegmentClass, ...]:
    """The classes of a network's card.

    Args:
        labels: as ``read_labels`` gives them.
        channels: of the network's output.
        exclusive: a voxel takes the one class with the highest score, and channel 0 is background. Otherwise each
            channel is a class of its own, and there is no background.

    Raises:
        LabelsRejected: there are more or fewer classes than channels, two have the same number, or one has none of the
            network's channels.
    """
    named = [label for label in labels if not label.is_background]
    expected = channels - exclusive
    if len(named) != expected:
        raise LabelsRejected(
            f"The labels name {_classes(len(named))}, and the network scores {_classes(expected)}",
            why=f"it has {channels} output channels, {_background(channels, exclusive)}",
            remedy=f"Name {_classes(expected)} in the labels file, in the order of the channels",
        )
    if all(label.number is not None for label in named):
        named.sort(key=lambda label: (label.number, label.name))
    if not exclusive and any(label.number == 0 for label in named):
        # Numbered by channel: 0 marks what is none of them.
        named = [replace(label, number=None if label.number is None else label.number + 1) for label in named]
    classes = tuple(_segment_class(label, place, exclusive) for place, label in enumerate(named))
    _check(classes, channels, exclusive)
    return classes


def are_exclusive(labels: Sequence[Label], channels: int, usually: bool) -> bool:
    """Whether a network's classes exclude each other: then its first channel is the background, which has no name.

    Args:
        labels: as ``read_labels`` gives them.
        channels: of the network's output.
        usually: what holds for networks like it; the number of names decides otherwise where it is plain.
    """
    named = sum(not label.is_background for label in labels)
    return channels > 1 and (usually or named == channels - 1)


def _labels(content: object) -> tuple[Label, ...]:
    if isinstance(content, Mapping):
        for name in ("labels", "classes"):
            if isinstance(content.get(name), Mapping | list):
                return _labels(content[name])
        pairs = [_pair(name, value) for name, value in content.items() if name.casefold() != IGNORED]
        labels = tuple(Label(_name(name), number) for name, number in pairs)
        # nnU-Net's regions are listed in the order of their channels
        regions = any(number is None for _, number in pairs)
        return tuple(Label(label.name) for label in labels) if regions else tuple(map(_zero_is_background, labels))
    if isinstance(content, list):
        return tuple(_record(entry) if isinstance(entry, Mapping) else Label(_name(entry)) for entry in content)
    raise ValueError("it holds neither an object nor a list")


def _pair(name: str, value: object) -> tuple[object, int | None]:
    """Name and number, whichever of the two is the key."""
    if isinstance(value, bool):
        raise ValueError(f"{quoted(name)} has the number {value}")
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return name, _number(int(value), name)
    if isinstance(value, list) and value and all(isinstance(part, int) for part in value):
        return name, None
    if isinstance(value, str) and value.strip().isdecimal() and not name.strip().isdecimal():
        return name, _number(int(value), name)
    if isinstance(value, str) and name.strip().isdecimal():
        return value, _number(int(name), value)
    raise ValueError(f"{quoted(name)}: {quoted(value)} is neither a name with its number nor a number with its name")


def _number(number: int, name: object) -> int:
    if number < 0:
        raise ValueError(f"{quoted(name)} has the number {number}")
    return number


def _name(value: object) -> str:
    name = plain(value) if isinstance(value, str) else ""
    if not name:
        raise ValueError(f"{quoted(value)} is no name of a class")
    return str(name)


def _zero_is_background(label: Label) -> Label:
    """Number 0 is background under names such as “void” and “bg” too, but not where it is a class that is named."""
    aliases = ("bg", "void", "none", "0", "clear", "unlabeled", "unlabelled", "back ground", "other")
    return Label(BACKGROUND, 0) if label.number == 0 and label.name.casefold() in aliases else label


def _record(entry: Mapping[str, object]) -> Label:
    unknown = entry.keys() - {"name", "label", "channel", "color", *CODED}
    if unknown:
        raise ValueError(f"{quoted(min(unknown))} is not known in the entry of {quoted(entry.get('name'))}")
    numbers = [entry.get("label"), entry.get("channel")]
    if any(isinstance(number, bool) or not isinstance(number, int | None) for number in numbers):
        raise ValueError(f"label and channel of {quoted(entry.get('name'))} are not whole numbers")
    more = {name: entry[name] for name in CODED if entry.get(name) is not None}
    if isinstance(entry.get("color"), list):
        parts = entry["color"]
        counted = any(isinstance(part, int | float) and part > 1 for part in parts)
        more["color"] = [part / COLOR_STEPS for part in parts] if counted else parts
    return Label(_name(entry.get("name")), *numbers, more)


def _segment_class(label: Label, place: int, exclusive: bool) -> SegmentClass:
    """``place`` is counted from 0 among the classes, in the order of their numbers."""
    channel = place + exclusive if label.channel is None else label.channel
    number = place + 1 if label.number is None else label.number
    if exclusive and label.channel is None and number != channel:
        raise LabelsRejected(
            f"The labels give {quoted(label.name)} the number {number}, where {channel} is the next",
            why="the network scores a class on the channel of its number, and channel 0 is the background",
            remedy="Number the classes from 1 on without a gap, or give each an object with name, label and channel",
        )
    try:
        return SegmentClass.model_validate(
            {"name": label.name, "label": number, "channel": channel, "color": color(place), **label.more}
        )
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise LabelsRejected(
            f"The labels' entry of {quoted(label.name)} cannot be used ({where}: {fault['msg']})",
            why="an entry has name, label, channel, color and the codes category, type and modifier",
            remedy="Correct it in the labels file",
        ) from None


def _check(classes: Sequence[SegmentClass], channels: int, exclusive: bool) -> None:
    for what in ("name", "label", "channel"):
        values = [getattr(each, what) for each in classes]
        doubled = next((value for value in values if values.count(value) > 1), None)
        if doubled is not None:
            raise LabelsRejected(
                f"Two classes in the labels have the {what} {quoted(str(doubled))}",
                why="each class is told from the others by it",
                remedy=f"Give every class a {what} of its own",
            )
    outside = next((each for each in classes if not exclusive <= each.channel < channels), None)
    if outside is not None:
        raise LabelsRejected(
            f"The labels put {quoted(outside.name)} on channel {outside.channel}",
            why=f"the network has {channels} output channels, {_background(channels, exclusive)}",
            remedy="Correct its channel in the labels file",
        )


def _background(channels: int, exclusive: bool) -> str:
    return "counted from 0, and the first is the background" if exclusive else "each of them a class of its own"


def _classes(number: int) -> str:
    return "1 class" if number == 1 else f"{number} classes"


def _rejected(path: Path, fault: str) -> LabelsRejected:
    return LabelsRejected(
        f"The labels “{path.name}” cannot be read ({fault})",
        why="they say what the network's channels are",
        remedy=f"Write them as {FORMS}",
    )
