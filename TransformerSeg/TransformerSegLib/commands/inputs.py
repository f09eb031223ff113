"""The volumes of a study, as they are given on the command line: which files, and which input of the model each is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.errors import AssignmentUnclear, SeriesNotFound
from TransformerSegLib.inference.assigning import Assignment, Told, assign, input_called

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Card
    from TransformerSegLib.inference.volume import Volume

_HOW_TOLD = {
    Told.NAMED: "The inputs, as you named them:",
    Told.BY_NAME: "The inputs, told by their names (otherwise name them: --input NAME=FILE):",
    Told.AS_GIVEN: "The inputs in the order given, since no name tells them apart (otherwise: --input NAME=FILE):",
}


@dataclass(frozen=True)
class Given:
    """What was given for one input.

    Attributes:
        path: a file or a folder.
        called: what stood before it in --input NAME=FILE; None where nothing did.
    """

    path: Path
    called: str | None = None


@dataclass(frozen=True)
class Study:
    """What was read.

    Attributes:
        inputs: names of the model's inputs.
        given, volumes: for each of them, in this order.
        told: how it was found which is which.
        series: for each of them, which series of its folder was wanted; None where nothing was said.
    """

    inputs: tuple[str, ...]
    given: tuple[Given, ...]
    volumes: tuple[Volume, ...]
    told: Told
    series: tuple[str | None, ...]

    def in_words(self) -> Iterator[str]:
        """Lines on the volumes; where there are several, on which is which, and how that was found."""
        several = len(self.inputs) > 1
        if several:
            yield _HOW_TOLD[self.told]
        for name, given, volume in zip(self.inputs, self.given, self.volumes, strict=True):
            spacing = "×".join(f"{length:.3g}" for length in volume.spacing)
            modality = f", {volume.modality}" if volume.modality else ""
            called = f"  {name} ← {_place_in_words(given, volume)}" if several else volume.name
            yield f"{called}: {'×'.join(map(str, volume.array.shape))} voxels of {spacing} mm{modality}"


def given_inputs(paths: Sequence[Path], named: Sequence[str]) -> list[Given]:
    """Those without a name, and then those with one.

    Args:
        named: NAME=FILE, as --input has it.

    Raises:
        AssignmentUnclear: one has no name, or no file.
    """
    return [Given(path) for path in paths] + [_named(text) for text in named]


def check_given(given: Sequence[Given], card: Card) -> None:
    """What can be known before anything is read.

    Raises:
        WrongNumberOfInputs: there are more or fewer than the model takes.
        AssignmentUnclear: there is no input of a name, or one is named twice.
        SameVolumeTwice: one file is given for two inputs. (A folder may hold several series.)
    """
    from TransformerSegLib.inference.belonging import given_twice
    from TransformerSegLib.inference.checks import check_number_of_inputs

    check_number_of_inputs(given, card)
    _numbers(given, card)
    seen = set()
    for one in given:
        place = os.path.realpath(one.path)
        if place in seen and not os.path.isdir(place):
            raise given_twice(one.path.name)
        seen.add(place)


def read_study(given: Sequence[Given], series: Sequence[str], card: Card) -> Study:
    """Read the volumes, and tell which is which input.

    Args:
        given: see ``check_given``.
        series: which series of the folders, as --series has it.

    Raises:
        SeriesNotFound: there is no folder, or there are more or fewer names of series than folders.
        AssignmentUnclear: see ``assigning.assign``.
        InputRejected: a volume cannot be read, see ``read_volume``.
    """
    from TransformerSegLib.inference.reading import name_of, read_volume

    paths = _with_series(given, series)
    volumes = [read_volume(path, wanted) for path, wanted in paths]
    names = [(name_of(one.path), volume.origin.description) for one, volume in zip(given, volumes, strict=True)]
    assignment = _assignment(names, given, card)
    return Study(
        tuple(channel.name for channel in card.inputs),
        tuple(given[number] for number in assignment.order),
        tuple(volumes[number] for number in assignment.order),
        assignment.told,
        tuple(paths[number][1] for number in assignment.order),
    )


def _assignment(names: Sequence[Sequence[str]], given: Sequence[Given], card: Card) -> Assignment:
    if len(card.inputs) == 1:
        return Assignment((0,), Told.AS_GIVEN)
    return assign(names, _numbers(given, card), card)


def _numbers(given: Sequence[Given], card: Card) -> dict[str, int]:
    """Input of the card → the number of what was given for it by its name."""
    numbers: dict[str, int] = {}
    for number, one in enumerate(given):
        if one.called is None:
            continue
        name = input_called(one.called, card)
        if name in numbers:
            raise AssignmentUnclear(
                f"{name} is named twice",
                why="the model takes one volume for it",
                remedy="Give each input once with --input",
            )
        numbers[name] = number
    return numbers


def _with_series(given: Sequence[Given], series: Sequence[str]) -> list[tuple[Path, str | None]]:
    """Each path, and which series of it is wanted: one name goes for all folders, several go one for each."""
    paths = [one.path for one in given]
    # What is not there at all is for the reading to say.
    folders = [path for path in paths if os.path.isdir(path) or not os.path.exists(path)]
    if series and not folders:
        raise SeriesNotFound(
            f"--series {series[0]} was given, and “{paths[0].name}” is not a DICOM folder",
            why="only in a folder are there series to choose from",
            remedy="Leave --series out, or give the DICOM folder",
        )
    if len(series) > 1 and len(series) != len(folders):
        raise SeriesNotFound(
            f"--series was given {len(series)} times, for {len(folders)} DICOM folder{'s' * (len(folders) > 1)}",
            why="it is not clear which of them belongs to which folder",
            remedy="Give it once for all folders, or once for each in their order",
        )
    wanted = iter(series if len(series) > 1 else [*series] * len(folders))
    return [(path, next(wanted, None) if path in folders else None) for path in paths]


def _place_in_words(given: Given, volume: Volume) -> str:
    """ "t2f.nii.gz", or of a DICOM folder "study (AX T2 FLAIR)"."""
    from TransformerSegLib.inference.names import shown

    name = shown(given.path)
    return f"{name} ({volume.name})" if os.path.isdir(given.path) and volume.name != name else name


def _named(text: str) -> Given:
    name, _, path = text.partition("=")
    if not name.strip() or not path:
        raise AssignmentUnclear(
            f"“{text}” does not say which input of the model it is",
            why="--input takes a name and a file",
            remedy="Write it as NAME=FILE, for example FLAIR=t2f.nii.gz",
        )
    return Given(Path(path), name.strip())
