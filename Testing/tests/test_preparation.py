"""A network sees exactly what MONAI's transforms would have shown it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from TransformerSegLib.bundles.plan import (
    IntensityStep,
    NormalizeIntensity,
    Orientation,
    ScaleIntensity,
    ScaleIntensityRange,
    ScaleIntensityRangePercentiles,
    Spacing,
)
from TransformerSegLib.errors import BundleRejected, Cancelled
from TransformerSegLib.inference.preparation import PreparedImage, prepare
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.respacing import respacing
from TransformerSegLib.inference.volume import Volume

from real_volumes import CT, MR, affine_of, real_volume
from stock_monai import as_metatensor, loaded, preprocessing

EVERYTHING = (slice(None), slice(None), slice(None))

INTENSITY_STEPS: list[IntensityStep] = [
    NormalizeIntensity(),
    NormalizeIntensity(nonzero=True, channel_wise=True),
    NormalizeIntensity(channel_wise=True, subtrahend=(30.0, 5.0), divisor=(70.0, 0.3)),
    NormalizeIntensity(nonzero=True),
    ScaleIntensityRange(-175.0, 250.0, 0.0, 1.0, clip=True),
    ScaleIntensityRange(-175.0, 250.0),
    ScaleIntensityRange(10.0, 10.0, 1.0, 2.0),
    ScaleIntensity(),
    ScaleIntensity(minv=-1.0, maxv=1.0, channel_wise=True),
    ScaleIntensity(minv=None, maxv=None, factor=0.3),
    ScaleIntensityRangePercentiles(1.0, 99.0, 0.0, 1.0, clip=True),
    ScaleIntensityRangePercentiles(5.0, 95.0, -1.0, 1.0, relative=True, channel_wise=True),
]

AXES = ["RAS", "LPS", "PSR", "SAL", "ILA"]


def two_inputs(axes: str = "LPS", degrees: float = 0.0) -> list[Volume]:
    """A real MR volume with its background at zero, and its square root as the second input."""
    volume = real_volume(MR, affine_of((3.0, 2.0, 1.0), axes, degrees), np.s_[20:60, 10:50, :])
    array = np.where(volume.array < 20, 0, volume.array)
    root = np.sqrt(np.abs(array[::-1])).astype(np.float32)
    return [Volume(array, volume.affine, "first"), Volume(root, volume.affine, "second")]


def by_monai(volumes, steps):
    return preprocessing(steps)({"image": as_metatensor(volumes)})["image"]


def assert_identical(image: PreparedImage, expected) -> None:
    assert torch.equal(image.at(EVERYTHING), expected.as_tensor())
    assert np.allclose(image.grid.affine, expected.affine.numpy(), atol=1e-9)


@pytest.mark.parametrize("step", INTENSITY_STEPS, ids=repr)
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.filterwarnings("ignore:Divide by zero")  # MONAI's own, for a_min == a_max
def test_orientation_and_intensity_equal_monai_to_the_last_bit(axes, step):
    volumes = two_inputs(axes)
    for steps in ([Orientation("RAS"), step], [step, Orientation("SPL")], [step, NormalizeIntensity()]):
        assert_identical(prepare(volumes, steps), by_monai(volumes, steps))


@pytest.mark.parametrize("path", [MR, CT])
def test_a_file_is_prepared_as_monai_prepares_it(path):
    steps = [Orientation("RAS"), ScaleIntensityRangePercentiles(1.0, 99.0, 0.0, 1.0), NormalizeIntensity()]
    assert_identical(prepare([real_volume(path)], steps), preprocessing(steps)({"image": loaded([path])})["image"])


@pytest.mark.parametrize("degrees", [0.0, 19.0])
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("pixdim", [(1.5, 1.5, 1.5), (3.0, 1.0, 2.0)])
def test_resampled_voxels_equal_monai_but_for_float32_rounding(axes, degrees, pixdim):
    volumes = two_inputs(axes, degrees)
    spacing, turn, normalize = Spacing(pixdim), Orientation("RAS"), NormalizeIntensity(nonzero=True, channel_wise=True)
    for steps in ([turn, spacing, normalize], [spacing, turn, normalize], [normalize, turn, spacing]):
        image, expected = prepare(volumes, steps), by_monai(volumes, steps)
        assert image.shape == expected.shape[1:]
        assert np.allclose(image.grid.affine, expected.affine.numpy(), atol=1e-9)
        assert torch.allclose(image.at(EVERYTHING), expected.as_tensor(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 19.0])
@pytest.mark.parametrize("axes", AXES)
def test_nearest_voxels_equal_monai_to_the_last_bit_even_half_way_between_two(axes, degrees):
    volumes = two_inputs(axes, degrees)
    steps = [Orientation("RAS"), Spacing((1.5, 1.0, 0.5), mode="nearest")]
    assert_identical(prepare(volumes, steps), by_monai(volumes, steps))


def test_sizes_equal_monai_even_where_they_fall_half_way_between_two_numbers():
    from monai.data.utils import compute_shape_offset, zoom_affine

    generator = np.random.default_rng(0)
    for degrees, spacing in itertools.product((0.0, 7.0, 31.0), itertools.product((0.5, 0.75, 0.8, 3.0), repeat=3)):
        affine = affine_of(spacing, "LPS", degrees)
        shape = tuple(int(size) for size in generator.integers(2, 400, 3))
        expected = zoom_affine(affine, (1.5, 1.5, 1.5), diagonal=False)
        size, expected[:3, 3] = compute_shape_offset(shape, affine, expected)
        respaced = respacing(affine, shape, (1.5, 1.5, 1.5))
        assert respaced.new_shape == tuple(size)
        assert np.array_equal(respaced.new_affine, expected)


def test_a_volume_near_enough_to_the_wanted_spacing_keeps_its_voxels():
    volume = real_volume(MR, affine_of((1.0005, 0.9995, 1.0)))
    image = prepare([volume], [Orientation("RAS"), Spacing((1.0, 1.0, 1.0))])
    assert image.grid.resampled is None
    assert np.shares_memory(image.channels[0], volume.array)


def test_orientation_and_scaling_copy_no_voxel_and_change_none():
    volume = real_volume(MR, affine_of((3.0, 2.0, 1.0), "PSR"))
    before = volume.array.copy()
    image = prepare([volume], [Orientation("LPI"), NormalizeIntensity(), ScaleIntensity()])
    image.at(EVERYTHING).zero_()
    assert np.shares_memory(image.channels[0], volume.array)
    assert np.array_equal(volume.array, before)


def test_a_window_of_the_prepared_image_is_that_part_of_the_whole():
    image = prepare(two_inputs(), [Orientation("RAS"), NormalizeIntensity(channel_wise=True)])
    part = np.s_[5:20, 7:9, 0:11]
    assert torch.equal(image.at(part), image.at(EVERYTHING)[:, *part])


def test_a_preparation_that_resamples_twice_is_refused():
    with pytest.raises(BundleRejected, match="twice"):
        prepare(two_inputs(), [Spacing((2.0, 2.0, 2.0)), Spacing((1.0, 1.0, 1.0))])


@pytest.mark.parametrize("degrees", [0.0, 19.0])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_cancelled_preparation_stops(mode, degrees):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        prepare(two_inputs(degrees=degrees), [Spacing((1.0, 1.0, 1.0), mode)], cancel)
