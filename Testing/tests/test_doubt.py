"""Where a model doubts: how sure it is, where to look first, and how good a class probably is."""

from __future__ import annotations

import numpy as np
import pytest

from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.interaction.calibration import calibration_error, fitted_temperature
from TransformerSegLib.interaction.confidence import confidence_map, doubts, softmax
from TransformerSegLib.interaction.doubt import doubt_of
from TransformerSegLib.interaction.doubtful_places import MOST_ACROSS_MM, doubtful_places
from TransformerSegLib.interaction.expected_overlap import expected_overlaps
from TransformerSegLib.interaction.kept_scores import KeptScores
from TransformerSegLib.interaction.run_scores import RunScores
from TransformerSegLib.interaction.verdict import Verdict, verdict

from example_segmentation import PROVENANCE, card_of, segment_class

SHAPE = (40, 40, 30)


def kept_of(leads: dict[tuple[int, int, int], float], number: int = 1, shape=SHAPE) -> KeptScores:
    """Voxels of a class that leads “none” by so many logits."""
    places = np.array([np.ravel_multi_index(voxel, shape) for voxel in sorted(leads)], np.uint32)
    scores = np.array([[0.0, -leads[voxel]] for voxel in sorted(leads)], np.float16).reshape(-1, 2)
    return KeptScores(shape, 8.0, places, np.tile(np.array([number, 0], np.uint8), (len(places), 1)), scores)


def cube(corner: tuple[int, int, int], size: int, lead: float) -> dict[tuple[int, int, int], float]:
    return {tuple(int(c) for c in np.add(corner, offset)): lead for offset in np.ndindex(size, size, size)}


