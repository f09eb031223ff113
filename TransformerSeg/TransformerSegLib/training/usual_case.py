"""What the cases of a data set are usually like: what a recipe for a new network is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.inference.hounsfield import looks_like_ct
from TransformerSegLib.inference.model_grid import ModelGrid
from TransformerSegLib.inference.orientation import reorientation
from TransformerSegLib.training.cases import Case, ClassName
from TransformerSegLib.training.image_file import read_image
from TransformerSegLib.training.labels import read_label, read_stored_labels

CASES_LOOKED_AT = 20
"""Spread over the list; more tell little more."""

LABELLED_PERCENTILES = (0.5, 99.5)
"""Between which the intensities of what is labelled count: as nnU-Net clips CT (Isensee et al. 2021)."""


@dataclass(frozen=True)
class UsualCase:
    """Medians over cases, along the axes of an orientation.

    Attributes:
        spacing_mm: distance of voxel centres.
        size: voxels.
        hounsfield: the range of intensities in what is labelled, where the images are CT; else None.
        labels: all that occur, rising, without 0; where classes are named, in the cases that were looked at.
    """

    spacing_mm: tuple[float, float, float]
    size: tuple[int, int, int]
    hounsfield: tuple[float, float] | None
    labels: tuple[int, ...]


def usual_case(cases: Sequence[Case], classes: Sequence[ClassName], axcodes: str) -> UsualCase:
    """Look at some of the cases.

    Raises:
        TrainingDataRejected: the labels of one cannot be used.
        InputRejected: a volume cannot be read.
    """
    spacings, sizes, ranges, labels = [], [], [], set()
    for case in _some(cases):
        image = read_image(case.image)
        mask = read_label(case, classes, image).array
        grid = ModelGrid(image.affine, image.array.shape).turned(reorientation(image.affine, axcodes))
        spacings.append(np.linalg.norm(grid.affine[:3, :3], axis=0))
        sizes.append(grid.shape)
        labels.update(np.unique(mask).tolist())
        if looks_like_ct(image.array) and mask.any():
            ranges.append(np.percentile(image.array[mask > 0], LABELLED_PERCENTILES))
    if not classes:  # nothing else tells them, and one may be in few cases
        labels.update(*(np.unique(read_stored_labels(case, ()).volume.array).tolist() for case in cases))
    hounsfield = tuple(np.median(ranges, axis=0).round().tolist()) if len(ranges) == len(spacings) else None
    return UsualCase(
        tuple(float(f"{length:.3g}") for length in np.median(spacings, axis=0)),
        tuple(int(voxels) for voxels in np.median(sizes, axis=0)),
        hounsfield if hounsfield and hounsfield[0] < hounsfield[1] else None,
        tuple(sorted(labels - {0})),
    )


def usual_size(
    cases: Sequence[Case], axcodes: str | None, spacing_mm: tuple[float, float, float] | None
) -> tuple[int, int, int]:
    """How large the first images of some of the cases are once they are brought to an orientation and a spacing.

    Args:
        axcodes, spacing_mm: as a recipe has them; None: as the images are stored.

    Returns:
        Voxels along each axis, medians.

    Raises:
        InputRejected: a volume cannot be read.
    """
    sizes = []
    for case in _some(cases):
        image = read_image(case.image)
        grid = ModelGrid(image.affine, image.array.shape)
        if axcodes is not None:
            grid = grid.turned(reorientation(image.affine, axcodes))
        finer = np.linalg.norm(grid.affine[:3, :3], axis=0) / spacing_mm if spacing_mm is not None else 1.0
        sizes.append(np.array(grid.shape) * finer)
    return tuple(round(float(voxels)) for voxels in np.median(sizes, axis=0))


def _some(cases: Sequence[Case]) -> Sequence[Case]:
    return cases[:: max(1, len(cases) // CASES_LOOKED_AT)]
