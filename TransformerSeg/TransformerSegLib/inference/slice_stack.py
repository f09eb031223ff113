"""How parallel slices, each with its own place, make up a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.errors import IncompleteSeries, ShearedAffine
from TransformerSegLib.inference.checks import MAX_SHEAR_DEGREES

FEWEST_SLICES = 3
"""Two slices have one distance; whether slices are missing shows where there are two distances to compare."""

UNEVENNESS = 0.02
"""A slice may lie this share of the distance of slices off the place that even spacing gives it."""

ROUNDING_MM = 0.11
"""Or so much, since some scanners round positions to a tenth of a millimetre: 0.05 mm for the slice itself, and as much
for those at the ends, from which its place is reckoned."""

LARGEST_UNEVENNESS = 0.25
"""But never more than this share of the distance of slices: where one is missing, another is half of it off."""

SAME_DIRECTION = 1e-3
"""Direction cosines, and pixel spacings in mm, that differ by less are equal."""

SAME_PLACE_MM = 0.001

_REGULARIZE = (
    "load it in Slicer with the setting DICOM › Acquisition geometry regularization › apply regularization transform, "
    "harden that transform on the volume, save it as NRRD, and give that file"
)
_LETTERS = ("R", "A", "S")


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice, or one frame, as DICOM places it (PS3.3 C.7.6.2): patient coordinates are LPS, in mm.

    Attributes:
        position: (3,) centre of the first pixel (Image Position).
        along_row: (3,) unit vector in which the column index grows (Image Orientation, first three).
        along_column: (3,) unit vector in which the row index grows (Image Orientation, last three).
        pixel_spacing: mm between rows, mm between columns, in DICOM's order (Pixel Spacing).
        shape: rows, columns.
    """

    position: np.ndarray
    along_row: np.ndarray
    along_column: np.ndarray
    pixel_spacing: tuple[float, float]
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices brought into their order.

    Attributes:
        order: which slice comes at k = 0, 1, …
        affine: 4×4, index → RAS in mm; i is the column index, j the row index, k the slice.
    """

    order: tuple[int, ...]
    affine: np.ndarray


def stack_slices(slices: Sequence[Slice], name: str) -> Stack:
    """Order the slices along their common normal, and check that they are the slices of one evenly spaced volume.

    Equation C.7.6.2.1-1 of DICOM PS3.3 gives the first two columns of the affine and its origin; the third is the
    step from slice to slice.

    Raises:
        IncompleteSeries: fewer than three slices; slices of different directions, spacings or sizes; slices that
            are missing, doubled, unevenly spaced or shifted sideways.
        ShearedAffine: the slices are stacked askew (gantry tilt).
    """
    if len(slices) < FEWEST_SLICES:
        raise IncompleteSeries(
            f"“{name}” has only {len(slices)} slice{'' if len(slices) == 1 else 's'}",
            why="whether slices are missing can be told from three on",
            remedy="Give a folder that holds the whole series",
        )
    _check_alike(slices, name)
    first = slices[0]
    normal = np.cross(first.along_row, first.along_column)
    positions = np.array([each.position for each in slices])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    _check_distances(positions, normal, name)
    step = _step(positions, normal, name)

    affine = np.eye(4)
    between_rows, between_columns = first.pixel_spacing
    affine[:3, 0] = first.along_row * between_columns
    affine[:3, 1] = first.along_column * between_rows
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    affine[:2] *= -1  # LPS → RAS
    return Stack(tuple(int(index) for index in order), affine)


def _check_alike(slices: Sequence[Slice], name: str) -> None:
    first = slices[0]
    for each in slices:
        if each.shape != first.shape:
            differ = "sizes"
        elif not (
            np.allclose(each.along_row, first.along_row, rtol=0, atol=SAME_DIRECTION)
            and np.allclose(each.along_column, first.along_column, rtol=0, atol=SAME_DIRECTION)
        ):
            differ = "orientations"
        elif not np.allclose(each.pixel_spacing, first.pixel_spacing, rtol=0, atol=SAME_DIRECTION):
            differ = "pixel spacings"
        else:
            continue
        raise IncompleteSeries(
            f"The images of “{name}” have different {differ}",
            why="they are not the slices of one volume",
            remedy="Load the series in Slicer's DICOM module, save the volume you want as NRRD, and give that file",
        )


def _check_distances(positions: np.ndarray, normal: np.ndarray, name: str) -> None:
    """Positions in their order; (N, 3), LPS in mm."""
    along = positions @ normal
    gaps = np.diff(along)
    doubled = np.flatnonzero(gaps < SAME_PLACE_MM)
    if doubled.size:
        raise IncompleteSeries(
            f"“{name}” has several images at {_place(positions[doubled[0]], normal)}",
            why="slices are doubled, or the series holds several time points, echoes or reconstructions",
            remedy="Load the series in Slicer's DICOM module, save the volume you want as NRRD, and give that file",
        )
    usual = float(np.median(gaps))
    even = np.linspace(along[0], along[-1], len(along))
    if np.abs(along - even).max() > _tolerance(usual):
        at = int(np.argmax(np.abs(gaps - usual)))
        raise IncompleteSeries(
            f"The slices of “{name}” at {_place(positions[at], normal)} and {_place(positions[at + 1], normal)} are "
            f"{gaps[at]:.2f} mm apart, the others mostly {usual:.2f} mm",
            why="slices are missing or unequally spaced",
            remedy=f"Export the whole series again, or, if it was scanned so, {_REGULARIZE}",
        )


def _step(positions: np.ndarray, normal: np.ndarray, name: str) -> np.ndarray:
    """From slice to slice, (3,), LPS in mm."""
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    distance = float(step @ normal)
    tolerance = _tolerance(distance)
    even = positions[0] + np.arange(len(positions))[:, None] * step
    off = np.linalg.norm(positions - even, axis=1)
    if off.max() > tolerance:
        raise IncompleteSeries(
            f"The slice of “{name}” at {_place(positions[off.argmax()], normal)} is shifted sideways by "
            f"{off.max():.2f} mm",
            why="the slices are not those of one volume",
            remedy="Export or copy the whole series again",
        )
    sideways = np.linalg.norm(step - distance * normal)
    if sideways * (len(positions) - 1) <= tolerance:
        return distance * normal
    tilt = float(np.degrees(np.arctan2(sideways, distance)))
    if tilt > MAX_SHEAR_DEGREES:
        raise ShearedAffine(
            f"The slices of “{name}” are stacked {tilt:.1f}° askew (gantry tilt)",
            why="the model needs voxels that are boxes",
            remedy=f"To rectify them, {_REGULARIZE}",
        )
    return step


def _tolerance(distance: float) -> float:
    """How far, in mm, a slice may be off its place."""
    return max(UNEVENNESS * distance, min(ROUNDING_MM, LARGEST_UNEVENNESS * distance))


def _place(position: np.ndarray, normal: np.ndarray) -> str:
    """Where a slice lies, as Slicer writes it: "S 28.1 mm"."""
    axis = int(np.argmax(np.abs(normal)))
    ras = position * (-1, -1, 1)
    return f"{_LETTERS[axis]} {ras[axis]:.1f} mm"
