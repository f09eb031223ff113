"""The cases of a training run, from wherever they are kept, and the list of them as the Decathlon writes it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.training.cases import Case, DataList, counted_cases, named_apart
from TransformerSegLib.training.corrected import classes_of_segments, read_corrected, segment_files
from TransformerSegLib.training.data_folders import (
    cases_of_pair,
    described,
    images_alone,
    pair_of_folders,
    side_by_side,
)
from TransformerSegLib.training.named_classes import named_classes
from TransformerSegLib.training.segment_file import SUFFIX
from TransformerSegLib.training.validation_split import split


def read_data(path: Path, *, validation: float = 0.2, seed: int = 0, need_labels: bool = True) -> DataList:
    """Read the cases of a data set, however it is kept.

    Args:
        path: a decathlon-style JSON list (``read_data_list``); a folder with ``imagesTr`` and ``labelsTr``, as the
            Medical Segmentation Decathlon and nnU-Net have it, or with ``images`` and ``labels``; a folder of volumes
            and what was corrected on them in Slicer (``read_corrected``), or of volumes with their labels beside them
            (``side_by_side``); or, where no labels are needed, any folder of volumes.
        validation: the share that is kept out of training where the source does not say which (``split``).
        seed: of that division.
        need_labels: False for pretraining, which looks at the images alone.

    Raises:
        TrainingDataRejected: there is no such data, files are missing or have no partner, or a case is on both sides.
    """
    if path.is_file():
        data = read_data_list(path, need_labels=need_labels)
    elif path.is_dir():
        data = _read_folder(path, need_labels)
    else:
        raise TrainingDataRejected(
            f"“{path}” does not exist", why="there is nothing to read", remedy="Check how the path is spelt"
        )
    data = _with_classes(data)
    if data.validation or not validation:
        return data
    training, kept_out = split(data.training, validation, seed)
    names = f"{kept_out[0].name} … {kept_out[-1].name}" if len(kept_out) > 1 else "".join(c.name for c in kept_out)
    are = "is" if len(kept_out) == 1 else "are"
    note = f"{len(kept_out)} of {counted_cases(len(data.training))} {are} kept out of training, in blocks of "
    note += f"neighbours: {names}"
    return replace(data, training=training, validation=kept_out, notes=(*data.notes, *([note] if kept_out else [])))


def _with_classes(data: DataList) -> DataList:
    """Where nothing else names the classes, those that segments name.

    Raises:
        TrainingDataRejected: a file is damaged, or others hold numbers, and nothing tells which names those have.
    """
    labels = [case.label for case in data.cases if case.label]
    files = [label for label in labels if label.name.lower().endswith(SUFFIX)]
    if data.classes or not files:
        return data
    if len(files) < len(labels):
        numbered = next(label for label in labels if label not in files)
        raise TrainingDataRejected(
            f"“{files[0].name}” holds segments with names, and “{numbered.name}” numbers",
            why="nothing tells which number is which segment",
            remedy="Name the classes in a JSON list, under “labels”, or save all labels as .seg.nrrd",
        )
    return replace(data, classes=classes_of_segments(files))


def _read_folder(folder: Path, need_labels: bool) -> DataList:
    if pair := pair_of_folders(folder):
        return described(folder, cases_of_pair(*pair, need_labels))
    if not need_labels:
        return images_alone(folder)
    if segment_files(folder):
        return read_corrected(folder)
    if data := side_by_side(folder):
        return data
    raise TrainingDataRejected(
        f"“{folder}” holds no labelled cases",
        why="they are expected in folders “imagesTr” and “labelsTr” or “images” and “labels”, or as volumes with "
        "their labels (NAME_label.nii.gz) or Slicer's segmentations (.seg.nrrd) beside them",
        remedy="Arrange the files so, or name a JSON list of them",
    )


def read_data_list(path: Path, root: Path | None = None, *, need_labels: bool = True) -> DataList:
    """Read a decathlon-style data list: keys "training", "validation" (each a list of {"image", "label"}), "name",
    "licence", "labels" (the classes' names).

    Args:
        path: the JSON file. An "image" is one path, or a list of them for a model with several inputs.
        root: folder that the file's relative paths start from; by default the file's own.
        need_labels: whether a case without "label" is refused.

    Raises:
        TrainingDataRejected: the list is unreadable or incomplete, a file is missing, or a case stands on both sides.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        root = path.parent if root is None else root
        sides = {side: _cases(content.get(side, []), root, need_labels) for side in ("training", "validation")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingDataRejected(
            f"The data list “{path}” cannot be read",
            why=f"{type(error).__name__}: {error}",
            remedy="Give a JSON file with a list “training” of objects with “image” and “label”",
        ) from error
    if not sides["training"]:
        raise TrainingDataRejected(
            f"The data list “{path.name}” has no training case",
            why="its list “training” is missing or empty",
            remedy="Add cases to it, or name the folder that the images lie in",
        )
    refuse_missing(path.name, (*sides["training"], *sides["validation"]))
    refuse_cases_on_both_sides(sides["training"], sides["validation"])
    name, licence = (_text(content, *fields) for fields in (("name",), ("licence", "license")))
    classes = named_classes(path) if isinstance(content.get("labels"), Mapping | list) else ()
    return DataList(sides["training"], sides["validation"], name, licence, root, classes)


def refuse_missing(source: str, cases: Iterable[Case]) -> None:
    """Raises:
    TrainingDataRejected: files of the cases are not there; all of them are named.
    """
    files = (file for case in cases for file in (*case.images, *([case.label] if case.label else [])))
    missing = [str(file) for file in dict.fromkeys(files) if not file.is_file()]
    if missing:
        raise TrainingDataRejected(
            f"“{source}” names “{missing[0]}”" + (f" and {len(missing) - 1} more files" if len(missing) > 1 else ""),
            why="what does not exist cannot be read",
            remedy="Check the folder that the list's paths start from",
            details=missing[1:],
        )


def refuse_cases_on_both_sides(training: Iterable[Case], validation: Iterable[Case]) -> None:
    """Raises:
    TrainingDataRejected: an image file is on both sides, maybe by links; all of them are named.
    """
    trained, kept_out = (
        {os.path.realpath(file) for case in side for file in case.images} for side in (training, validation)
    )
    if both := sorted(Path(file).name for file in trained & kept_out):
        raise TrainingDataRejected(
            f"“{both[0]}” is listed for training and for validation",
            why="a case that was trained on measures nothing",
            remedy="Take it out of one of the two lists",
            details=[f"so is “{name}”" for name in both[1:]],
        )


def _cases(entries: list, root: Path, need_labels: bool) -> tuple[Case, ...]:
    return named_apart([_case(entry, root, need_labels) for entry in entries], root)


def _case(entry: str | Mapping, root: Path, need_labels: bool) -> Case:
    if isinstance(entry, str) and not need_labels:  # as the decathlon lists what it has no labels of
        return Case((root / entry,))
    images = [entry["image"]] if isinstance(entry["image"], str) else list(entry["image"])
    if not images:
        raise ValueError("a case has no image")
    label = entry["label"] if need_labels else entry.get("label")
    return Case(tuple(root / image for image in images), None if label is None else root / label)


def _text(content: Mapping, *fields: str) -> str:
    return next((str(content[field]) for field in fields if content.get(field) is not None), "")
