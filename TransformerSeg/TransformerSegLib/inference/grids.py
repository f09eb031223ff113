"""The inputs of a model with several inputs, brought onto one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.errors import GridMismatch
from TransformerSegLib.inference.c_order import c_order
from TransformerSegLib.inference.itk_geometry import itk_geometry
from TransformerSegLib.inference.orientation import Reorientation
from TransformerSegLib.inference.volume import Volume

if TYPE_CHECKING:
    import SimpleITK

SAME_GRID_VOXELS = 0.05
"""Grids whose corners differ by less, in voxels, are the same: headers are rounded, and nobody sees a twentieth."""

LEAST_COVERED = 0.5
"""Of what the first volume shows, each other one must cover this share; below, most of the input would be made up."""

LARGEST_SPACING_RATIO = 10.0
"""Thick slices beside thin ones reach a ratio of 7 (0.9 mm and 6.5 mm); past 10 a unit is wrong, or a scout came in."""

ROUNDING = 1e-6
"""Of an interpolated image's largest value: smaller ones come of positions that are rounded. They would not matter,
were it not that models for skull-stripped images z-score what is not 0."""

NEARLY_ALL_COVERED = 0.95
"""Of what the first volume shows; where another one covers less, that is told with the result."""

_SAMPLES_PER_AXIS = 32


def bring_together(volumes: Sequence[Volume]) -> tuple[Volume, ...]:
    """All volumes on the grid of the first.

    A volume that lies on it already stays as it is. Another becomes float32: where the grid's voxels lie on its own
    (it is flipped, turned, cropped, padded, or finer by a whole factor), its values are taken as they are; else it is
    interpolated linearly, in the patient's space. Where it does not reach, it takes its background (``_background``).

    Args:
        volumes: checked ones (``check_volume``), of the same patient and position.

    Raises:
        GridMismatch: a volume covers less than half of what the first shows, or its spacing is ten times another.
    """
    first, *others = volumes
    return (first, *(_brought_onto(first, other) for other in others))


def check_grids(volumes: Sequence[Volume]) -> None:
    """Whether ``bring_together`` will take these volumes; looks at their grids and at a sample of the first one.

    Raises:
        GridMismatch: as ``bring_together`` says.
    """
    first, *others = volumes
    for other in others:
        if not on_same_grid(first, other):
            _check_spacings(first, other)
            _check_overlap(first, other)


def gaps_in_words(volumes: Sequence[Volume]) -> list[str]:
    """A sentence on each volume that covers much of what the first shows, and yet not nearly all of it."""
    first, *others = volumes
    shares = [1.0 if on_same_grid(first, other) else _covered(first, other) for other in others]
    return [
        f"“{other.name}” covers only {share:.0%} of what “{first.name}” shows: beyond it, do not rely on the result."
        for other, share in zip(others, shares, strict=True)
        if share < NEARLY_ALL_COVERED
    ]


def labels_on_grid(first: Volume, labels: Volume) -> Volume | None:
    """Labels on the grid of the first, as they are where they reach, and 0 elsewhere.

    Returns:
        None where the grid's voxels lie between theirs: nothing is interpolated.
    """
    if on_same_grid(first, labels):
        return labels
    lattice = _shared_lattice(first, labels)
    if lattice is None:
        return None
    array = np.zeros(first.array.shape, labels.array.dtype)
    return replace(labels, array=_taken(labels, array, *lattice), affine=first.affine)


def _brought_onto(first: Volume, other: Volume) -> Volume:
    if on_same_grid(first, other):
        return other
    check_grids((first, other))
    lattice = _shared_lattice(first, other)
    if lattice is None:
        array = _interpolated(first, other)
    else:
        array = _taken(other, np.full(first.array.shape, _background(other.array), np.float32), *lattice)
    if lattice is None or (lattice[1].diagonal() > 1).any():
        _clear_rounding(array)
    return replace(other, array=array, affine=first.affine)


def _clear_rounding(array: np.ndarray) -> None:
    """Make 0 again what an interpolation, now or when a finer grid was made, left beside 0 by rounding."""
    sizes = np.abs(array)
    array[sizes < ROUNDING * sizes.max()] = 0


def _shared_lattice(first: Volume, other: Volume) -> tuple[Reorientation, np.ndarray] | None:
    """Which voxels of the other the first one's lie on; None where they lie between them.

    Returns:
        What turns the other so that its axes run like the first one's; and 4×4, integers: index on the first one's
        grid → index on the other, turned. Without rotation, and it may lead outside of the other.
    """
    to_other = np.linalg.inv(other.affine) @ first.affine
    whole = np.round(to_other)
    along = whole[:3, :3] != 0
    off = np.abs(_corners(first) @ (to_other - whole).T).max()
    if off > SAME_GRID_VOXELS or not (along.sum(axis=0) == 1).all() or not (along.sum(axis=1) == 1).all():
        return None
    order = tuple(int(axis) for axis in along.argmax(axis=0))
    turn = Reorientation(order, tuple(bool(whole[source, axis] < 0) for axis, source in enumerate(order)))
    return turn, np.round(np.linalg.inv(turn.to_index(other.array.shape)) @ whole).astype(int)


def _taken(other: Volume, array: np.ndarray, turn: Reorientation, to_turned: np.ndarray) -> np.ndarray:
    """The other's own values, written into an array of the first one's shape where it reaches."""
    turned = turn.view(other.array)
    steps, starts = to_turned.diagonal()[:3].tolist(), to_turned[:3, 3].tolist()
    inside, source = zip(*map(_met, array.shape, turned.shape, steps, starts), strict=True)
    array[inside] = turned[source]
    return array


def _met(count: int, other_count: int, step: int, start: int) -> tuple[slice, slice]:
    """Along one axis: which of ``count`` voxels lie on those of the other, and on which; voxel n on start + n·step."""
    first = min(max(-(start // step), 0), count)
    stop = max(min((other_count - 1 - start) // step + 1, count), first)
    return slice(first, stop), slice(start + first * step, start + stop * step, step)


def on_same_grid(first: Volume, other: Volume) -> bool:
    """Whether two volumes have their voxels in the same places, counted alike."""
    if first.array.shape != other.array.shape:
        return False
    distances = distances_mm(first, other)
    return bool(distances.max() <= SAME_GRID_VOXELS * min(first.spacing))


def distances_mm(first: Volume, other: Volume) -> np.ndarray:
    """(8,): how far the first one's corner voxels lie from those of the same indices in the other, in mm."""
    return np.linalg.norm(_corners(first) @ (first.affine - other.affine).T, axis=1)


