"""The cases of a training run: a data list as the Medical Segmentation Decathlon writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from TransformerSegLib.errors import TrainingDataRejected


@dataclass(frozen=True)
class Case:
    """One image and its labels, on the same grid."""

    image: Path
    label: Path


@dataclass(frozen=True)
class DataList:
    """The cases of a run, and what its data list says of them.

    Attributes:
        training, validation: disjoint; validation may be empty.
        name: of the data set.
        licence: of the data set.
        root: folder that the list's relative paths start from.
    """

    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    name: str
    licence: str
    root: Path


def read_data_list(path: Path, root: Path | None = None) -> DataList:
    """Read a decathlon-style data list: keys "training", "validation" (each a list of {"image", "label"}), "name",
    "licence".

    Args:
        path: the JSON file.
        root: folder that the file's relative paths start from; by default the file's own.

    Raises:
        TrainingDataRejected: the list is unreadable or incomplete, a file is missing, or a case stands on both sides.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        root = path.parent if root is None else root
        sides = {side: _cases(content.get(side, []), root) for side in ("training", "validation")}
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
            remedy="Add cases to the list “training”",
        )
    trained, kept_out = ({case.image.resolve() for case in sides[side]} for side in ("training", "validation"))
    if both := trained & kept_out:
        raise TrainingDataRejected(
            f"“{min(both).name}” is listed for training and for validation",
            why="a case that was trained on measures nothing",
            remedy="Take it out of one of the two lists",
        )
    name, licence = (str(content.get(field, "")) for field in ("name", "licence"))
    return DataList(sides["training"], sides["validation"], name, licence, root)


def check_cases(cases: Sequence[Case], classes: int) -> None:
    """Read every case once, and refuse what would spoil the training unseen.

    Args:
        cases: to be checked.
        classes: how many classes there are, background not counted; labels are 0…classes.

    Raises:
        TrainingDataRejected: image and labels lie on different grids, labels are not whole numbers or outside the
            classes, or voxels are not finite.
    """
    import numpy as np

    from TransformerSegLib.errors import TransformerSegError
    from TransformerSegLib.inference.checks import check_volume
    from TransformerSegLib.inference.reading import read_volume

    for case in cases:
        try:
            image, label = read_volume(case.image), read_volume(case.label)
            check_volume(image)
        except TransformerSegError as error:
            raise TrainingDataRejected(error.what, why=error.why, remedy=error.remedy) from error
        if image.array.shape != label.array.shape or not np.allclose(image.affine, label.affine, atol=1e-3):
            raise TrainingDataRejected(
                f"“{case.image.name}” and its labels lie on different grids",
                why=f"{image.array.shape} and {label.array.shape} voxels, or their affines differ",
                remedy="Resample the labels to the image's grid",
            )
        values = np.unique(label.array)
        if not set(values.tolist()) <= set(range(classes + 1)):
            raise TrainingDataRejected(
                f"“{case.label.name}” holds the labels {', '.join(f'{value:g}' for value in values[:8])}",
                why=f"the model has the classes 0 (background) to {classes}",
                remedy="Relabel the file, or name all classes",
            )


def _cases(entries: list, root: Path) -> tuple[Case, ...]:
    cases = tuple(Case(root / entry["image"], root / entry["label"]) for entry in entries)
    for case in cases:
        for file in (case.image, case.label):
            if not file.is_file():
                raise FileNotFoundError(file)
    return cases
