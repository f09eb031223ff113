"""The inputs of a several-input model are brought onto the first one's grid, or refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from TransformerSegLib.errors import GridMismatch
from TransformerSegLib.inference.grids import bring_together
from TransformerSegLib.inference.itk_geometry import affine_of
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.volume import Volume

from four_images import finer, made_images, turned

DATA = Path(__file__).parents[1] / "data"
INTERIOR = (slice(3, -3),) * 3


@pytest.fixture(scope="module")
def head() -> Volume:
    return read_volume(DATA / "geometry" / "oblique_flair.nii.gz")


def ramp(affine: np.ndarray, shape: tuple[int, int, int]) -> Volume:
    """Intensities that grow linearly through space, so that linear interpolation on any grid is exact."""
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    return Volume(places @ [1.0, -2.0, 0.5] + 100, affine, "ramp")


def grid(spacing: tuple[float, float, float], origin: tuple[float, float, float], angle: float = 0.0) -> np.ndarray:
    affine = np.diag([*spacing, 1.0])
    c, s = np.cos(angle), np.sin(angle)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ affine[:3, :3]
    affine[:3, 3] = origin
    return affine


def test_one_volume_stays_as_it_is(head):
    assert bring_together([head]) == (head,)


def test_volumes_on_one_grid_stay_as_they_are(head):
    other = replace(head, array=head.array[::-1].copy(), affine=head.affine + 1e-5)
    together = bring_together([head, other])
    assert together[0] is head
    assert together[1] is other


@pytest.mark.parametrize(
    ("order", "flips"), list(itertools.product(itertools.permutations(range(3)), [(1, 1, -1), (-1, 1, 1)]))
)
def test_the_same_anatomy_in_another_axis_order_comes_back_voxel_for_voxel(head, order, flips):
    first, second = bring_together([head, turned(head, order, flips)])
    assert first is head
    assert second.array.dtype == np.float32
    assert second.array.flags.c_contiguous
    np.testing.assert_array_equal(second.array, head.array)
    np.testing.assert_array_equal(second.affine, head.affine)


@pytest.mark.parametrize(
    ("affine", "shape"),
    [
        (grid((2, 2, 2), (-5, -5, -5)), (30, 30, 30)),
        (grid((0.7, 1.1, 5), (-5, -5, -5)), (80, 50, 12)),
        (grid((1.5, 1.5, 1.5), (10, -20, -5), angle=0.5), (50, 50, 40)),
        (grid((-1.5, 1.5, -1.5), (50, -5, 50)), (40, 40, 40)),
    ],
)
def test_intensities_are_interpolated_at_the_same_place_in_the_patient(affine, shape):
    first = ramp(grid((1, 1.2, 1.4), (0, 0, 0)), (36, 30, 25))
    _, second = bring_together([first, ramp(affine, shape)])
    index = np.indices(first.array.shape).reshape(3, -1).T @ np.diag(first.spacing)
    in_second = (index - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    within = ((in_second >= 0) & (in_second <= np.array(shape) - 1)).all(axis=1).reshape(first.array.shape)
    assert within.mean() > 0.9
    np.testing.assert_allclose(second.array[within], first.array[within], atol=1e-3)


@pytest.mark.parametrize(("order", "flips"), [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1))])
def test_more_or_fewer_voxels_of_one_lattice_are_taken_as_they_are(head, order, flips):
    """Nothing is rounded: the values of an image that was cropped, padded or turned are the same to the last bit."""
    start, stop = np.array([3, -4, 2]), np.array(head.array.shape) - [-5, 6, 2]
    padded = np.pad(head.array, ((0, 5), (4, 0), (0, 0)))
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    other = np.ascontiguousarray(padded[3:, : stop[1] + 4, 2 : stop[2]])
    _, second = bring_together([head, turned(replace(head, array=other, affine=affine), order, flips)])
    reached = (slice(3, None), slice(None, stop[1]), slice(2, stop[2]))
    np.testing.assert_array_equal(second.array[reached], head.array[reached])
    outside = np.ones(head.array.shape, bool)
    outside[reached] = False
    assert (second.array[outside] == second.array[outside][0]).all()


@pytest.mark.parametrize(("order", "flips"), [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1))])
def test_a_grid_finer_by_a_whole_factor_gives_the_values_that_it_went_through(head, order, flips):
    """Interpolated to thirds of a voxel, and then cropped: the first's own voxels lie among the others."""
    fine = finer(head, 3)
    affine = fine.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [4, 0, 0]
    cropped = replace(fine, array=np.ascontiguousarray(fine.array[4:, :, :-6]), affine=affine)
    _, second = bring_together([head, turned(cropped, order, flips)])
    np.testing.assert_array_equal(second.array[2:, :, :-2], head.array[2:, :, :-2])
    assert (second.array[:2] == second.array[0, 0, 0]).all()


