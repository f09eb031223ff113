"""The Dice to expect of a class: signs of how well it was found, and the scale that cases with a truth give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import laplace

from TransformerSegLib.bundles.card import DiceScale, QualitySigns, UsualClass
from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.interaction.dice_scale import FoundClass, fitted_scale, scaled_dice
from TransformerSegLib.interaction.doubt import doubt_of, signs_of
from TransformerSegLib.interaction.kept_scores import KeptScores
from TransformerSegLib.interaction.quality_signs import MOST_LOOKED_AT, quality_signs
from TransformerSegLib.interaction.run_scores import RunScores
from TransformerSegLib.interaction.score_keeper import ScoreKeeper
from TransformerSegLib.interaction.verdict import Verdict, verdict

from example_segmentation import PROVENANCE, card_of, segment_class
from real_volumes import TOTALSEGMENTATOR

HIPPOCAMPUS = TOTALSEGMENTATOR.parent / "hippocampus"
SHAPE = (60, 50, 40)
MILLIMETRE = (1.0, 1.0, 1.0)
BOX = np.s_[20:40, 15:35, 10:30]


def nothing_kept(shape=SHAPE) -> KeptScores:
    return KeptScores(shape, 8.0, np.zeros(0, np.uint32), np.zeros((0, 2), np.uint8), np.zeros((0, 2), np.float16))


def labels_of(box=BOX, number: int = 1) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[box] = number
    return labels


def bright_box(noise: float, seed: int = 0) -> np.ndarray:
    """A box of 100 in 0, and as much noise."""
    image = np.random.default_rng(seed).normal(0.0, noise, SHAPE)
    image[BOX] += 100.0
    return image.astype(np.float32)


def signs_in(image: np.ndarray, labels: np.ndarray | None = None, spacing=MILLIMETRE) -> QualitySigns:
    labels = labels_of() if labels is None else labels
    return quality_signs(nothing_kept(image.shape), labels, [1], image, spacing)[0]


def test_noise_makes_an_image_grainy_and_a_structure_uneven():
    calm, noisy = signs_in(bright_box(1.0)), signs_in(bright_box(30.0))
    assert calm.unevenness < 0.05 < noisy.unevenness
    assert calm.graininess < 0.2 < 1.0 < noisy.graininess
    around = bright_box(30.0)[5:55, 0:50, 0:40].std()
    assert noisy.unevenness == pytest.approx(30.0 / around, rel=0.05)
    assert noisy.graininess == pytest.approx(0.6745 * 30.0 * np.sqrt(42.0) / around, rel=0.05)  # 36 + 6 voxels


def test_a_structure_that_is_brighter_on_one_side_is_uneven_and_not_grainy():
    image = bright_box(0.0) + np.linspace(0.0, 200.0, SHAPE[0], dtype=np.float32)[:, None, None]
    found = signs_in(image)
    assert found.unevenness > 0.2
    assert found.graininess < 0.01


@pytest.mark.parametrize("scale", [0.01, -3.0, 1000.0])
def test_the_units_of_an_image_do_not_matter(scale: float):
    one, other = signs_in(bright_box(20.0)), signs_in(bright_box(20.0) * np.float32(scale) + 7.0)
    assert other.unevenness == pytest.approx(one.unevenness, rel=1e-3)
    assert other.graininess == pytest.approx(one.graininess, rel=1e-3)


def test_the_edge_of_a_structure_which_another_shares_does_not_make_it_uneven():
    image = bright_box(0.0)
    for shell in (20, 39):
        image[shell, 15:35, 10:30] = 50.0
    assert signs_in(image).unevenness == pytest.approx(0.0, abs=1e-6)


def test_a_sheet_of_one_voxel_has_signs_too():
    found = signs_in(bright_box(10.0), labels_of(np.s_[20:40, 15:35, 12:13]))
    assert found.unevenness == pytest.approx(10.0 / bright_box(10.0)[5:55, 0:50, 0:28].std(), rel=0.1)


def test_slices_lie_within_millimetres_not_voxels():
    image = bright_box(5.0)
    image[:, :, 33:] = np.random.default_rng(1).normal(0.0, 500.0, (60, 50, 7))
    assert signs_in(image).graininess != signs_in(image, spacing=(1.0, 1.0, 5.0)).graininess
    assert signs_in(image, spacing=(1.0, 1.0, 5.0)).unevenness == pytest.approx(
        5.0 / image[5:55, 0:50, 7:33].std(), rel=0.05
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_of_an_image_that_is_no_number_nothing_is_said_but_what_the_scores_say(value: float):
    image = bright_box(5.0)
    image[30, 20, 20] = value
    found = signs_in(image)
    assert found.unevenness is None
    assert found.graininess is None
    assert found.expected_dice > 0.99


def test_an_image_of_one_value_or_one_slice_is_no_error():
    assert signs_in(np.zeros(SHAPE, np.int16)).unevenness is None
    flat = np.ones((30, 30, 1), np.uint8)
    assert signs_in(np.arange(900, dtype=np.int16).reshape(30, 30, 1), flat).graininess is None


def test_a_margin_of_one_value_is_no_calm_image():
    image = bright_box(20.0)
    masked = np.where(np.pad(np.ones((26, 26, 26), bool), ((17, 17), (12, 12), (7, 7))), image, np.float32(0.0))
    assert masked.shape == SHAPE
    assert signs_in(masked).graininess > 0.5


def test_a_large_structure_is_looked_at_here_and_there_and_says_what_all_of_it_says():
    shape, box = (240, 230, 220), np.s_[20:220, 20:210, 20:200]
    image = np.random.default_rng(0).normal(0.0, 25.0, shape)
    image[box] += np.linspace(0.0, 100.0, 180)
    labels = np.zeros(shape, np.uint8)
    labels[box] = 1
    inside = image[21:219, 21:209, 21:199]
    assert inside.size > 2 * MOST_LOOKED_AT
    found = signs_in(image, labels)
    around = image[5:235, 5:225, 5:215]
    grains = np.median(np.abs(laplace(around)[1:-1, 1:-1, 1:-1]))
    assert found.unevenness == pytest.approx(inside.std() / around.std(), rel=0.005)
    assert found.graininess == pytest.approx(grains / around.std(), rel=0.005)


def test_of_a_class_that_is_not_there_there_are_no_signs():
    image = bright_box(5.0)
    found = quality_signs(nothing_kept(), labels_of(number=2), [1, 2, 3], image, MILLIMETRE)
    assert [each is None for each in found] == [True, False, True]


def drawn(count: int, seed: int = 0, mean: float = 0.8, worth: float = 0.02) -> list[FoundClass]:
    """A class whose Dice follows from the first sign, and from nothing else."""
    random = np.random.default_rng(seed)
    found = []
    for lead, other, third, fourth in random.normal(size=(count, 4)):
        signs = QualitySigns(
            expected_dice=0.95 + 0.01 * lead,
            expected_precision=0.9 + 0.01 * other,
            unevenness=0.3 + 0.05 * third,
            graininess=0.7 + 0.1 * fourth,
        )
        found.append(FoundClass(signs, mean + worth * lead))
    return found


def cases_of(**classes: list[FoundClass]) -> list[dict[str, FoundClass]]:
    """Class n of each in case n."""
    most = max(map(len, classes.values()))
    return [{name: found[case] for name, found in classes.items() if case < len(found)} for case in range(most)]


def one(scale: DiceScale, signs: QualitySigns, name: str = "one") -> float:
    return scaled_dice(scale, {name: signs})[name]


def test_a_scale_that_cases_give_predicts_other_cases():
    scale, others = fitted_scale(cases_of(one=drawn(60))), drawn(60, seed=1)
    told, true = zip(*((one(scale, each.signs), each.dice) for each in others), strict=True)
    assert np.corrcoef(told, true)[0, 1] > 0.8
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.01)


def test_each_class_has_its_own_mean():
    scale = fitted_scale(cases_of(one=drawn(20), other=drawn(20, 1, mean=0.5)))
    usual = scale.usual["one"].signs
    assert one(scale, usual) == pytest.approx(0.8, abs=0.02)
    assert one(scale, usual, "other") == pytest.approx(0.5, abs=0.02)


def test_of_a_class_in_few_cases_nothing_is_said():
    scale = fitted_scale(cases_of(one=drawn(10), rare=drawn(9, 1)))
    assert set(scale.usual) == {"one"}
    assert scaled_dice(scale, {"rare": scale.usual["one"].signs}) == {}
    assert fitted_scale(cases_of(one=drawn(9))) is None
    assert fitted_scale([]) is None


@pytest.mark.parametrize("worth", [-0.02, 0.0])
def test_signs_that_tell_nothing_or_the_wrong_way_give_no_scale(worth: float):
    random = np.random.default_rng(4)
    found = [FoundClass(each.signs, each.dice + random.normal(0.0, 0.03)) for each in drawn(40, worth=worth)]
    assert fitted_scale(cases_of(one=found)) is None


def test_without_signs_that_differ_there_is_no_scale():
    assert fitted_scale(cases_of(one=[drawn(1)[0]] * 12)) is None


def scale_by_hand(slope: float = 0.02) -> DiceScale:
    mean = QualitySigns(expected_dice=0.95, expected_precision=0.9, unevenness=0.3, graininess=0.7)
    spread = QualitySigns(expected_dice=0.01, expected_precision=0.01, unevenness=0.05, graininess=0.1)
    usual = {"one": UsualClass(signs=mean, dice=0.8), "other": UsualClass(signs=mean, dice=0.6)}
    return DiceScale(usual=usual, spread=spread, slope=slope)


def signs_but(**signs: float | None) -> QualitySigns:
    """What is usual, but these."""
    return scale_by_hand().usual["one"].signs.model_copy(update=signs)


def told(slope: float = 0.02, **signs: float | None) -> float:
    return one(scale_by_hand(slope), signs_but(**signs))


def test_more_doubt_an_uneven_structure_and_a_grainy_image_each_lower_what_is_predicted():
    assert told() == pytest.approx(0.8)
    for worse in ({"expected_dice": 0.94}, {"expected_precision": 0.88}, {"unevenness": 0.4}, {"graininess": 0.9}):
        assert told(**worse) < 0.8 - 0.005, worse


def test_one_sign_alone_cannot_say_that_all_is_well_and_can_say_that_all_is_wrong():
    assert told(expected_dice=0.99) == told(expected_dice=0.98)
    assert told(expected_dice=0.30) == 0.0
    assert told(slope=10.0, expected_dice=0.96) == 1.0


def test_an_image_alone_tells_no_more_than_images_did_in_the_cases():
    assert told(graininess=1.0) == told(graininess=9.0) > 0.8 - 0.02
    assert told(unevenness=0.5) == told(unevenness=3.0) > 0.8 - 0.02


def test_an_image_that_is_calmer_than_any_is_no_better():
    """As one that was smoothed: sharper ones that are calm are found well."""
    assert told(graininess=0.5) > told() > told(graininess=0.0)


def test_where_one_class_is_in_doubt_others_are_a_little_too():
    worse = signs_but(expected_dice=0.92)
    both = scaled_dice(scale_by_hand(), {"one": signs_but(), "other": worse})
    assert 0.8 - 0.02 < both["one"] < 0.8
    assert one(scale_by_hand(), worse, "other") < both["other"] < 0.6


def test_a_class_that_is_all_wrong_does_not_condemn_others():
    both = scaled_dice(scale_by_hand(), {"one": signs_but(), "other": signs_but(expected_dice=0.1)})
    assert both["other"] == 0.0
    assert both["one"] > 0.75


def test_a_sign_that_is_not_known_says_nothing():
    assert told(unevenness=None, graininess=None) == pytest.approx(0.8)
    few = [FoundClass(each.signs.model_copy(update={"unevenness": None}), each.dice) for each in drawn(12)]
    scale = fitted_scale(cases_of(one=few))
    assert scale.spread.unevenness is None
    assert 0.0 < one(scale, drawn(1, seed=3)[0].signs) < 1.0


def test_the_model_that_ships_says_that_its_answer_to_noise_is_probably_wrong():
    bundle = find_bundle()
    segmenter = Segmenter(bundle, "cpu", SegmentOptions(accept_mismatch=True))
    volume = read_volume(HIPPOCAMPUS / "hippocampus_037.nii.gz")
    noise = np.random.default_rng(0).normal(0.0, 2.0 * volume.array.std(), volume.array.shape)
    told = []
    for image in (volume, replace(volume, array=(volume.array + noise).astype(np.float32))):
        keeper = ScoreKeeper(bundle.plan.output, bundle.card.classes)
        segmentation = segmenter.segment([image], observer=keeper)
        told.append(doubt_of(keeper.scores(), segmentation, image.array, bundle.card).dice.values())
    assert {verdict(dice) for dice in told[0]} == {Verdict.LIKELY_FINE}
    assert {verdict(dice) for dice in told[1]} == {Verdict.PROBABLY_WRONG}


@pytest.mark.parametrize("exclusive", [True, False])
def test_signs_are_of_each_wanted_class_whatever_its_label_and_layer(exclusive: bool):
    image, there = bright_box(20.0), np.s_[5:15, 30:45, 5:35]
    names, values = ("one", "two"), {"one": 700, "two": 3}
    layers = np.zeros((1 if exclusive else 2, *SHAPE), np.uint16)
    for layer, (name, box) in enumerate((("one", BOX), ("two", there))):
        layers[0 if exclusive else layer][box] = values[name]
    segments = tuple(
        Segment(segment_class(values[name], name), 0 if exclusive else layer, 1.0) for layer, name in enumerate(names)
    )
    result = Segmentation(tuple(layers), np.eye(4), segments, "MR", PROVENANCE)
    fields = (nothing_kept(),) * (1 if exclusive else 2)
    scores = RunScores(names, exclusive, tuple(slice(0, size) for size in SHAPE), fields)
    by_hand = {"one": signs_in(image), "two": signs_in(image, labels_of(there))}
    assert signs_of(scores, result, image, names) == by_hand
    for name in names:
        assert signs_of(scores, result, image, [name]) == {name: by_hand[name]}
        assert signs_of(scores, result.of_classes([name]), image, names) == {name: by_hand[name]}
    assert signs_of(scores, result, image, ["three"]) == {}


def test_what_a_run_says_goes_by_the_cards_scale_where_there_is_one():
    labels, image = labels_of(), bright_box(5.0)
    segments = tuple(Segment(segment_class(label, name), 0, 1.0) for label, name in ((1, "one"), (2, "two")))
    result = Segmentation((labels,), np.eye(4), segments, "MR", PROVENANCE)
    scores = RunScores(("one", "two"), True, tuple(slice(0, size) for size in SHAPE), (nothing_kept(),))
    card = card_of("one", "two")
    plain = doubt_of(scores, result, image, card).dice
    scaled = doubt_of(scores, result, image, card.model_copy(update={"dice_scale": scale_by_hand()})).dice
    assert plain["one"] > 0.99
    assert scaled["one"] != plain["one"]
    assert scaled["one"] == one(scale_by_hand(), signs_in(image))
    assert plain["two"] == scaled["two"] == 0.0  # nothing of it was found
