"""What a training run is made of: cases, their classes, and the list of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from TransformerSegLib.inference.names import clean_name
from TransformerSegLib.inference.reading import name_of

SEPARATORS = ("", "_", "-", ".", " ")
"""What parts of a file's name are set off by; or its end."""


@dataclass(frozen=True)
class ClassName:
    """One class of a data set.

    Attributes:
        label: its value in label arrays; 1 or more.
        name: for people.
        color: red, green, blue, each 0…1.
    """

    label: int
    name: str
    color: tuple[float, float, float]


@dataclass(frozen=True)
class Case:
    """What was seen of one person at one time, and its labels.

    Attributes:
        images: one file for each input of the model, in the model's order. One path alone is taken as one image.
        label: of the labels, which lie on the first image's grid; None where there are none.
        name: for people; where none is given what the images' names have in common.
    """

    images: tuple[Path, ...]
    label: Path | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.images, Path):
            object.__setattr__(self, "images", (self.images,))
        if not self.name:
            object.__setattr__(self, "name", _common_name(self.images))

    @property
    def image(self) -> Path:
        """The first image."""
        return self.images[0]


@dataclass(frozen=True)
class DataList:
    """The cases of a run, and what its source says of them.

    Attributes:
        training, validation: disjoint; validation may be empty.
        name: of the data set.
        licence: of the data set.
        root: folder that the cases lie in.
        classes: by rising label; empty where the source names none.
        notes: sentences on what a person should know of it: what was left out, and how it was divided.
    """

    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    name: str
    licence: str
    root: Path
    classes: tuple[ClassName, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cases(self) -> tuple[Case, ...]:
        """All of them, those for training first."""
        return self.training + self.validation


def counted_cases(number: int) -> str:
    """ "1 case", "3 cases"."""
    return f"{number} case{'s' * (number != 1)}"


def named_apart(cases: Sequence[Case], root: Path) -> tuple[Case, ...]:
    """The same cases; where some have one name, their folders within ``root`` are put before it, and where that does
    not tell them apart, since they are of one image, they are numbered."""
    seen = Counter(case.name for case in cases)
    names = [case.name if seen[case.name] == 1 else clean_name(_within(case.image, root).as_posix()) for case in cases]
    told: Counter[str] = Counter()
    apart = []
    for case, name in zip(cases, names, strict=True):
        told[name] += 1
        apart.append(replace(case, name=name if told[name] == 1 else f"{name} ({told[name]})"))
    return tuple(apart)


def _within(path: Path, root: Path) -> Path:
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return inside.with_name(name_of(inside))


def _common_name(images: Sequence[Path]) -> str:
    """ "BraTS-0001" of "BraTS-0001-t1c.nii.gz" and "BraTS-0001-t1n.nii.gz"; of one image all of its name."""
    names = [name_of(image) for image in images]
    if len(set(names)) == 1:
        return names[0]
    alike = "".join(
        letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    )
    if not all(name[len(alike) :][:1] in SEPARATORS for name in names):  # it ends within a word
        alike = alike[: max((alike.rfind(separator) for separator in SEPARATORS[1:]), default=-1) + 1]
    return alike.rstrip("".join(SEPARATORS)) or clean_name(images[0].parent.name) or names[0]
