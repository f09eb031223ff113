"""What is checked before any work: the volume by itself (hard), and against the model's card (soft)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.errors import (
    EmptyVolume,
    FieldOfViewMismatch,
    FieldOfViewTooLarge,
    InputMismatch,
    ModalityMismatch,
    NonFiniteVoxels,
    NotThreeDimensional,
    ShearedAffine,
    SingularAffine,
    SpacingMismatch,
    VectorVoxels,
    WrongNumberOfInputs,
)
from TransformerSegLib.inference.hounsfield import cannot_be_hounsfield, looks_like_ct
from TransformerSegLib.inference.volume import Volume

MAX_SHEAR_DEGREES = 0.1
"""Axes may be off a right angle by this much: over half a metre that displaces a voxel by 0.9 mm, and direction
cosines that were rounded to three digits stay below it."""

SMALLEST_SPACING_MM = 1e-6
FLATTEST_VOXEL = 1e-3
"""Volume of a voxel over the product of its three edges' lengths: 1 at right angles, 0 where the axes are coplanar."""

SIZE_TOLERANCE = 0.01
"""Spacing and size may miss the card's bounds by one part in a hundred: headers are rounded."""

ACCEPT = "pass --accept-mismatch"


def check_volume(volume: Volume) -> None:
    """Refuse a volume that no model can segment. Reads the voxels twice and makes no copy of them.

    Raises:
        NotThreeDimensional: not exactly three axes, or an axis of a single voxel.
        VectorVoxels: RGB, complex or otherwise several numbers a voxel.
        SingularAffine, ShearedAffine: see ``check_affine``.
        NonFiniteVoxels: NaN, infinite, or beyond what 32-bit floating-point numbers hold.
        EmptyVolume: no voxels, or all of one value.
    """
    three_axes(volume.array.shape, volume.name)
    _check_voxels_are_numbers(volume)
    _check_size(volume)
    check_affine(volume.affine, volume.name)
    _check_intensities(volume)


def three_axes(shape: Sequence[int], name: str) -> tuple[int, int, int]:
    """The first three axes of a shape whose further axes, time for one, have one element each.

    Raises:
        NotThreeDimensional: fewer than three axes, or several time points.
    """
    if len(shape) < 3:
        raise NotThreeDimensional(
            f"“{name}” is a {len(shape)}-dimensional image",
            why="the model segments volumes",
            remedy="Give the whole volume, not one of its slices",
        )
    times = int(np.prod(shape[3:], dtype=np.int64))
    if times != 1:
        raise NotThreeDimensional(
            f"“{name}” has {len(shape)} dimensions ({_times(shape)})",
            why=f"the model segments one volume, and there are {times} of them",
            remedy="Extract one time point, for example with Slicer's module Sequences, and give that",
        )
    return tuple(shape[:3])


def vector_voxels(name: str, values: str) -> VectorVoxels:
    """The error of a volume that holds more than one number a voxel; ``values`` says which: "3 values"."""
    return VectorVoxels(
        f"“{name}” has {values} per voxel",
        why="the model reads one number per voxel",
        remedy="Convert it to a scalar volume, for example with Slicer's module Vector to Scalar Volume",
    )


def no_spacing(name: str) -> SingularAffine:
    """The error of a volume whose header gives no usable spacing, or axes that lie in a plane."""
    return SingularAffine(
        f"The axes of “{name}” are coplanar, or one has no spacing",
        why="its voxels have no place in three dimensions",
        remedy="Export the volume again from where it came from",
    )


def check_affine(affine: np.ndarray, name: str) -> None:
    """Refuse an affine that does not place voxels in a box.

    Args:
        affine: 4×4, index → RAS in mm.

    Raises:
        SingularAffine: not finite, or the index space is mapped onto a plane, a line or a point.
        ShearedAffine: two axes are more than ``MAX_SHEAR_DEGREES`` off a right angle.
    """
    edges = affine[:3, :3]
    lengths = np.linalg.norm(edges, axis=0)
    if not np.isfinite(affine).all() or (lengths < SMALLEST_SPACING_MM).any():
        flatness = 0.0
    else:
        flatness = abs(np.linalg.det(edges / lengths))
    if flatness < FLATTEST_VOXEL:
        raise SingularAffine(
            f"The affine of “{name}” is singular or not finite",
            why="its voxels have no place in three dimensions",
            remedy="Export the volume again from where it came from",
        )
    shear = shear_degrees(affine)
    if shear > MAX_SHEAR_DEGREES:
        raise ShearedAffine(
            f"The axes of “{name}” are {shear:.1f}° off a right angle",
            why="the model needs voxels that are boxes",
            remedy="Resample it onto a grid with right angles, for example with Slicer's module Resample "
            "Scalar/Vector/DWI Volume",
        )


