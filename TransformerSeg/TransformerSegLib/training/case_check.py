"""One case read and looked at: what makes it unfit for training, and what a person should know of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from TransformerSegLib.errors import ShearedAffine, TrainingDataRejected, TransformerSegError
from TransformerSegLib.inference.checks import check_affine, check_volume
from TransformerSegLib.inference.grids import on_same_grid
from TransformerSegLib.inference.hounsfield import looks_like_ct
from TransformerSegLib.inference.orientation import reorientation
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.training.brats import enhancing_label, regions
from TransformerSegLib.training.case_slices import SliceView, grey_range, slice_views
from TransformerSegLib.training.cases import Case
from TransformerSegLib.training.image_file import read_image
from TransformerSegLib.training.labels import (
    Classes,
    StoredLabels,
    place,
    read_stored_labels,
    refuse_broken_numbers,
    refuse_unknown_labels,
    refuse_unknown_segments,
)

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class Fault:
    """Why a case, or a data set, cannot be trained on. The fields are those of ``TransformerSegError``."""

    what: str
    why: str
    remedy: str

    @classmethod
    def of(cls, error: TransformerSegError) -> Fault:
        """Without the error's traceback, which would keep the volumes in memory."""
        return cls(error.what, error.why, error.remedy)

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.remedy}."


@dataclass(frozen=True, eq=False)
class CheckedCase:
    """What was found.

    Attributes:
        case: that was read.
        faults: all of them; where there is one, the case cannot be trained on.
        remarks: sentences on what is unusual.
        size: voxels of the first image along its axes; None where it cannot be read.
        spacing: likewise, in mm.
        volumes_ml: label → volume in millilitres, of every class; empty where the labels cannot be read.
        digest: of the images' voxels; the same for the same images, whatever their files are called.
        brightness: of each image, the width of its intensities: from the 0.5th to the 99.5th percentile.
        like_ct: whether the first image's intensities can hardly be other than Hounsfield units.
        place: where the middle of the labels lies in the image, from 0 to 1 along right-left, front-back, up-down;
            None without labels.
        slices: small pictures.
    """

    case: Case
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    size: tuple[int, int, int] | None = None
    spacing: tuple[float, float, float] | None = None
    volumes_ml: Mapping[int, float] = field(default_factory=dict)
    digest: str = ""
    brightness: tuple[float, ...] = ()
    like_ct: bool = False
    place: tuple[float, float, float] | None = None
    slices: tuple[SliceView, ...] = ()


def check_case(
    case: Case, classes: Classes | None, *, need_labels: bool = True, overlapping: bool = False
) -> CheckedCase:
    """Read a case's images and labels, once, and look at all that can be seen in them.

    Args:
        case: any.
        classes: labels must be among theirs; None where nothing tells the classes: any whole number is a label.
        need_labels: False for pretraining: labels are not looked at, be they there or not.
        overlapping: whether the classes are ``brats.REGIONS``, of which label files hold the parts.
    """
    faults: list[Fault] = []
    images = [image for path in case.images if (image := _tried(lambda path=path: read_image(path), faults))]
    drawable = len(images) == len(case.images)
    for image in images:
        _tried(lambda image=image: check_volume(image), faults)
        drawable = drawable and _has_slices(image)
    for other in images[1:]:
        _tried(lambda other=other: _refuse_another_grid(case, images[0], other), faults)
    stored = labels = None
    if need_labels:
        stored = _tried(lambda: read_stored_labels(case, classes or (), overlapping=overlapping), faults)
    if stored is not None:
        _tried(lambda: refuse_unknown_segments(case, stored), faults)
        _tried(lambda: refuse_broken_numbers(case, stored), faults)
        if overlapping and stored.whole:
            _tried(lambda: enhancing_label(stored.volume.array, case.label.name), faults)
        elif classes is not None and stored.whole:
            _tried(lambda: refuse_unknown_labels(case, stored, classes), faults)
        if len(images) == len(case.images):
            labels = _tried(lambda: place(case, stored, images[0]), faults)
    whole = labels is not None and stored.whole
    countable = whole and not (overlapping and faults)  # of labels that are not of BraTS there are no regions
    count = _volumes_of_regions if overlapping else _volumes
    volumes = count(labels, classes) if countable else {}
    return CheckedCase(
        case,
        tuple(faults),
        _remarks(stored, labels, volumes, classes) if countable else (),
        images[0].array.shape if images else None,
        images[0].spacing if images else None,
        volumes,
        _digest(images) if len(images) == len(case.images) else "",
        tuple(high - low for low, high in map(grey_range, images)) if drawable else (),
        bool(images and looks_like_ct(images[0].array)),
        _place(labels) if whole else None,
        slice_views(images, _that_can_be_shown(stored)) if drawable else (),
    )


