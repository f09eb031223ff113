"""Slices are zoomed exactly as SciPy zooms them, without SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import zoom

from TransformerSegLib.inference.cubic_zoom import cubic_zoom
from TransformerSegLib.inference.nearest_zoom import OUTSIDE, nearest_zoom

SIZES = [(512, 224), (224, 512), (333, 224), (100, 224), (1024, 224), (224, 97), (17, 18), (7, 3), (3, 7), (2, 9)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize(("old", "new"), [*SIZES, (1, 5), (5, 1), (2, 1), (1, 1)])
def test_cubic_zoom_is_scipys(old: int, new: int):
    samples = noise(old)
    np.testing.assert_allclose(cubic_zoom(old, new) @ samples, zoom(samples, new / old, order=3), rtol=0, atol=1e-12)


def test_an_image_is_zoomed_axis_by_axis_to_the_last_bit_of_float32_or_the_one_beside_it():
    image = noise(300, 190).astype(np.float32)
    ours = (cubic_zoom(300, 224) @ image.astype(np.float64) @ cubic_zoom(190, 224).T).astype(np.float32)
    scipys = zoom(image, (224 / 300, 224 / 190), order=3)
    np.testing.assert_array_max_ulp(ours, scipys, maxulp=1)
    assert (ours == scipys).mean() > 0.9999


@pytest.mark.parametrize("network_side", [32, 224, 512])
def test_labels_zoomed_back_are_scipys_at_every_size(network_side: int):
    labels = np.arange(1, network_side + 1)
    sizes = [size for size in range(1, 700) if size != network_side]
    for size in sizes:
        indices = nearest_zoom(network_side, size)
        expected = zoom(labels, size / network_side, order=0)
        assert np.array_equal(np.where(indices == OUTSIDE, 0, labels[indices]), expected), size
    assert any((nearest_zoom(network_side, size) == OUTSIDE).any() for size in sizes)


def test_the_seam_of_zeros_that_scipy_leaves_from_512_to_224_is_there():
    image = np.ones((512, 512))
    scipys = zoom(image, 224 / 512, order=3)
    ours = cubic_zoom(512, 224) @ image @ cubic_zoom(512, 224).T
    assert not scipys[-1].any()
    np.testing.assert_allclose(ours, scipys, rtol=0, atol=1e-12)