def drawn_answers(temperature: float, number: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Scores of three classes, and truths that come as often as the scores say at that temperature."""
    random = np.random.default_rng(0)
    scores = -np.sort(random.exponential(2.0, (number, 3)), axis=1)
    scores -= scores[:, :1]
    shares = softmax(scores, temperature).cumsum(axis=1)
    return scores, (random.random((number, 1)) > shares).sum(axis=1).clip(max=2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_by_which_answers_were_drawn_is_found(temperature):
    scores, truth = drawn_answers(temperature)
    assert fitted_temperature(scores, truth) == pytest.approx(temperature, rel=0.05)


def test_at_the_right_temperature_confidence_is_calibrated_and_at_others_not():
    scores, truth = drawn_answers(2.5)
    assert calibration_error(softmax(scores, 2.5)[:, 0], truth == 0) < 0.01
    assert calibration_error(softmax(scores, 1.0)[:, 0], truth == 0) > 0.1


def test_the_calibration_error_is_the_gap_between_what_is_claimed_and_what_is_found():
    assert calibration_error(np.full(100, 0.9), np.arange(100) < 60) == pytest.approx(0.3)


def test_confidence_is_a_half_where_two_classes_are_equal_and_nearly_one_where_nothing_was_kept():
    confidence = confidence_map(kept_of({(1, 2, 3): 0.0, (4, 5, 6): 2.0}), temperature=2.0)
    assert confidence[1, 2, 3] == 0.5
    assert confidence[4, 5, 6] == pytest.approx(1.0 / (1.0 + np.exp(-1.0)), abs=1e-3)
    assert confidence[0, 0, 0] == pytest.approx(1.0 / (1.0 + np.exp(-4.0)), abs=1e-3)


def test_doubtful_places_come_the_worst_first_and_hold_what_is_probably_wrong():
    leads = cube((5, 5, 5), 3, 0.0) | cube((25, 25, 20), 3, 1.0) | cube((5, 30, 20), 2, 0.0)
    places = doubtful_places([kept_of(leads)], 1.0, (1.0, 1.0, 1.0))
    assert [place.centre for place in places[:2]] == [(6, 6, 6), (26, 26, 21)]
    assert len(places) == 3
    one_in = 1.0 / (1.0 + np.e)
    assert [place.wrong_ml for place in places] == pytest.approx([0.0135, 0.027 * one_in, 0.004], rel=1e-3)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 5.0), (3.0, 0.5, 0.5)])
def test_a_doubtful_place_is_fifteen_millimetres_across_at_most_and_none_counts_twice(spacing):
    random = np.random.default_rng(1)
    leads = {tuple(int(i) for i in voxel): float(random.random()) for voxel in random.integers(0, SHAPE, (2000, 3))}
    places = doubtful_places([kept_of(leads)], 1.0, spacing, most=1000)
    confidence = confidence_map(kept_of(leads), 1.0).astype(np.float64)
    all_doubt = sum(1.0 - confidence[voxel] for voxel in leads) * np.prod(spacing) / 1000.0
    assert sum(place.wrong_ml for place in places) == pytest.approx(all_doubt, rel=1e-2)
    most_in_a_ball = np.pi / 6 * MOST_ACROSS_MM**3 / 1000.0
    assert all(place.wrong_ml < most_in_a_ball for place in places)
    assert len(places) > 5


def test_without_doubt_there_are_no_doubtful_places():
    assert doubtful_places([kept_of({})], 1.0, (1.0, 1.0, 1.0)) == []


def test_doubt_between_classes_that_nobody_wants_is_no_doubt_and_between_those_and_a_wanted_one_is():
    """Number 1 is wanted; 2 and 3 pass for “none”."""
    voxels = [(4, 4, 4), (30, 30, 20)]
    places = np.array([np.ravel_multi_index(voxel, SHAPE) for voxel in voxels], np.uint32)
    numbers = np.array([[2, 3, 0], [2, 1, 0]], np.uint8)
    kept = KeptScores(SHAPE, 8.0, places, numbers, np.array([[0, 0, -8], [0, 0, -8]], np.float16))
    [first, second] = doubts(kept, 1.0, wanted=[1])
    assert first == pytest.approx(0.0, abs=1e-6)
    assert second == pytest.approx(0.5, abs=1e-3)
    assert doubts(kept, 1.0) == pytest.approx(0.5, abs=1e-3)
    [place] = doubtful_places([kept], 1.0, (1.0, 1.0, 1.0), wanted=[1])
    assert place.centre == voxels[1]


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_places_of_a_run_are_those_of_the_wanted_classes(exclusive: bool):
    here, there = cube((4, 4, 4), 3, 0.5), cube((30, 30, 20), 3, 0.5)
    if exclusive:
        both = kept_of({**here, **there})
        both.numbers[both.places >= np.ravel_multi_index((20, 0, 0), SHAPE), 0] = 2
        fields = (both,)
    else:
        fields = kept_of(here), kept_of(there)
    scores = RunScores(("one", "other"), exclusive, tuple(slice(0, size) for size in SHAPE), fields)
    layers = (np.zeros(SHAPE, np.uint8),)
    segments = tuple(Segment(segment_class(label, name), 0, 1.0) for label, name in ((1, "one"), (2, "other")))
    result = Segmentation(layers, np.eye(4), segments, "MR", PROVENANCE)
    image, card = np.zeros(SHAPE, np.int16), card_of("one", "other")
    assert len(doubt_of(scores, result, image, card).places) == 2
    for name, middle in (("one", (5, 5, 5)), ("other", (31, 31, 21))):
        [place] = doubt_of(scores, result.of_classes([name]), image, card).places
        assert place.centre == middle


def test_expected_dice_and_precision_are_what_probabilities_say_on_the_whole():
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:15, 5:15, 5:15] = 1
    half_sure = {tuple(int(i) for i in voxel): 0.0 for voxel in np.argwhere(labels == 1)[:400]}
    one, other = expected_overlaps(kept_of(half_sure), labels, [1, 2], temperature=0.1)
    right = 600 + 200
    assert one.dice == pytest.approx(2 * right / (1000 + right), abs=1e-3)
    assert one.precision == pytest.approx(right / 1000, abs=1e-3)
    assert other.dice == other.precision == 0.0


def test_what_to_do_about_a_class_follows_from_its_predicted_dice():
    assert [verdict(dice) for dice in (0.9, 0.8, 0.5)] == [Verdict.LIKELY_FINE, Verdict.LOOK, Verdict.PROBABLY_WRONG]
