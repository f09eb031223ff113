"""Grids whose voxels meet, however they are counted."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from TransformerSegLib.scene.lattice import Lattice

from example_segmentation import AFFINES

SHAPE = (4, 5, 6)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_the_same_voxels_are_found_from_another_corner_along_other_axes(affine: np.ndarray, axes, signs):
    to_target = np.zeros((4, 4))
    for row, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        to_target[row, axis] = sign
    to_target[:, 3] = (7, -3, 11, 1)
    source = affine @ to_target
    array = np.random.default_rng(0).integers(0, 9, SHAPE)
    start = (2, -1, 3)

    placed, first = Lattice.between(source, affine, SHAPE).placed(array, start)

    for index in np.ndindex(*SHAPE):
        target = np.linalg.solve(affine, source @ (*np.add(index, start), 1))[:3].round().astype(int)
        assert placed[tuple(target - first)] == array[index]
    assert np.shares_memory(placed, array)


def moved(affine: np.ndarray, by: float) -> np.ndarray:
    other = affine.copy()
    other[:3, 3] += affine[:3, 0] * by
    return other


def test_grids_between_whose_voxels_others_lie_do_not_meet():
    affine = AFFINES["oblique"]
    assert Lattice.between(affine, moved(affine, 0.3), SHAPE) is None
    assert Lattice.between(affine, moved(affine, 1.001), SHAPE) is not None
    for name in ("RAS, 1 mm", "sagittal"):
        assert Lattice.between(affine, AFFINES[name], SHAPE) is None
    finer = affine.copy()
    finer[:3, :3] /= 2
    assert Lattice.between(affine, finer, SHAPE) is None
    assert Lattice.between(finer, affine, SHAPE) is None


def test_voxels_that_drift_apart_over_the_grid_do_not_meet():
    affine = np.eye(4)
    longer = np.diag([1.0001, 1, 1, 1])
    assert Lattice.between(longer, affine, (10, 10, 10)) is not None
    assert Lattice.between(longer, affine, (1000, 10, 10)) is None


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_what_is_no_grid_meets_nothing(affine: np.ndarray):
    assert Lattice.between(affine, np.eye(4), SHAPE) is None
    assert Lattice.between(np.eye(4), affine, SHAPE) is None