def _corners(volume: Volume) -> np.ndarray:
    """(8, 4): indices of the corner voxels, and a 1."""
    return np.array([(*corner, 1) for corner in product(*((0, count - 1) for count in volume.array.shape))])


def _check_spacings(first: Volume, other: Volume) -> None:
    """Compares the thinnest edges of the two grids' voxels, and the thickest."""
    ratios = np.sort(first.spacing) / np.sort(other.spacing)
    if max(ratios.max(), 1 / ratios.min()) > LARGEST_SPACING_RATIO:
        spacings = " and ".join("×".join(f"{edge:.3g}" for edge in volume.spacing) for volume in (first, other))
        raise GridMismatch(
            f"The voxels of “{first.name}” and “{other.name}” are {spacings} mm",
            why="images so different cannot serve as inputs beside each other",
            remedy="Give inputs of similar resolution",
        )


def _check_overlap(first: Volume, other: Volume) -> None:
    covered = _covered(first, other)
    if covered < LEAST_COVERED:
        raise GridMismatch(
            f"“{other.name}” covers only {covered:.0%} of what “{first.name}” shows",
            why="the inputs have to show the same part of the same patient",
            remedy="Check that both are of the same examination; if so, register or crop them in Slicer",
        )


def _covered(first: Volume, other: Volume) -> float:
    """The share of the patient, as the first volume shows it, that lies within the other.

    Looks at about 30,000 voxels of the first volume, and of them at those as bright as their mean: the patient.
    """
    steps = [max(1, count // _SAMPLES_PER_AXIS) for count in first.array.shape]
    sample = first.array[tuple(slice(step // 2, None, step) for step in steps)]
    bright = np.argwhere(sample >= sample.mean()) * steps + [step // 2 for step in steps]
    to_other = (np.linalg.inv(other.affine) @ first.affine)[:3]
    indices = bright @ to_other[:, :3].T + to_other[:, 3]
    within = ((indices >= -0.5) & (indices <= np.array(other.array.shape) - 0.5)).all(axis=1)
    return float(within.mean())


def _interpolated(first: Volume, other: Volume) -> np.ndarray:
    import SimpleITK

    resampler = SimpleITK.ResampleImageFilter()
    resampler.SetInterpolator(SimpleITK.sitkLinear)
    resampler.SetOutputPixelType(SimpleITK.sitkFloat32)
    resampler.SetDefaultPixelValue(_background(other.array))
    resampler.SetSize(first.array.shape)
    spacing, direction, origin = itk_geometry(first.affine)
    resampler.SetOutputSpacing(spacing)
    resampler.SetOutputDirection(direction)
    resampler.SetOutputOrigin(origin)
    image = resampler.Execute(_itk_image(other))
    return c_order(SimpleITK.GetArrayViewFromImage(image).transpose(2, 1, 0))


def _background(array: np.ndarray) -> float:
    """The value of what an image does not show.

    The median of its border: 0 of a skull-stripped image and −1000 of a CT, which the lowest value is not: a z-scored
    or interpolated image has values below its background. But an image without negative values that was cut through
    the patient has tissue at its border: no signal is 0 there.
    """
    border = np.concatenate([array.take(index, axis).ravel() for axis in range(3) for index in (0, -1)])
    median = float(np.median(border))
    is_plain = 2 * np.count_nonzero(border == median) >= border.size
    return median if is_plain or array.min() < 0 else 0.0


def _itk_image(volume: Volume) -> SimpleITK.Image:
    import SimpleITK

    image = SimpleITK.GetImageFromArray(volume.array.transpose(2, 1, 0))
    spacing, direction, origin = itk_geometry(volume.affine)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    image.SetOrigin(origin)
    return image
