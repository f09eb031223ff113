"""The labels of a case, whichever file keeps them: one whole number a voxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from TransformerSegLib.bundles.card import MAXIMUM_LABEL, SegmentClass
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.inference.c_order import c_order
from TransformerSegLib.inference.grids import distances_mm, labels_on_grid, on_same_grid
from TransformerSegLib.inference.reading import name_of, read_volume
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.training.brats import OUTERMOST_FIRST, OWN_PARTS, REGIONS, region_called
from TransformerSegLib.training.cases import Case, ClassName, DataList
from TransformerSegLib.training.image_file import read_image
from TransformerSegLib.training.segment_file import SUFFIX, read_layers, read_segments

Classes = Sequence[ClassName | SegmentClass]

VALUES_LISTED = 8


@dataclass(frozen=True, eq=False)
class StoredLabels:
    """Labels as a file holds them.

    Attributes:
        volume: on the file's own grid; in 8 or 16 bits without a sign where it holds nothing but labels.
        segments: whether the file is a ``.seg.nrrd``, of which Slicer may save only a part of the image's grid.
        known: names that its segments may have.
        unknown: names of its segments that no class has.
        overlapping: how many of its voxels lie in several classes that exclude each other.
    """

    volume: Volume
    segments: bool = False
    known: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    overlapping: int = 0

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers from 0 to ``MAXIMUM_LABEL``."""
        return self.volume.array.dtype in (np.uint8, np.uint16)


def read_label(case: Case, classes: Classes, image: Volume | None = None, *, overlapping: bool = False) -> Volume:
    """The labels of a case, on the grid of its first image.

    Args:
        case: with labels.
        classes: of the model or the data set. They give the segments of a ``.seg.nrrd``, by name, their labels; the
            values of other files are labels already. Where segments overlap the smaller one is on top, as a tumour in
            its organ.
        image: the case's first image, where it has been read already.
        overlapping: whether the classes are the regions of BraTS: segments of their names, whatever their sizes, give
            the labels of BraTS's parts, of which ``brats.regions`` makes the regions again.

    Returns:
        labels, (I, J, K), in the smallest unsigned type that holds them; 0 is background.

    Raises:
        TrainingDataRejected: they are damaged, on another grid, no whole numbers, or have segments of no class.
        InputRejected: the image or the label file cannot be read (``read_volume``).
    """
    image = read_image(case.image) if image is None else image
    stored = read_stored_labels(case, classes, overlapping=overlapping)
    refuse_unknown_segments(case, stored)
    refuse_broken_numbers(case, stored)
    return place(case, stored, image)


def read_stored_labels(case: Case, classes: Classes, *, overlapping: bool = False) -> StoredLabels:
    """What a case's label file holds, judged by nobody yet.

    Raises:
        TrainingDataRejected: there is none, or its segments are damaged.
        InputRejected: it cannot be read (``read_volume``).
    """
    if case.label is None:
        raise TrainingDataRejected(
            f"“{case.name}” has no labels",
            why="nothing can be learned from it but in pretraining",
            remedy="Add its labels, or take it out of the data",
        )
    if case.label.name.lower().endswith(SUFFIX):
        return _from_segments(case, classes, overlapping)
    volume = read_volume(case.label)
    highest = float(volume.array.max(initial=0))
    if not 0 <= highest <= MAXIMUM_LABEL:
        return StoredLabels(volume)
    if volume.array.dtype.kind in "iu" and volume.array.min(initial=0) >= 0:
        return StoredLabels(replace(volume, array=_smallest(volume.array, highest)))
    if volume.array.dtype.kind == "f":
        whole = _smallest(np.where(volume.array >= 0, volume.array, 0), highest)
        if np.array_equal(whole, volume.array):
            return StoredLabels(replace(volume, array=whole))
    return StoredLabels(volume)


def place(case: Case, stored: StoredLabels, image: Volume) -> Volume:
    """The labels on the image's grid.

    Raises:
        TrainingDataRejected: they lie on another one.
    """
    if on_same_grid(image, stored.volume):
        # Headers are rounded, each in its own way; resampled by its own the labels could get a voxel more or less.
        return replace(stored.volume, affine=image.affine)
    placed = labels_on_grid(image, stored.volume) if stored.segments else None
    if placed is None:
        raise TrainingDataRejected(
            f"“{case.image.name}” and its labels lie on different grids",
            why=_difference(image, stored.volume),
            remedy="Resample the labels to the image's grid",
        )
    return replace(placed, array=c_order(placed.array))


def refuse_broken_numbers(case: Case, stored: StoredLabels) -> None:
    """Raises:
    TrainingDataRejected: labels are negative, not whole, or higher than ``MAXIMUM_LABEL``.
    """
    if not stored.whole:
        raise _values_rejected(
            case,
            stored,
            f"labels are whole numbers from 0 to {MAXIMUM_LABEL}",
            "Check that it is the file of the labels, and save it with whole numbers",
        )


