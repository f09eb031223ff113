"""What the cases of a data set are usually like: what a recipe for a new network is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.inference.hounsfield import looks_like_ct
from TransformerSegLib.inference.model_grid import ModelGrid
from TransformerSegLib.inference.orientation import reorientation
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.training.cases import Case, ClassName
from TransformerSegLib.training.labels import read_label

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
        labels: all that occur, rising, without 0.
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
    step = max(1, len(cases) // CASES_LOOKED_AT)
    spacings, sizes, ranges, labels = [], [], [], set()
    for case in cases[::step]:
        image = read_volume(case.image)
        mask = read_label(case, classes, image).array
        grid = ModelGrid(image.affine, image.array.shape).turned(reorientation(image.affine, axcodes))
        spacings.append(np.linalg.norm(grid.affine[:3, :3], axis=0))
        sizes.append(grid.shape)
        labels.update(np.unique(mask).tolist())
        if looks_like_ct(image.array) and mask.any():
            ranges.append(np.percentile(image.array[mask > 0], LABELLED_PERCENTILES))
    hounsfield = tuple(np.median(ranges, axis=0).round().tolist()) if len(ranges) == len(spacings) else None
    return UsualCase(
        tuple(round(float(length), 2) for length in np.median(spacings, axis=0)),
        tuple(int(voxels) for voxels in np.median(sizes, axis=0)),
        hounsfield if hounsfield and hounsfield[0] < hounsfield[1] else None,
        tuple(sorted(labels - {0})),
    )
