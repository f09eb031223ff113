"""Where to look first: small places in which much is probably wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.interaction.click import Index
from TransformerSegLib.interaction.confidence import doubts
from TransformerSegLib.interaction.kept_scores import KeptScores
from TransformerSegLib.interaction.neighbourhood import Spacing

MOST_ACROSS_MM = 15.0
CELL_MM = 2.5
CELLS_EACH_WAY = 2
"""Doubt is first summed up over cubes of cells, 12.5 mm across: about the volume of a ball of 15 mm."""

SHIFTS = 3

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class DoubtfulPlace:
    """A ball, ``MOST_ACROSS_MM`` across at most.

    Attributes:
        centre: index (i, j, k) of the voxel in its middle.
        wrong_ml: the volume in it that is probably wrong, in ml.
    """

    centre: Index
    wrong_ml: float


def doubtful_places(
    fields: Sequence[KeptScores],
    temperature: float,
    spacing: Spacing,
    most: int = 20,
    wanted: Collection[int] | None = None,
) -> list[DoubtfulPlace]:
    """The places that hold most of what is probably wrong, the worst first; none shares a voxel with another.

    Args:
        fields: all of a segmentation; where classes overlap, their doubts add up.
        spacing: of voxel centres along i, j and k, in mm.
        most: so many, at most.
        wanted: numbers of the classes in which doubt counts; None: all.
    """
    places = [kept.places for kept in fields]
    if not sum(map(len, places)):
        return []
    of_voxels = [doubts(kept, temperature, wanted) for kept in fields]
    voxels = np.stack(np.unravel_index(np.concatenate(places), fields[0].shape), axis=1)
    points, of_points = voxels * np.asarray(spacing), np.concatenate(of_voxels).astype(np.float64)
    order = np.argsort(points[:, 0], kind="stable")
    found = _balls(points[order], of_points[order])
    voxel_ml = float(np.prod(spacing)) / MM3_PER_ML
    result = []
    for _, (middle, doubt) in zip(range(most), found, strict=False):
        centre = np.clip(np.rint(middle / spacing), 0, np.array(fields[0].shape) - 1)
        result.append(DoubtfulPlace(tuple(int(index) for index in centre), doubt * voxel_ml))
    return sorted(result, key=lambda place: -place.wrong_ml)


def _balls(points: np.ndarray, doubts: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """Centres in mm, and the doubt within: each time about the most, and that taken away.

    From the cube of cells that holds most, a ball moves towards where its doubt is (mean shift: Fukunaga, Hostetler,
    IEEE Transactions on Information Theory 21, 1975).

    Args:
        points: (n, 3), in mm; along the first axis they rise.
        doubts: (n,); changed.
    """
    origin = points.min(axis=0)
    cells = ((points - origin) / CELL_MM).astype(np.intp)
    shape = tuple(cells.max(axis=0) + 1)
    flat = np.ravel_multi_index(tuple(cells.T), shape)
    held = np.bincount(flat, doubts, int(np.prod(shape)))
    while doubts.any():
        sums = _summed_around(held.reshape(shape), CELLS_EACH_WAY)
        best = np.unravel_index(int(sums.argmax()), shape)
        inside = _within(points, origin + (np.array(best) + 0.5) * CELL_MM)
        if not doubts[inside].any():  # what is left lies in the corners of the cube
            inside = np.array([doubts.argmax()])
        for _ in range(SHIFTS):
            weights = doubts[inside]
            middle = weights @ points[inside] / weights.sum()
            nearer = _within(points, middle)
            if not doubts[nearer].any():
                break
            inside = nearer
        doubt = float(doubts[inside].sum())
        np.subtract.at(held, flat[inside], doubts[inside])
        doubts[inside] = 0.0
        yield middle, doubt


def _within(points: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Which points, sorted along the first axis, lie in the ball about a middle."""
    reach = MOST_ACROSS_MM / 2.0
    along = points[:, 0]
    first, last = np.searchsorted(along, middle[0] - reach), np.searchsorted(along, middle[0] + reach, side="right")
    away = points[first:last] - middle
    return first + np.flatnonzero(np.einsum("ij,ij->i", away, away) <= reach**2)


def _summed_around(cells: np.ndarray, reach: int) -> np.ndarray:
    """Sums over cubes of cells, ``reach`` each way."""
    for axis, size in enumerate(cells.shape):
        sums = np.concatenate([np.zeros_like(cells.take([0], axis)), cells.cumsum(axis)], axis)
        upper = np.minimum(np.arange(size) + reach + 1, size)
        lower = np.maximum(np.arange(size) - reach, 0)
        cells = sums.take(upper, axis) - sums.take(lower, axis)
    return cells
