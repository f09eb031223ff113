"""Cases from folders: as the Medical Segmentation Decathlon and nnU-Net arrange them, two folders, or images alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.inference.names import clean_name
from TransformerSegLib.inference.reading import METAIMAGE_SUFFIXES, NIFTI_SUFFIXES, NRRD_SUFFIXES, name_of
from TransformerSegLib.training.cases import Case, ClassName, DataList, named_apart
from TransformerSegLib.training.named_classes import named_classes
from TransformerSegLib.training.segment_file import SUFFIX as SEGMENTS_SUFFIX

DATASET = "dataset.json"
PAIRS = (("imagesTr", "labelsTr"), ("images", "labels"))
"""Folders of images and of labels, as they are called beside each other."""

LABEL_WORDS = ("label", "labels", "seg", "segmentation", "mask")
LABEL_ENDINGS = tuple(f"{separator}{word}" for word in LABEL_WORDS for separator in "_-")
"""What labels are called, after the image's name."""

NAMES_LISTED = 5
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *NRRD_SUFFIXES, *METAIMAGE_SUFFIXES)

_CHANNEL = re.compile(r"_(\d{4})$")
"""nnU-Net's: “_0000” is the first input, “_0001” the second."""


def pair_of_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of labels within a folder; None where it has none, or only one of them."""
    for names in PAIRS:
        images, labels = (folder / name for name in names)
        if images.is_dir() and labels.is_dir():
            return images, labels
    return None


def cases_of_pair(images: Path, labels: Path, need_labels: bool) -> tuple[Case, ...]:
    """Images and labels of the same name, after which labels may have one of ``LABEL_ENDINGS``; several images of one
    name but for nnU-Net's number at its end are the inputs of one case.

    Raises:
        TrainingDataRejected: an image has no labels, where they are needed, or labels have no image; all are named.
    """
    files = volume_files(images)
    label_of = _labels_by_case(volume_files(labels), {name_of(path) for path in files})
    inputs_of = _inputs(files, label_of)
    without = [name for name in inputs_of if name not in label_of] if need_labels else []
    alone = [path.name for name, path in label_of.items() if name not in inputs_of]
    faults = [f"“{name}” has no labels in “{labels.name}”" for name in without]
    faults += [f"“{name}” has no image in “{images.name}”" for name in alone]
    if faults:
        raise TrainingDataRejected(
            faults[0] + (f", and {len(faults) - 1} more files have no partner" if len(faults) > 1 else ""),
            why="images and labels go together by their files' names",
            remedy="Give both the same name, or take out the one that is alone",
            details=faults[1:],
        )
    return tuple(Case(paths, label_of.get(name), name) for name, paths in inputs_of.items())


def side_by_side(folder: Path) -> DataList | None:
    """Images of a folder whose labels lie beside them, as ``NAME.nii.gz`` and ``NAME_label.nii.gz``; its notes name the
    others, which are left out. None where there is no such case.
    """
    files = {name_of(path): path for path in volume_files(folder) if not _is_segments(path)}
    label_of = {image: label for name, label in files.items() if (image := _labelled(name)) in files}
    if not label_of:
        return None
    data = described(folder, [Case((files[image],), label) for image, label in label_of.items()])
    alone = [path.name for name, path in files.items() if name not in label_of and path not in label_of.values()]
    return replace(data, notes=_left_out(alone, "without a partner"))


def images_alone(folder: Path) -> DataList:
    """Every volume in a folder, at any depth, as a case without labels; files that are labels by their names
    (``LABEL_WORDS``) are left out, and the notes name them.

    Where there is a folder ``imagesTr`` or ``images``, the volumes in it alone. Only where nnU-Net's ``dataset.json``
    names channels are numbers at the end of names taken for theirs: elsewhere they number the cases.
    """
    inner = next((folder / images for images, _ in PAIRS if (folder / images).is_dir()), folder)
    found = [path for path in volume_files(inner, everywhere=True) if not _is_segments(path)]
    labels = [path for path in found if _labelled(name_of(path)) is not None]
    files = [path for path in found if path not in labels]
    if "channel_names" in _description(folder / DATASET):
        cases = [Case(paths) for paths in _inputs(files, {}).values()]
    else:
        cases = [Case((path,)) for path in files]
    told = [path.relative_to(inner).as_posix() for path in labels]
    return replace(described(folder, named_apart(cases, inner)), notes=_left_out(told, "labels by their names"))


def described(folder: Path, cases: Sequence[Case]) -> DataList:
    """A list of all cases for training, with what the folder's ``dataset.json`` says of them, if it has one.

    Raises:
        TrainingDataRejected: there is no case, or the description is damaged.
    """
    if not cases:
        raise TrainingDataRejected(
            f"“{folder}” holds no case",
            why=f"volumes are files that end in {', '.join(VOLUME_SUFFIXES)}",
            remedy="Name the folder that the volumes lie in",
        )
    content = _description(folder / DATASET)
    name = clean_name(str(content.get("name") or "")) or folder.resolve().name
    licence = clean_name(str(content.get("licence") or content.get("license") or ""))
    classes: tuple[ClassName, ...] = named_classes(folder / DATASET) if content else ()
    return DataList(tuple(cases), (), name, licence, folder, classes)


def volume_files(folder: Path, everywhere: bool = False) -> list[Path]:
    """Files that are volumes by their names, in the order of their names; hidden ones are left out.

    Raises:
        TrainingDataRejected: the folder cannot be read.
    """
    try:
        found = sorted(folder.rglob("*") if everywhere else folder.iterdir())
    except OSError as error:
        raise TrainingDataRejected(
            f"The folder “{folder}” cannot be read", why=error.strerror or str(error), remedy="Name another folder"
        ) from error
    return [
        path
        for path in found
        if path.name.lower().endswith(VOLUME_SUFFIXES)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]


def _left_out(names: Sequence[str], why: str) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - NAMES_LISTED} more" if len(names) > NAMES_LISTED else ""
    are = "file is" if len(names) == 1 else "files are"
    return (f"{len(names)} {are} left out, {why}: {', '.join(names[:NAMES_LISTED])}{more}",)


def _inputs(files: Iterable[Path], label_of: dict[str, Path]) -> dict[str, tuple[Path, ...]]:
    """Name of a case → its images, in the order of nnU-Net's numbers.

    A number at the end of a name belongs to the name where there are labels of just that name.
    """
    inputs: dict[str, tuple[Path, ...]] = {}
    for path in files:
        name = name_of(path)
        if name not in label_of and _CHANNEL.search(name):
            name = _CHANNEL.sub("", name)
        inputs[name] = (*inputs.get(name, ()), path)
    return inputs


def _labels_by_case(files: Iterable[Path], images: set[str]) -> dict[str, Path]:
    """Name of a case → its labels."""
    cases = images | {_CHANNEL.sub("", name) for name in images}
    named = {_name_of_labels(path): path for path in files}
    label_of = {name: path for name, path in named.items() if name in cases}
    for name, path in named.items():
        image = _labelled(name)
        label_of.setdefault(image if image in cases and image not in label_of else name, path)
    return label_of


def _name_of_labels(path: Path) -> str:
    return clean_name(path.name[: -len(SEGMENTS_SUFFIX)]) if _is_segments(path) else name_of(path)


def _labelled(name: str) -> str | None:
    """The name of the image that labels of this name belong to, empty where it does not say; None where it is no name
    of labels."""
    if name.lower() in LABEL_WORDS:
        return ""
    ending = next((each for each in LABEL_ENDINGS if name.lower().endswith(each)), None)
    return name[: -len(ending)] if ending else None


def _is_segments(path: Path) -> bool:
    return path.name.lower().endswith(SEGMENTS_SUFFIX)


def _description(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingDataRejected(
            f"“{path}” cannot be read",
            why=f"{type(error).__name__}: {error}"[:200],
            remedy="Correct it, or take it away: the folders can be read without it",
        ) from error
    return content