def shear_degrees(affine: np.ndarray) -> float:
    """How far the two axes that are furthest from a right angle are off it, in degrees."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = [abs(directions[:, a] @ directions[:, b]) for a, b in combinations(range(3), 2)]
    return float(np.degrees(np.arcsin(min(1.0, max(cosines)))))


def check_number_of_inputs(volumes: Sequence[Volume], card: Card) -> None:
    """Raises:
    WrongNumberOfInputs: there are more or fewer volumes than the model has inputs.
    """
    if len(volumes) != len(card.inputs):
        names = ", ".join(channel.name for channel in card.inputs)
        raise WrongNumberOfInputs(
            f"{_counted(len(volumes), 'volume')} given",
            why=f"“{card.title}” needs {len(card.inputs)}: {names}",
            remedy="Give one volume for each of them" if len(card.inputs) > 1 else "Give one volume",
        )


def check_against_card(volumes: Sequence[Volume], card: Card) -> list[InputMismatch]:
    """What of the volumes is outside what the model was made for, at most one finding a kind and volume.

    The modality is what DICOM told; without it, the intensities decide where they leave little doubt, and where they
    do there is no finding.
    """
    findings = []
    for volume in volumes:
        findings += _modality_findings(volume, card)
        findings += _spacing_findings(volume, card)
        findings += _field_of_view_findings(volume, card)
    return findings


def raise_mismatches(findings: Sequence[InputMismatch]) -> None:
    """Raise what ``check_against_card`` found: one finding as it is, several as one that names them all.

    Raises:
        InputMismatch: there is a finding.
    """
    if len(findings) == 1:
        raise findings[0]
    if findings:
        raise InputMismatch(
            "; ".join(finding.what for finding in findings),
            why="; ".join(dict.fromkeys(finding.why for finding in findings)),
            remedy=f"Give a volume that fits, or {ACCEPT} to segment it nevertheless",
        )


def _check_voxels_are_numbers(volume: Volume) -> None:
    if volume.array.dtype.kind not in "biuf":
        raise vector_voxels(volume.name, "more than one number")


def _check_size(volume: Volume) -> None:
    if volume.array.size == 0:
        raise EmptyVolume(
            f"“{volume.name}” has no voxels",
            why="there is nothing to segment",
            remedy="Export the volume again from where it came from",
        )
    if min(volume.array.shape) < 2:
        raise NotThreeDimensional(
            f"“{volume.name}” is {_times(volume.array.shape)} voxels, a single slice",
            why="the model segments volumes",
            remedy="Give the whole volume",
        )


def _check_intensities(volume: Volume) -> None:
    lowest, highest = volume.array.min(), volume.array.max()  # NaN if any voxel is
    if not max(abs(float(lowest)), abs(float(highest))) <= np.finfo(np.float32).max:
        raise NonFiniteVoxels(
            f"“{volume.name}” holds NaN or infinite values",
            why="they spread through the network into every voxel near them",
            remedy="Replace them, for example by the value of the background",
        )
    if lowest == highest:
        raise EmptyVolume(
            f"All voxels of “{volume.name}” have the value {lowest:g}",
            why="there is nothing to segment",
            remedy="Check that the right volume was exported",
        )


def _modality_findings(volume: Volume, card: Card) -> list[InputMismatch]:
    wanted = card.requirements.modality
    if wanted is None or volume.modality == wanted:
        return []
    if volume.modality is not None:
        what = f"“{volume.name}” is {volume.modality}"
    elif wanted == "CT" and cannot_be_hounsfield(volume.array):
        what = f"“{volume.name}” has no voxel below −100, so that it is not CT in Hounsfield units"
    elif wanted != "CT" and looks_like_ct(volume.array):
        what = f"“{volume.name}” looks like CT"
    else:
        return []
    why = f"“{card.title}” was trained on {wanted}"
    remedy = f"Give {_article(wanted)} {wanted} volume, or {ACCEPT} to segment this one nevertheless"
    return [ModalityMismatch(what, why=why, remedy=remedy)]


def _spacing_findings(volume: Volume, card: Card) -> list[InputMismatch]:
    bounds = card.requirements.spacing_mm
    if bounds is None or _all_within(volume.spacing, bounds):
        return []
    return [
        SpacingMismatch(
            f"“{volume.name}” has voxels of {_spacing_in_words(volume)}",
            why=f"“{card.title}” was trained on voxels of {_range(bounds)}",
            remedy=f"Give a volume of that spacing, or {ACCEPT} to segment this one nevertheless",
        )
    ]


def _field_of_view_findings(volume: Volume, card: Card) -> list[InputMismatch]:
    bounds = card.requirements.field_of_view_mm
    if bounds is None or _all_within(volume.extent, bounds):
        return []
    size = _times(f"{length:.0f}" for length in volume.extent)
    too_large = max(volume.extent) > bounds[1]
    if too_large:
        remedy = f"Give only the part around what is to be segmented with --roi, or {ACCEPT} to segment all of it"
    else:
        remedy = f"Give a volume that shows more, or {ACCEPT} to segment this one nevertheless"
    kind = FieldOfViewTooLarge if too_large else FieldOfViewMismatch
    return [
        kind(
            f"“{volume.name}” is {size} mm",
            why=f"“{card.title}” was trained on volumes of {_range(bounds)} a side",
            remedy=remedy,
        )
    ]


def _all_within(values: Sequence[float], bounds: tuple[float, float]) -> bool:
    smallest, largest = bounds[0] * (1 - SIZE_TOLERANCE), bounds[1] * (1 + SIZE_TOLERANCE)
    return all(smallest <= value <= largest for value in values)


def _spacing_in_words(volume: Volume) -> str:
    spacing = [round(length, 2) for length in volume.spacing]
    return f"{spacing[0] if len(set(spacing)) == 1 else _times(spacing)} mm"


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:g} mm" if bounds[0] == bounds[1] else f"{bounds[0]:g} to {bounds[1]:g} mm"


def _times(values: Sequence[object]) -> str:
    return "×".join(str(value) for value in values)


def _counted(number: int, noun: str) -> str:
    return f"{number or 'No'} {noun}{'' if number == 1 else 's'}"


def _article(modality: str) -> str:
    return "an" if modality == "MR" else "a"
