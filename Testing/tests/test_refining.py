"""The learned step after the kernel: clicks stay obeyed, far voxels stay as they are, and training is repeatable."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import save
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.cli import app
from TransformerSegLib.errors import RefinerDamaged
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.interaction import trained_refiner
from TransformerSegLib.interaction.class_field import ClassField
from TransformerSegLib.interaction.click import Click
from TransformerSegLib.interaction.corrector import Corrector
from TransformerSegLib.interaction.neighbourhood import REACH_MM, millimetres_between
from TransformerSegLib.interaction.refiner_module import MAPS, Refiner
from TransformerSegLib.interaction.refining import (
    MOST_CLASSES,
    RELUCTANCE,
    LearnedRefinement,
    added_by,
    inner_box,
    nearest_classes,
)
from TransformerSegLib.interaction.trained_refiner import SHIPPED, read_refiner, refiner_at_hand
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.training.cases import Case
from TransformerSegLib.training.click_cases import click_cases, practice_cases
from TransformerSegLib.training.click_curves import dice
from TransformerSegLib.training.recipe import Recipe
from TransformerSegLib.training.record_file import read_record
from TransformerSegLib.training.refiner_training_module import ClickCase, train_refiner
from TransformerSegLib.training.trained_cases import not_trained_on
from TransformerSegLib.training.worse_image import worse_image

from real_volumes import TOTALSEGMENTATOR

SHAPE = (34, 40, 30)


def case(seed: int = 0) -> ClickCase:
    """Two structures in an image, and an answer that is wrong at their boundaries."""
    random = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(random.normal(size=SHAPE), 4) * 60 for _ in range(3)]).astype(np.float32)
    wrong = np.stack([gaussian_filter(random.normal(size=SHAPE), 2) * 12 for _ in range(3)]).astype(np.float32)
    image = fields.argmax(axis=0) + random.normal(0, 0.3, SHAPE)
    return ClickCase(image, fields + wrong, fields.argmax(axis=0).astype(np.uint8), (1.0, 1.0, 1.0))


def corrector_of(given: ClickCase, network=None, spacing=(1.0, 1.0, 1.0)) -> Corrector:
    field = ClassField.of(given.logits.argmax(axis=0).astype(np.uint8), {0: 1, 1: 2})
    return Corrector([field], spacing, refine=network and LearnedRefinement(network, given.image))


def wild_network() -> Refiner:
    """One that would change labels at random."""
    torch.manual_seed(0)
    network = Refiner()
    torch.nn.init.normal_(network.answer.weight, std=3.0)
    return network


def clicks() -> list[Click]:
    random = np.random.default_rng(2)
    voxels = random.integers(0, SHAPE, (10, 3))
    return [Click(tuple(map(int, voxel)), int(random.integers(2)), bool(random.random() < 0.6)) for voxel in voxels]


def test_it_has_no_more_parameters_than_a_click_has_time_for():
    assert sum(parameter.numel() for parameter in Refiner().parameters()) < 18_500


def test_an_untrained_network_changes_nothing():
    plain, refined = corrector_of(case()), corrector_of(case(), Refiner())
    for click in clicks():
        plain.click(click)
        refined.click(click)
    np.testing.assert_array_equal(plain.fields[0].now, refined.fields[0].now)


def test_the_network_changes_no_voxel_by_a_hair():
    given, click = case(), Click((17, 20, 15), 0)
    changed = {}
    for weight in (0.0, 0.1, 4.0):
        refined = corrector_of(given, lambda maps, weight=weight: weight * (maps[:, 0] < 0).float())
        refined.click(click)
        changed[weight] = refined.fields[0].now.copy()
    np.testing.assert_array_equal(changed[0.0], changed[0.1])
    assert (changed[0.0] != changed[4.0]).any()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 4.0), (0.5, 0.3, 0.8)])
def test_whatever_the_network_says_clicks_are_obeyed_and_far_voxels_stay(spacing):
    wild, plain = corrector_of(case(), wild_network(), spacing), corrector_of(case(), None, spacing)
    now = wild.fields[0].now
    for click in clicks():
        before = now.copy()
        wild.click(click)
        plain.click(click)
        far = [millimetres_between(tuple(voxel), click.voxel, spacing) for voxel in np.argwhere(before != now)]
        assert max(far, default=0.0) <= REACH_MM
        assert all((now[other.voxel] == other.position + 1) == other.belongs for other in wild.clicks)
    assert (now != plain.fields[0].now).any()


def test_what_the_network_changed_is_undone_to_the_last_bit():
    corrector = corrector_of(case(), wild_network())
    first = corrector.fields[0].now.tobytes()
    for click in clicks():
        corrector.click(click)
    while corrector.undo():
        pass
    assert corrector.fields[0].now.tobytes() == first


def test_of_many_classes_those_next_to_the_click_are_refined():
    seen = []

    def network(maps: torch.Tensor) -> torch.Tensor:
        seen.append(len(maps))
        return torch.ones(len(maps), *maps.shape[2:])

    layer = np.zeros(SHAPE, np.uint8)
    for number in range(1, 9):  # eight slabs, three voxels thick each
        layer[:, 3 * number : 3 * number + 3] = number
    field = ClassField.of(layer, {number - 1: number for number in range(1, 9)})
    situations = []

    def refine(situation):
        situations.append(situation)
        return LearnedRefinement(network, np.zeros(SHAPE))(situation)

    Corrector([field], (1.0, 1.0, 1.0), refine=refine).click(Click((17, 16, 15), 5, belongs=True))
    assert seen == [MOST_CLASSES]
    whole = tuple(slice(0, size) for size in situations[0].around.shape)
    chosen = nearest_classes(situations[0], whole).numbers.tolist()
    assert 6 in chosen  # that of the click
    assert 5 in chosen  # that which was there
    assert field.now[17, 16, 15] == 6


def test_what_the_network_adds_to_all_classes_alike_changes_nothing():
    lifted, wild = wild_network(), wild_network()
    torch.nn.init.constant_(lifted.answer.bias, 5.0)
    layer = np.zeros(SHAPE, np.uint8)
    for number in range(1, 9):
        layer[:, 3 * number : 3 * number + 3] = number
    fields = [ClassField.of(layer, {number - 1: number for number in range(1, 9)}) for _ in range(2)]
    for field, network in zip(fields, (wild, lifted), strict=True):
        refine = LearnedRefinement(network, np.zeros(SHAPE))
        Corrector([field], (1.0, 1.0, 1.0), refine=refine).click(Click((17, 16, 15), 5, belongs=True))
    assert (fields[0].now != layer).any()
    assert np.mean(fields[0].now != fields[1].now) < 1e-3  # rounding apart


def test_of_fine_voxels_it_sees_such_as_it_learned_from():
    seen = []

    def network(maps: torch.Tensor) -> torch.Tensor:
        seen.append(maps)
        return torch.arange(len(maps)).reshape(-1, 1, 1, 1) * torch.ones(len(maps), *maps.shape[2:])

    given, situations = case(), []

    def refine(situation):
        situations.append((situation, LearnedRefinement(network, given.image)(situation)))
        return situations[-1][1].copy()

    field = ClassField.of(given.logits.argmax(axis=0).astype(np.uint8), {0: 1, 1: 2})
    Corrector([field], (0.5, 0.34, 0.8), refine=refine).click(Click((16, 20, 15), 0))
    [(situation, scores)] = situations
    box = inner_box(situation.around)
    assert [extent.step for extent in box] == [2, 3, 1]
    place = situation.around.place((16, 20, 15))
    assert all(at in range(*extent.indices(10**6)) for at, extent in zip(place, box, strict=True))
    assert seen[0].shape[2:] == tuple(len(range(*extent.indices(10**6))) for extent in box)
    added = scores - situation.corrected
    inside = tuple(slice(extent.start, extent.stop) for extent in box)
    for row, expected in enumerate((-1.0, 0.0, 1.0)):
        held = added[row, *inside] - expected  # what the kernel left is raised a little
        np.testing.assert_allclose(np.minimum(np.abs(held), np.abs(held - RELUCTANCE)), 0.0, atol=1e-5)
    added[:, *inside] = 0.0
    assert set(np.unique(added.round(5)).tolist()) <= {0.0, RELUCTANCE}


def test_with_voxels_of_other_sizes_than_it_was_proven_with_it_does_nothing():
    given = case()
    image, numbers = given.image, {0: 1, 1: 2}
    for spacing, serves in (((1.0, 1.0, 1.0), True), ((1.0, 0.6, 1.0), False), ((1.0, 1.0, 3.0), False)):
        fields = [ClassField.of(given.logits.argmax(axis=0).astype(np.uint8), numbers) for _ in range(2)]
        for field, refine in zip(fields, (None, LearnedRefinement(wild_network(), image, (0.7, 1.5))), strict=True):
            Corrector([field], spacing, refine=refine).click(Click((17, 20, 15), 0))
        assert (fields[0].now != fields[1].now).any() == serves


def test_an_image_without_numbers_is_answered_by_the_kernel_alone():
    given = case()
    given.image[15, 20, 15] = np.nan
    plain, refined = corrector_of(given), corrector_of(given, wild_network())
    for corrector in (plain, refined):
        corrector.click(Click((17, 20, 15), 0))
    np.testing.assert_array_equal(plain.fields[0].now, refined.fields[0].now)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists torch's threads, which Python does not know")
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.3, 0.8)])
def test_a_click_starts_no_further_threads_which_would_slow_down_runs(spacing):
    """In a thread of its own: others may have theirs already."""
    corrector, network = corrector_of(case(), wild_network(), spacing), wild_network()
    before, seen = torch.get_num_threads(), []

    def click_and_then_compute() -> None:
        torch.set_num_threads(2)
        seen.append(set(os.listdir("/proc/self/task")))
        corrector.click(Click((17, 20, 15), 0))
        trained_refiner.warm_up(network)
        seen.append(set(os.listdir("/proc/self/task")))
        added_by(network, torch.zeros(3, MAPS, 25, 25, 25))
        seen.append(set(os.listdir("/proc/self/task")))

    thread = threading.Thread(target=click_and_then_compute)
    thread.start()
    thread.join()
    torch.set_num_threads(before)
    before_it, after_it, of_two_threads = seen
    assert not after_it - before_it
    assert of_two_threads - after_it


def test_how_an_image_is_scaled_makes_no_difference():
    given, other = case(), case()
    other.image[:] = np.round(given.image * 64.0) * 4096.0 - 70_000.0
    given.image[:] = np.round(given.image * 64.0)
    one, two = corrector_of(given, wild_network()), corrector_of(other, wild_network())
    for corrector in (one, two):
        corrector.click(Click((17, 20, 15), 0))
    assert np.mean(one.fields[0].now != two.fields[0].now) < 1e-3  # rounding apart


def test_training_is_the_same_with_the_same_seed():
    cases, losses = [case(seed) for seed in range(2)], []
    first = train_refiner(cases, 3, 1, lambda step, loss: losses.append(loss))
    again = train_refiner(cases, 3, 1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert first.answer.weight.abs().max() > 0
    assert np.isfinite(losses).all()


def test_the_command_trains_on_a_model_s_answers_measures_and_writes_a_card(tmp_path):
    data = tmp_path / "data"
    for part, ending in (("imagesTr", ""), ("labelsTr", "_label")):
        (data / part).mkdir(parents=True)
        for name in ("037", "287"):
            source = TOTALSEGMENTATOR.parent / "hippocampus" / f"hippocampus_{name}{ending}.nii.gz"
            (data / part / f"hippocampus_{name}.nii.gz").symlink_to(source)
    weights = tmp_path / "refiner.safetensors"
    call = ["train-refiner", "--data", str(data), "--output", str(weights), "--steps", "2"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    card = read_refiner(weights).card
    assert "--steps 2 --seed 1" in card.command
    assert re.search(r"^step 1 of 2: loss \d\.\d{4}, 0:00:\d\d left$", done.output, re.MULTILINE)
    assert str(tmp_path) not in card.model_dump_json()
    assert card.training_data.startswith("1 case of")
    assert card.measured_data.startswith("1 case of")
    alone, *_ = {figures.dice[0] for figures in card.measured.values()}
    assert 0.8 < alone < card.measured["kernel correction"].dice[10]
    again = CliRunner().invoke(app, call)
    assert again.exit_code != 0
    assert "exists" in str(again.exception)


def test_the_shipped_weights_are_those_of_a_card_that_shows_them_to_help():
    refiner = refiner_at_hand()
    assert refiner is not None
    assert refiner is refiner_at_hand()
    card = refiner.card
    assert card.command.startswith("transformerseg train-refiner ")
    assert card.licence
    for user in ("", ", sloppy user"):
        kernel, refined = (card.measured[f"kernel correction{then}{user}"] for then in ("", ", then the learned step"))
        for clicks in (5, 10):
            assert refined.dice[clicks] > kernel.dice[clicks]


def test_where_the_shipped_weights_cannot_be_read_there_are_none_and_that_is_noted_once(monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(trained_refiner, "SHIPPED", tmp_path / "gone.safetensors")
    monkeypatch.setattr(trained_refiner, "_shipped", cache(trained_refiner._shipped.__wrapped__))
    assert refiner_at_hand() is None
    assert refiner_at_hand() is None
    assert [record.message.count("Install TransformerSeg again") for record in caplog.records] == [1]


@pytest.mark.parametrize("damage", ["missing", "cut short", "other weights", "another network", "a card of nothing"])
def test_damaged_weights_are_refused_with_one_remedy(tmp_path, damage):
    weights, card = tmp_path / SHIPPED.name, tmp_path / "refiner.json"
    content = SHIPPED.read_bytes()
    known = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    match damage:
        case "cut short":
            content = content[:-100]
            known["sha256"] = hashlib.sha256(content).hexdigest()
        case "other weights":
            content = content[:-1] + bytes([content[-1] ^ 1])
        case "another network":
            content = save({"first.weight": torch.zeros(3)})
            known["sha256"] = hashlib.sha256(content).hexdigest()
        case "a card of nothing":
            known = {}
    if damage != "missing":
        weights.write_bytes(content)
    card.write_text(json.dumps(known), encoding="utf-8")
    with pytest.raises(RefinerDamaged, match="Install TransformerSeg again"):
        read_refiner(weights)


def test_answers_to_learn_from_are_the_model_s_and_so_are_their_classes():
    folder = TOTALSEGMENTATOR.parent / "hippocampus"
    bundle = read_bundle(resources_folder() / "Models" / "hippocampus_swin_unetr")
    image = folder / "hippocampus_287.nii.gz"
    (found,) = click_cases(bundle, [Case(image, folder / "hippocampus_287_label.nii.gz")], "cpu")
    expected = Segmenter(bundle, "cpu").segment([read_volume(image)]).layers[0]
    np.testing.assert_array_equal(found.logits.argmax(axis=0), expected)
    assert np.mean(found.truth == expected) > 0.98
    assert np.unique(found.truth).tolist() == [0, 1, 2]


def test_the_answer_to_a_worse_image_is_worse_and_the_same_again_with_the_same_seed():
    folder = TOTALSEGMENTATOR.parent / "hippocampus"
    bundle = read_bundle(resources_folder() / "Models" / "hippocampus_swin_unetr")
    cases = [Case(folder / "hippocampus_287.nii.gz", folder / "hippocampus_287_label.nii.gz")]
    (good,) = click_cases(bundle, cases, "cpu")
    bad, again = (next(click_cases(bundle, cases, "cpu", np.random.default_rng(1))) for _ in range(2))
    np.testing.assert_array_equal(good.image, bad.image)
    assert dice(bad.logits.argmax(axis=0), bad.truth) < dice(good.logits.argmax(axis=0), good.truth)
    np.testing.assert_array_equal(bad.logits, again.logits)


def test_errors_are_learned_from_where_a_model_was_not_trained(tmp_path):
    folder = TOTALSEGMENTATOR.parent / "hippocampus"
    cases = [
        Case(folder / f"hippocampus_{name}.nii.gz", folder / f"hippocampus_{name}_label.nii.gz")
        for name in ("037", "287")
    ]
    embedded = read_bundle(resources_folder() / "Models" / "hippocampus_swin_unetr")
    of_one, of_both = (replace(embedded, folder=tmp_path / name) for name in ("one", "both"))
    for bundle, seen in ((of_one, cases[:1]), (of_both, cases)):
        record = bundle.folder / "training" / "data_list.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"training": [{"image": f"images/{case.image.name}"} for case in seen]}))
    assert not_trained_on(of_one, cases) == (cases[1],)
    plain = [found.logits for found in click_cases(embedded, cases, "cpu")]
    unseen, *worse = (
        found.logits for found in practice_cases([of_one, of_both], cases, "cpu", np.random.default_rng(1))
    )
    np.testing.assert_array_equal(unseen, plain[1])
    assert len(worse) == 2
    for bad, good in zip(worse, plain, strict=True):
        assert np.abs(bad - good).max() > 1.0


def test_the_models_whose_errors_it_learned_from_knew_half_of_the_cases_each_and_no_validation_case():
    embedded = resources_folder() / "Models" / "hippocampus_swin_unetr" / "training"
    halves = [TOTALSEGMENTATOR.parent / "click_models" / name for name in ("unetr_a", "swin_b")]
    for folder in halves:
        read_record(folder / "recipe.json", Recipe, "recipe")
        read_record(folder / "card.json", Card, "card")
    known, *parts = (
        json.loads((folder / "data_list.json").read_text(encoding="utf-8")) for folder in (embedded, *halves)
    )
    images = [{case["image"] for case in part["training"]} for part in parts]
    assert images[0].isdisjoint(images[1])
    assert images[0] | images[1] == {case["image"] for case in known["training"]}
    assert all(part["validation"] == known["validation"] for part in parts)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_worse_image_is_blurred_noisy_or_uneven_and_still_the_same_thing(dtype):
    image = gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 3)
    image = (image / image.std() * 1000).astype(dtype)
    kinds = set()
    for seed in range(12):
        worse = worse_image(image, np.random.default_rng(seed))
        assert worse.dtype == np.float32
        assert 0.4 < np.corrcoef(worse.ravel(), image.ravel())[0, 1] < 1.0
        rough = np.abs(np.diff(worse, axis=0)).mean() / np.abs(np.diff(image.astype(float), axis=0)).mean()
        kinds.add("noisy" if rough > 1.3 else "blurred" if rough < 0.99 and worse.std() < image.std() else "uneven")
    assert kinds == {"blurred", "noisy", "uneven"}
