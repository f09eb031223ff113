"""Speed against smoothness: presets change the overlap of the windows, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.plan import Weighting, WindowPlan
from TransformerSegLib.inference.memory import estimate
from TransformerSegLib.inference.presets import Preset

PLAN = WindowPlan((32, 32, 32), 2, (0.5, 0.7, 0.1), Weighting.GAUSSIAN)


def test_standard_is_what_the_models_makers_chose():
    assert Preset.STANDARD.window(PLAN) is PLAN
    assert Preset.STANDARD.overlap is None


@pytest.mark.parametrize(("preset", "overlap"), [(Preset.FAST, (0.25, 0.25, 0.1)), (Preset.BEST, (0.625, 0.7, 0.625))])
def test_fast_is_never_slower_and_best_never_rougher_than_standard(preset: Preset, overlap: tuple[float, ...]):
    assert preset.window(PLAN) == replace(PLAN, overlap=overlap)


def test_more_overlap_is_more_windows_in_the_estimate():
    shape = (96, 160, 96)
    windows = [
        estimate(find_bundle(), shape, np.eye(4), preset).windows
        for preset in (Preset.FAST, Preset.STANDARD, Preset.BEST)
    ]
    assert windows == sorted(windows)
    assert len(set(windows)) == 3
    assert estimate(find_bundle(), shape, np.eye(4)).windows == windows[1]


def test_every_preset_says_what_it_is():
    assert len({preset.title for preset in Preset}) == len({preset.explanation for preset in Preset}) == len(Preset)
    assert all(preset.explanation.endswith(".") for preset in Preset)
