"""The same anatomy, however its voxels are stored, gets the same segments."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.training.metrics import dice

ORDERS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(find_bundle(), "cpu")


@pytest.fixture(scope="module")
def volume() -> Volume:
    return read_volume(resources_folder() / "SampleData" / "hippocampus_297.nii.gz")


@pytest.fixture(scope="module")
def labels(segmenter: Segmenter, volume: Volume) -> np.ndarray:
    return segmenter.segment([volume]).layers[0]


def stored(volume: Volume, axes: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """The same anatomy with its axes permuted and, where a sign is negative, turned round."""
    array = np.ascontiguousarray(volume.array.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)])
    old_from_new = np.zeros((4, 4))
    old_from_new[3, 3] = 1
    for new, (old, sign) in enumerate(zip(axes, signs, strict=True)):
        old_from_new[old, new] = sign
        old_from_new[old, 3] = 0 if sign > 0 else volume.array.shape[old] - 1
    return replace(volume, array=array, affine=volume.affine @ old_from_new)


def as_before(labels: np.ndarray, axes: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    return labels[tuple(slice(None, None, sign) for sign in signs)].transpose(np.argsort(axes))


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    for label in (1, 2):
        assert dice(found == label, expected == label) >= 0.999


@pytest.mark.parametrize(("axes", "signs"), ORDERS)
def test_any_of_the_48_axis_orders_gives_the_same_segments(segmenter, volume, labels, axes, signs):
    segmentation = segmenter.segment([stored(volume, axes, signs)])
    assert_alike(as_before(segmentation.layers[0], axes, signs), labels)


@pytest.mark.parametrize("degrees", [(19, 0, 0), (0, -12, 25), (20, 15, -17)])
@pytest.mark.parametrize(("axes", "signs"), ORDERS[::13])
def test_an_oblique_affine_gives_the_same_segments(segmenter, volume, labels, axes, signs, degrees):
    turned = stored(volume, axes, signs)
    segmentation = segmenter.segment([replace(turned, affine=rotation(*degrees) @ turned.affine)])
    assert_alike(as_before(segmentation.layers[0], axes, signs), labels)


def rotation(*degrees: float) -> np.ndarray:
    """About x, then y, then z of the patient."""
    turn = np.eye(4)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [other for other in range(3) if other != axis]
        step = np.eye(4)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn
