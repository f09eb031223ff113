"""Cases from what was corrected in Slicer: volumes, and beside them segmentations whose segments a person declared
completed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from TransformerSegLib.bundles.card import MAXIMUM_LABEL
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.inference.names import clean_name
from TransformerSegLib.inference.reading import name_of
from TransformerSegLib.training.cases import SEPARATORS, Case, ClassName, DataList, counted_cases, named_apart
from TransformerSegLib.training.data_folders import volume_files
from TransformerSegLib.training.segment_file import SUFFIX, FileSegment, read_segments

NAMES_LISTED = 5


def segment_files(folder: Path) -> list[Path]:
    """The ``.seg.nrrd`` files of a folder, at any depth, in the order of their names."""
    return [path for path in volume_files(folder, everywhere=True) if path.name.lower().endswith(SUFFIX)]


def read_corrected(folder: Path) -> DataList:
    """The reviewed cases of a folder: those of which every segment has the status “completed”.

    A volume belongs to the segmentation beside it that was made from it (which runs write into the file), whose name
    begins with the volume's, or that is the only one there. The classes are the segments' names, of all cases
    together; they are numbered as they first appear.

    Returns:
        All cases for training. Its notes name the segmentations that were left out, and why, and say how many were
        signed off.

    Raises:
        TrainingDataRejected: a file is damaged, a segmentation has no volume beside it, or none is reviewed.
    """
    files = segment_files(folder)
    cases, faults, waiting, classes, signed_off = [], [], [], {}, 0
    for file in files:
        try:
            segments = read_segments(file)
            images = _images_of(file, segments)
        except TrainingDataRejected as error:
            faults.append(error)
            continue
        undone = [segment.name for segment in segments if not segment.completed]
        if undone:
            waiting.append(f"“{file.name}” ({', '.join(undone[:NAMES_LISTED])} not completed)")
            continue
        cases.append(Case(images, file, _case_name(file, images)))
        signed_off += all(segment.signed_off for segment in segments)
        for segment in segments:
            classes.setdefault(segment.name, segment)
    if faults:
        raise TrainingDataRejected(
            faults[0].what, why=faults[0].why, remedy=faults[0].remedy, details=[fault.what for fault in faults[1:]]
        )
    if not cases:
        raise TrainingDataRejected(
            f"None of the {len(files)} segmentations in “{folder.name}” is reviewed",
            why="a case is trained on where all of its segments have the status “completed”",
            remedy="In Slicer's Segment Editor, set the status of every segment that is right to “completed”, and save",
            details=waiting,
        )
    return DataList(
        named_apart(cases, folder),
        (),
        folder.resolve().name,
        "",
        folder,
        _classes(classes),
        (*_left_out(waiting), *_signed_off(signed_off, len(cases))),
    )


def classes_of_segments(files: Iterable[Path]) -> tuple[ClassName, ...]:
    """The classes that segmentations have together, numbered as they first appear.

    Raises:
        TrainingDataRejected: a file is damaged.
    """
    segments: dict[str, FileSegment] = {}
    for file in files:
        for segment in read_segments(file):
            segments.setdefault(segment.name, segment)
    return _classes(segments)


def _left_out(waiting: list[str]) -> tuple[str, ...]:
    if not waiting:
        return ()
    more = f" and {len(waiting) - NAMES_LISTED} more" if len(waiting) > NAMES_LISTED else ""
    are = "segmentation is" if len(waiting) == 1 else "segmentations are"
    return (f"{len(waiting)} {are} left out, not reviewed yet: {'; '.join(waiting[:NAMES_LISTED])}{more}",)


def _signed_off(number: int, cases: int) -> tuple[str, ...]:
    if not number:
        return ()
    return (f"{number} of {counted_cases(cases)} {'is' if number == 1 else 'are'} signed off",)


def _classes(segments: dict[str, FileSegment]) -> tuple[ClassName, ...]:
    if len(segments) > MAXIMUM_LABEL:
        raise TrainingDataRejected(
            f"The segments have {len(segments)} names",
            why=f"labels go to {MAXIMUM_LABEL}",
            remedy="Give the segments of one class the same name in all cases",
        )
    return tuple(
        ClassName(label, name, tuple(min(1.0, max(0.0, part)) for part in segment.color))
        for label, (name, segment) in enumerate(segments.items(), start=1)
    )


def _images_of(file: Path, segments: tuple[FileSegment, ...]) -> tuple[Path, ...]:
    """The volumes that a segmentation is of.

    Raises:
        TrainingDataRejected: nothing tells which of the volumes beside it, or there is none.
    """
    beside = [path for path in volume_files(file.parent) if not path.name.lower().endswith(SUFFIX)]
    name_of_file = _stem(file)
    by_name: dict[str, list[Path]] = {}
    for path in beside:
        by_name.setdefault(name_of(path), []).append(path)
    made_from = next((segment.inputs for segment in segments if segment.inputs), ())
    if len(made_from) > 1 and all(len(by_name.get(clean_name(name), ())) == 1 for name in made_from):
        return tuple(by_name[clean_name(name)][0] for name in made_from)
    fitting = [path for path in beside if _begins_with(name_of_file, name_of(path))]
    if fitting:
        longest = max(len(name_of(path)) for path in fitting)
        fitting = [path for path in fitting if len(name_of(path)) == longest]
    elif len(made_from) == 1 and clean_name(made_from[0]) in by_name:
        fitting = by_name[clean_name(made_from[0])]
    elif len(list(file.parent.glob(f"*{SUFFIX}"))) == 1:
        fitting = beside
    if len(fitting) == 1 or (fitting and len(fitting) == len(beside)):
        return tuple(fitting)
    raise TrainingDataRejected(
        f"“{file.name}” has no volume beside it" if not beside else f"Nothing tells which volume “{file.name}” is of",
        why="a volume and its segments go together by their files' names",
        remedy=f"Save the volume beside it as “{name_of_file}.nrrd”",
    )


def _begins_with(name: str, beginning: str) -> bool:
    rest = name[len(beginning) :]
    return name.startswith(beginning) and (not rest or rest[0] in SEPARATORS)


def _case_name(file: Path, images: tuple[Path, ...]) -> str:
    return name_of(images[0]) if len(images) == 1 else _stem(file)


def _stem(file: Path) -> str:
    return clean_name(file.name[: -len(SUFFIX)])