def refuse_unknown_labels(case: Case, stored: StoredLabels, classes: Classes) -> None:
    """Raises:
    TrainingDataRejected: there is a label of no class.
    """
    known = {0, *(each.label for each in classes)}
    if not set(np.unique(stored.volume.array).tolist()) <= known:
        numbers = sorted(known - {0})
        told = f"to {numbers[-1]}" if numbers == list(range(1, len(numbers) + 1)) else ", ".join(map(str, numbers))
        raise _values_rejected(
            case, stored, f"the classes are 0 (background) {told}", "Relabel the file, or name all classes"
        )


def refuse_other_numbers(data: DataList, classes: Classes) -> None:
    """Segments go by their names, numbers by what they are: then a class must have the same one everywhere.

    Args:
        data: which may name its classes.
        classes: of the model.

    Raises:
        TrainingDataRejected: a class of the model has another number in the data.
    """
    if all(case.label is None or case.label.name.lower().endswith(SUFFIX) for case in data.cases):
        return
    number_of = {each.name.casefold(): each.label for each in classes}
    for each in data.classes:
        number = number_of.get(each.name.casefold(), each.label)
        if number != each.label:
            raise TrainingDataRejected(
                f"“{each.name}” has the label {each.label} in the data, and {number} in the model",
                why="it would be taken for another class",
                remedy="Relabel the files, or correct the names in the data's description",
            )


def refuse_unknown_segments(case: Case, stored: StoredLabels) -> None:
    """Raises:
    TrainingDataRejected: a segment has the name of no class.
    """
    if stored.unknown:
        names = ", ".join(f"“{name}”" for name in stored.unknown)
        known = ", ".join(f"“{name}”" for name in stored.known[:VALUES_LISTED])
        more = ", …" if len(stored.known) > VALUES_LISTED else ""
        raise TrainingDataRejected(
            f"“{case.label.name}” has the segment{'s' * (len(stored.unknown) > 1)} {names}",
            why=f"no class has such a name, and its voxels would be learned as background; classes are {known}{more}",
            remedy="Rename the segment in Slicer, or delete it there",
        )


def _from_segments(case: Case, classes: Classes, overlapping: bool) -> StoredLabels:
    label_of = {each.name: each.label for each in classes}
    known = REGIONS if overlapping else tuple(label_of)
    segments, stored = read_segments(case.label), read_layers(case.label)
    masks: dict[int, np.ndarray] = {}
    unknown = []
    for segment in segments:
        if segment.layer not in range(len(stored.layers)):
            raise TrainingDataRejected(
                f"“{case.label.name}” is damaged",
                why=f"its segment “{segment.name}” is said to lie in a layer that is not there",
                remedy="Save the segmentation from Slicer again, as .seg.nrrd",
            )
        mask = stored.layers[segment.layer] == segment.label
        label = _part_of(segment.name) if overlapping else label_of.get(segment.name)
        if label is not None:
            masks[label] = masks[label] | mask if label in masks else mask
        elif mask.any():
            unknown.append(segment.name)
    array = np.zeros(stored.layers.shape[1:], np.min_scalar_type(max(masks, default=0)))
    times = np.zeros(array.shape, np.uint8)
    for label in _outermost_first(masks, overlapping):
        array[masks[label]] = label
        times += masks[label]
    twice = 0 if overlapping else int(np.count_nonzero(times > 1))
    volume = Volume(c_order(array), stored.affine, name_of(case.label))
    return StoredLabels(volume, True, known, tuple(unknown), twice)


def _part_of(name: str) -> int | None:
    region = region_called(name)
    return None if region is None else OWN_PARTS[region]


def _outermost_first(masks: Mapping[int, np.ndarray], overlapping: bool) -> list[int]:
    """Labels in the order in which they are laid one over the other."""
    if overlapping:
        return [label for label in OUTERMOST_FIRST if label in masks]
    sizes = {label: np.count_nonzero(mask) for label, mask in masks.items()}
    return sorted(masks, key=lambda label: (-sizes[label], label))


def _smallest(array: np.ndarray, highest: float) -> np.ndarray:
    return array.astype(np.min_scalar_type(int(highest)), copy=False)


def _difference(image: Volume, labels: Volume) -> str:
    sizes = ["×".join(map(str, volume.array.shape)) for volume in (image, labels)]
    if sizes[0] != sizes[1]:
        return f"the image has {sizes[0]} voxels, and the labels {sizes[1]}"
    return f"voxels of the same index lie up to {distances_mm(image, labels).max():.3g} mm apart"


def _values_rejected(case: Case, stored: StoredLabels, why: str, remedy: str) -> TrainingDataRejected:
    values = np.unique(stored.volume.array)
    listed = ", ".join(f"{value:g}" for value in values[:VALUES_LISTED].tolist())
    more = f" and {len(values) - VALUES_LISTED} more" if len(values) > VALUES_LISTED else ""
    return TrainingDataRejected(f"“{case.label.name}” holds the labels {listed}{more}", why=why, remedy=remedy)
