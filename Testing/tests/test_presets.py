"""How fast, and how thorough: what each preset changes, and that the standard one changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.plan import Weighting, WindowPlan
from TransformerSegLib.inference.memory import estimate
from TransformerSegLib.inference.presets import Preset

PLAN = WindowPlan((32, 32, 32), 2, (0.5, 0.7, 0.1), Weighting.GAUSSIAN)


def test_standard_is_what_the_models_makers_chose():
    standard = Preset.STANDARD
    assert standard.window(PLAN) is PLAN
    assert standard.overlap is None
    assert not standard.crops
    assert not standard.halves
    assert standard.mirror_axes(find_bundle().card) == ()


def test_with_16_bits_the_windows_are_the_same():
    assert Preset.FASTER_CPU.window(PLAN) is PLAN
    assert Preset.FASTER_GPU.window(PLAN) is PLAN
    assert [preset for preset in Preset if preset.halves] == [Preset.FASTER_CPU, Preset.FASTER_GPU]


def test_best_mirrors_along_the_axes_that_the_model_was_trained_to_be_mirrored_along():
    card = find_bundle().card
    recipe = json.loads((find_bundle().folder / "training" / "recipe.json").read_text(encoding="utf-8"))
    assert list(card.mirror_axes) == recipe["flip_axes"] == [0]
    assert Preset.BEST.mirror_axes(card) == (0,)
    assert Preset.BEST.passes(card) == 2
    assert Preset.BEST.passes(card.model_copy(update={"mirror_axes": (0, 1, 2)})) == 8
    assert Preset.BEST.passes(card.model_copy(update={"mirror_axes": ()})) == 1
    assert Preset.BEST.passes(card.model_copy(update={"slices": "axial"})) == 1
    assert all(preset.passes(card) == 1 for preset in Preset if preset is not Preset.BEST)


@pytest.mark.parametrize(("preset", "overlap"), [(Preset.FAST, (0.25, 0.25, 0.1)), (Preset.BEST, (0.625, 0.7, 0.625))])
def test_fast_is_never_slower_and_best_never_rougher_than_standard(preset: Preset, overlap: tuple[float, ...]):
    assert preset.window(PLAN) == replace(PLAN, overlap=overlap)


def test_more_overlap_is_more_windows_in_the_estimate():
    shape, embedded = (96, 160, 96), find_bundle()
    window = replace(embedded.plan.window, overlap=(0.5, 0.5, 0.5))
    bundle = replace(embedded, plan=replace(embedded.plan, window=window))
    windows = [
        estimate(bundle, shape, np.eye(4), preset).windows for preset in (Preset.FAST, Preset.STANDARD, Preset.BEST)
    ]
    assert windows == sorted(windows)
    assert len(set(windows)) == 3
    assert estimate(bundle, shape, np.eye(4)).windows == windows[1]


def test_every_preset_says_what_it_is():
    assert len({preset.title for preset in Preset}) == len({preset.explanation for preset in Preset}) == len(Preset)
    assert all(preset.explanation.endswith(".") for preset in Preset)
