"""How the scores of voxels become label values."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from TransformerSegLib.bundles.card import SegmentClass
from TransformerSegLib.bundles.plan import Activation, OutputPlan
from TransformerSegLib.errors import Cancelled, ScoresNotFinite
from TransformerSegLib.inference.discretising import AboveThreshold, HighestScore, discretiser, voxels_of_labels
from TransformerSegLib.inference.progress import CancelToken


def classes(*labels: int, first_channel: int = 1) -> list[SegmentClass]:
    return [
        SegmentClass(label=label, channel=channel, name=str(label), color=(0, 0, 0))
        for channel, label in enumerate(labels, start=first_channel)
    ]


def test_of_equal_scores_the_first_class_wins_as_in_argmax():
    scores = torch.randint(0, 3, (6, 40, 50), generator=torch.Generator().manual_seed(0)).float()
    found = HighestScore(classes(1, 2, 3, 4, 5)).numbers(scores)[0]
    assert np.array_equal(found, scores.argmax(dim=0).numpy())


def test_a_class_is_written_with_its_own_label_and_background_with_zero():
    scores = torch.eye(3).reshape(3, 1, 3)
    numbers = HighestScore(classes(7, 300)).numbers(scores)
    assert numbers.dtype == np.uint16
    assert numbers.tolist() == [[[0, 7, 300]]]


def test_more_channels_than_a_byte_counts():
    scores = torch.zeros(300, 1, 300)
    scores[torch.arange(300), 0, torch.arange(300)] = 1.0
    numbers = HighestScore(classes(*range(1, 300))).numbers(scores)
    assert numbers.tolist() == [[list(range(300))]]


@pytest.mark.parametrize("output", [OutputPlan(), OutputPlan(Activation.SIGMOID, threshold=0.5)], ids=repr)
def test_scores_that_are_not_numbers_are_refused(output):
    scores = torch.zeros(3, 4, 4)
    scores[1, 2, 2] = torch.nan
    with pytest.raises(ScoresNotFinite):
        discretiser(output, classes(1, 2, first_channel=0)).numbers(scores)


def test_a_score_at_the_threshold_belongs_to_the_class():
    chosen = AboveThreshold(classes(1, first_channel=0), threshold=0.5)
    below, at, above = 0.5 - 1e-7, 0.5, 0.6
    assert chosen.numbers(torch.tensor([[[below, at, above]]])).tolist() == [[[0, 1, 1]]]


def test_classes_that_overlap_take_as_few_layers_as_greedy_colouring_needs():
    # 1 and 2 overlap, 2 and 3 do; 4 meets nobody.
    masks = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]]).float()
    chosen = AboveThreshold(classes(1, 2, 3, 4, first_channel=0), threshold=0.5)
    layers = chosen.layers(chosen.numbers(masks[:, None])[:, np.newaxis])
    assert [layer.ravel().tolist() for layer in layers] == [[1, 1, 0, 3, 3, 4], [0, 2, 2, 2, 0, 0]]
    assert [chosen.layer_of(position) for position in range(4)] == [0, 1, 0, 0]


def test_twenty_overlapping_classes_come_back_as_they_were():
    masks = torch.rand(20, 33, 8, 9, generator=torch.Generator().manual_seed(0))
    chosen = AboveThreshold(classes(*range(11, 31), first_channel=0), threshold=0.7)
    numbers = np.stack([chosen.numbers(masks[:, row]) for row in range(33)], axis=1)
    layers = chosen.layers(numbers)
    for position in range(20):
        found = layers[chosen.layer_of(position)] == 11 + position
        assert np.array_equal(found, masks[position].numpy() >= 0.7)


def test_a_cancelled_unpacking_of_layers_stops():
    chosen, cancel = AboveThreshold(classes(1, 2, first_channel=0), threshold=0.5), CancelToken()
    numbers = chosen.numbers(torch.rand(2, 4, 4))[:, np.newaxis]
    cancel.cancel()
    with pytest.raises(Cancelled):
        chosen.layers(numbers, cancel)


@pytest.mark.alone
def test_many_classes_that_all_overlap_are_laid_out_once_not_for_every_slab():
    number = 150
    chosen = AboveThreshold(classes(*range(1, number + 1), first_channel=0), threshold=0.5)
    numbers = chosen.numbers(torch.ones(number, 1, 1))[:, np.newaxis].repeat(512, axis=1)
    started = time.process_time()
    layers = chosen.layers(numbers)
    assert time.process_time() - started < 2.0  # it took 20 s where each slab laid them out again
    assert [layer.flat[0] for layer in layers] == list(range(1, number + 1))


def test_voxels_are_counted_label_by_label():
    layer = np.random.default_rng(0).integers(0, 5, (50, 6, 7)).astype(np.uint8)
    assert voxels_of_labels(layer, 6).tolist() == np.bincount(layer.ravel(), minlength=7).tolist()