def _tried(step: Callable, faults: list[Fault]):
    """What the step returns; None, and one more fault, where it raises one."""
    try:
        return step()
    except TransformerSegError as error:
        faults.append(Fault.of(error))
        return None


def _has_slices(image: Volume) -> bool:
    """Whether there is anything to be drawn of it, be it wrong."""
    try:
        check_affine(image.affine, image.name)
    except ShearedAffine:
        return True
    except TransformerSegError:
        return False
    return min(image.array.shape) > 0


def _refuse_another_grid(case: Case, first: Volume, other: Volume) -> None:
    if not on_same_grid(first, other):
        raise TrainingDataRejected(
            f"The images “{first.name}” and “{other.name}” of “{case.name}” lie on different grids",
            why="a network sees them voxel by voxel beside each other",
            remedy=f"Resample “{other.name}” to the grid of “{first.name}”",
        )


def _volumes(labels: Volume, classes: Classes | None) -> dict[int, float]:
    counts = np.bincount(labels.array.ravel())
    voxel_ml = _voxel_ml(labels)
    numbers = np.flatnonzero(counts[1:]) + 1 if classes is None else [each.label for each in classes]
    return {int(label): float(counts[label] * voxel_ml) if label < len(counts) else 0.0 for label in numbers}


def _volumes_of_regions(labels: Volume, classes: Classes) -> dict[int, float]:
    planes = regions(labels.array, labels.name)
    return {
        each.label: np.count_nonzero(plane) * _voxel_ml(labels) for each, plane in zip(classes, planes, strict=True)
    }


def _voxel_ml(volume: Volume) -> float:
    return abs(float(np.linalg.det(volume.affine[:3, :3]))) / MM3_PER_ML


def _remarks(stored: StoredLabels, labels: Volume, volumes: Mapping[int, float], classes: Classes | None) -> tuple:
    remarks = []
    missing = [each.name for each in classes or () if not volumes[each.label]]
    if not any(volumes.values()):
        remarks.append("It has no labelled voxel")
    elif missing:
        remarks.append(f"Without {', '.join(missing)}")
    if stored.overlapping:
        remarks.append(f"Segments overlap in {stored.overlapping} voxels, which the smaller one of them takes")
    outside = np.count_nonzero(stored.volume.array) - np.count_nonzero(labels.array)
    if outside > 0:
        remarks.append(f"{outside} labelled voxels lie outside of the image")
    return tuple(remarks)


def _digest(images: list[Volume]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr(image.array.shape).encode())
        for plane in image.array:  # a plane at a time: no copy of the whole volume
            digest.update(np.ascontiguousarray(plane, np.float32))
    return digest.hexdigest()


def _place(labels: Volume) -> tuple[float, float, float] | None:
    seen = reorientation(labels.affine, "LPS").view(labels.array) > 0
    if not seen.any():
        return None
    along = [seen.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    x, y, z = (float(np.average(np.arange(len(counts)) + 0.5, weights=counts) / len(counts)) for counts in along)
    return x, y, z


def _that_can_be_shown(stored: StoredLabels | None) -> Volume | None:
    """Labels whose numbers and place mean something, be they on the image's grid or not."""
    if stored is None or not stored.whole:
        return None
    try:
        check_affine(stored.volume.affine, stored.volume.name)
    except TransformerSegError:
        return None
    return stored.volume