@pytest.mark.parametrize("factor", [(2, 2, 2), (3, 3, 3), (1, 3, 2)])
def test_what_was_cut_away_stays_0_though_itk_rounds_where_it_interpolates(factor):
    """Onto a finer grid: beside a skull-stripped brain, ITK then writes 1e-13 and the like."""
    image = made_images()[0]
    stored = SimpleITK.GetImageFromArray(image.array.transpose(2, 1, 0).astype(np.float32))
    stored.SetSpacing([0.93, 1.07, 1.21])
    size = [(count - 1) * by + 1 for count, by in zip(stored.GetSize(), factor, strict=True)]
    spacing = [length / by for length, by in zip(stored.GetSpacing(), factor, strict=True)]
    arguments = (SimpleITK.Transform(), SimpleITK.sitkLinear, stored.GetOrigin(), spacing, stored.GetDirection())
    fine = SimpleITK.Resample(stored, size, *arguments)
    given = [
        Volume(np.ascontiguousarray(SimpleITK.GetArrayFromImage(one).transpose(2, 1, 0)), affine_of(one), name)
        for one, name in ((stored, "as it was"), (fine, "finer"))
    ]
    assert ((given[1].array > 0) & (given[1].array < 1e-6)).any()
    first, second = bring_together(given)
    np.testing.assert_array_equal(second.array, first.array)


def test_half_a_voxel_of_shift_is_interpolated(head):
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [0.5, 0, 0]
    _, second = bring_together([head, replace(head, array=head.array.copy(), affine=affine)])
    between = (head.array[:-1].astype(float) + head.array[1:]) / 2
    np.testing.assert_allclose(second.array[1:-1], between[:-1], atol=1e-2)


def test_a_finer_copy_of_a_real_volume_comes_back(head):
    to_fine = np.diag([0.5, 0.5, 0.5, 1.0])
    to_fine[:3, 3] = -0.25
    fine = Volume(head.array.repeat(2, 0).repeat(2, 1).repeat(2, 2), head.affine @ to_fine, "fine")
    _, second = bring_together([head, fine])
    np.testing.assert_allclose(second.array[INTERIOR], head.array[INTERIOR], atol=0.01)


def test_name_and_modality_stay_with_their_volume(head):
    other = replace(turned(head, (1, 0, 2), (1, 1, 1)), name="t2", modality="MR")
    _, second = bring_together([head, other])
    assert (second.name, second.modality) == ("t2", "MR")


@pytest.mark.parametrize("background", [0, -1000])
def test_where_a_volume_does_not_reach_it_takes_the_value_of_its_background(background):
    first = ramp(grid((1, 1, 1), (0, 0, 0)), (30, 30, 30))
    array = np.full((20, 30, 30), background, np.int16)
    array[5:15, 5:25, 5:25] = 300
    array[[0, 6], 6, 6] = background - 50  # noise on the border and within, lower than the background
    _, second = bring_together([first, Volume(array, grid((1, 1, 1), (10, 0, 0)), "short")])
    np.testing.assert_array_equal(second.array[:9], background)
    np.testing.assert_array_equal(second.array[10:], array)


def test_where_a_volume_that_was_cut_through_the_patient_does_not_reach_there_is_no_signal(head):
    inside = np.ascontiguousarray(head.array[:, :, 8:])
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, 2] * 8
    _, second = bring_together([head, replace(head, array=inside, affine=affine)])
    np.testing.assert_array_equal(second.array[:, :, 8:], inside)
    assert not second.array[:, :, :8].any()


def test_a_volume_of_another_part_of_the_body_is_refused(head):
    shift = np.eye(4)
    shift[0, 3] = 30
    elsewhere = replace(head, affine=shift @ head.affine, name="leg")
    with pytest.raises(GridMismatch, match=r"“leg” covers only .*% of what “oblique_flair” shows"):
        bring_together([head, elsewhere])


def test_a_volume_that_lacks_a_few_slices_is_not_refused(head):
    shorter = replace(head, array=np.ascontiguousarray(head.array[:, :, :30]))
    _, second = bring_together([head, shorter])
    np.testing.assert_allclose(second.array[:, :, :29], head.array[:, :, :29], atol=1e-2)


def test_voxels_of_a_wholly_different_size_are_refused(head):
    in_metres = replace(head, affine=np.diag([1000, 1000, 1000, 1]) @ head.affine, name="metres")
    with pytest.raises(GridMismatch, match=r"1×1×1 and 1e\+03×1e\+03×1e\+03 mm"):
        bring_together([head, in_metres])
