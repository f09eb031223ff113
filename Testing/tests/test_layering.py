"""Classes that overlap lie in as few label layers as possible."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from TransformerSegLib.inference.layering import fewest_layers


def graph(classes: int, *overlaps: tuple[int, int]) -> np.ndarray:
    overlap = np.zeros((classes, classes), bool)
    for one, other in overlaps:
        overlap[one, other] = overlap[other, one] = True
    return overlap


def random_graph(classes: int, density: float, seed: int) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).random((classes, classes)) < density, 1)
    return upper | upper.T


def is_proper(layers, overlap: np.ndarray) -> bool:
    return all(layers[one] != layers[other] for one, other in zip(*np.nonzero(np.triu(overlap, 1)), strict=True))


def fewest_by_trying_all(overlap: np.ndarray) -> int:
    classes = len(overlap)
    for number in range(1, classes + 1):
        if any(is_proper(layers, overlap) for layers in itertools.product(range(number), repeat=classes)):
            return number
    raise AssertionError("one layer a class always does")


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("density", [0.2, 0.5, 0.8])
def test_there_are_as_few_layers_as_trying_all_finds(classes, density):
    for seed in range(12):
        overlap = random_graph(classes, density, seed)
        layers = fewest_layers(overlap)
        assert is_proper(layers, overlap)
        assert max(layers) + 1 == fewest_by_trying_all(overlap)


@pytest.mark.parametrize(
    ("overlap", "layers"),
    [
        (graph(3), [0, 0, 0]),
        (graph(3, (0, 1), (1, 2), (0, 2)), [0, 1, 2]),  # BraTS: the core in the whole, the enhancing part in both
        (graph(4, (0, 1), (1, 2)), [0, 1, 0, 0]),
        (graph(4, (0, 3), (3, 1), (1, 2)), [0, 0, 1, 1]),  # first come, first served would take three
    ],
)
def test_the_first_classes_lie_in_the_first_layers(overlap, layers):
    assert fewest_layers(overlap) == layers


def crown(pairs: int) -> np.ndarray:
    """Class 2n overlaps every odd one but 2n + 1: two layers do, and one class after the other would take ``pairs``."""
    places = np.arange(2 * pairs)
    even, pair = places % 2 == 0, places // 2
    return (even[:, None] != even) & (pair[:, None] != pair)


def test_an_order_that_misleads_the_greedy_does_no_harm():
    assert fewest_layers(crown(20)) == [0, 1] * 20


def mycielski(overlap: np.ndarray) -> np.ndarray:
    """A graph that needs a layer more, though no three classes more overlap each other (J. Mycielski, 1955)."""
    count = len(overlap)
    larger = np.zeros((2 * count + 1, 2 * count + 1), bool)
    larger[:count, :count] = larger[count:-1, :count] = larger[:count, count:-1] = overlap
    larger[count:-1, -1] = larger[-1, count:-1] = True
    return larger


def test_classes_that_need_more_layers_than_any_of_them_overlap_at_once():
    overlap = graph(2, (0, 1))
    for number in (3, 4, 5):
        overlap = mycielski(overlap)
        layers = fewest_layers(overlap)
        assert is_proper(layers, overlap)
        assert max(layers) + 1 == number


@pytest.mark.alone
@pytest.mark.parametrize(("classes", "density"), [(60, 0.3), (100, 0.5), (133, 0.5), (300, 1.0)])
def test_many_classes_take_a_moment_only(classes, density):
    overlap = random_graph(classes, density, seed=0)
    started = time.process_time()
    layers = fewest_layers(overlap)
    assert time.process_time() - started < 3.0
    assert is_proper(layers, overlap)
