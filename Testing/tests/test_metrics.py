"""What is measured of one class in one case, and how sure a mean over cases is."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from TransformerSegLib.training.confidence import LEVEL, estimate
from TransformerSegLib.training.metrics import Presence, dice, measure

SHAPE = (24, 26, 28)


def cuboid(start: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(first, first + length) for first, length in zip(start, size, strict=True))] = True
    return mask


BOX = cuboid((6, 6, 6), (8, 9, 10))


def outline(mask: np.ndarray, spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Centres in mm and areas in mm² of the voxels' faces between a mask and what is not in it."""
    centres, areas = [], []
    for axis in range(3):
        first, second = (np.take(mask, range(start, mask.shape[axis] + start - 1), axis) for start in (0, 1))
        at = np.argwhere(first != second) + 0.5 * np.eye(3)[axis]
        centres.append(at * spacing)
        areas.append(np.full(len(at), np.prod(spacing) / spacing[axis]))
    return np.concatenate(centres), np.concatenate(areas)


def share_within(found: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float], mm: float) -> float:
    """Of both outlines' faces, the share of the area that lies within so many mm of a face of the other."""
    (one, one_areas), (other, other_areas) = outline(found, spacing), outline(reference, spacing)
    apart = np.linalg.norm(one[:, None] - other[None], axis=-1)
    near = one_areas[apart.min(axis=1) <= mm].sum() + other_areas[apart.min(axis=0) <= mm].sum()
    return near / (one_areas.sum() + other_areas.sum())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.5, 3.0), (5.0, 0.8, 0.8)])
def test_a_shift_is_measured_in_millimetres_along_its_axis(axis: int, spacing: tuple[float, float, float]):
    moved = np.roll(BOX, 2, axis)
    figures = measure(moved, BOX, spacing)
    assert figures.hd95_mm == pytest.approx(2 * spacing[axis])
    assert figures.dice == pytest.approx(1 - 2 / BOX.any(axis=tuple({0, 1, 2} - {axis})).sum())
    assert figures.volume_error_ml == figures.volume_error_percent == 0
    assert figures.found_ml == pytest.approx(8 * 9 * 10 * np.prod(spacing) / 1000)


def test_an_outline_within_a_millimetre_counts_whole_and_one_beyond_it_does_not():
    spacing = (0.5, 1.0, 3.0)
    assert measure(np.roll(BOX, 2, 0), BOX, spacing).surface_dice == pytest.approx(1.0)
    assert measure(np.roll(BOX, 1, 2), BOX, spacing).surface_dice < 0.95


@pytest.mark.parametrize("spacing", [(0.9, 0.9, 0.9), (0.4, 0.4, 2.0), (2.5, 0.6, 0.6)])
def test_the_surface_dice_is_near_what_counting_the_voxels_faces_gives(spacing: tuple[float, float, float]):
    for found in (np.roll(BOX, (1, 2, 1), (0, 1, 2)), cuboid((4, 7, 6), (13, 6, 9))):
        counted = share_within(found, BOX, spacing, 1.0)
        assert measure(found, BOX, spacing).surface_dice == pytest.approx(counted, abs=0.12)


def test_dice_is_the_share_of_common_voxels():
    random = np.random.default_rng(3)
    found, reference = (random.random(SHAPE) < share for share in (0.3, 0.5))
    expected = 2 * np.count_nonzero(found & reference) / (np.count_nonzero(found) + np.count_nonzero(reference))
    assert dice(found, reference) == pytest.approx(expected, abs=1e-6)
    assert measure(found, reference, (1, 1, 1)).dice == dice(found, reference)


def test_a_class_that_is_neither_there_nor_found_is_not_counted():
    nothing = np.zeros(SHAPE, bool)
    figures = measure(nothing, nothing, (1, 1, 1))
    assert figures.presence is Presence.ABSENT
    measured = [figures.dice, figures.surface_dice, figures.hd95_mm, figures.volume_error_ml]
    assert all(map(math.isnan, measured))
    assert estimate(measured).cases == 0


def test_a_missed_class_and_one_found_though_absent_have_no_distance_and_no_overlap():
    nothing = np.zeros(SHAPE, bool)
    missed, false = measure(nothing, BOX, (1, 1, 2)), measure(BOX, nothing, (1, 1, 2))
    assert (missed.presence, false.presence) == (Presence.MISSED, Presence.FALSE)
    for figures in (missed, false):
        assert (figures.dice, figures.surface_dice) == (0, 0)
        assert math.isnan(figures.hd95_mm)
    assert (missed.volume_error_ml, missed.volume_error_percent) == (pytest.approx(-1.44), -100)
    assert false.volume_error_ml == pytest.approx(1.44)
    assert math.isnan(false.volume_error_percent)


def test_classes_at_the_edge_of_the_volume_are_measured_as_those_within():
    corner = cuboid((0, 0, 0), (8, 9, 10))
    at_edge, within = (measure(np.roll(mask, 1, 1), mask, (1, 2, 1)) for mask in (corner, BOX))
    for field in dataclasses.fields(at_edge):
        assert getattr(at_edge, field.name) == getattr(within, field.name)


def test_masks_of_two_grids_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        measure(BOX, BOX[1:], (1, 1, 1))


def test_the_same_cases_give_the_same_interval_around_their_mean():
    values = [0.91, 0.88, float("nan"), 0.93, 0.79, 0.9]
    first, again = estimate(values), estimate(values)
    assert first == again
    assert first.cases == 5
    assert first.mean == pytest.approx(np.nanmean(values))
    assert first.low < first.mean < first.high
    assert (first.smallest, first.median, first.largest) == (0.79, 0.9, 0.93)


def test_one_case_has_a_mean_and_no_interval():
    one = estimate([0.5])
    assert one.mean == 0.5
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    random = np.random.default_rng(5)
    intervals = [estimate(random.exponential(2.0, 60)) for _ in range(150)]
    held = np.mean([each.low <= 2.0 <= each.high for each in intervals])
    assert held == pytest.approx(LEVEL, abs=0.05)
