"""Networks in their full official configurations, against samples of the official answers.

The samples are not part of the repository; ``golden_full.py`` holds all cases against them, of which those here are the
quick ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from golden_case import MARK
from golden_full import full_cases, parameters
from official_arguments import answer

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "golden"
QUICK = {"unest_brain_narrow_96", "swinunet_tiny", "transunet_r50_vit_b16"}

CASES = [pytest.param(case, official, id=case.name) for case, official in full_cases(FOLDER)]
without_samples = pytest.mark.skipif(not CASES, reason="the samples are not on this computer")


@without_samples
@pytest.mark.parametrize(("case", "official"), CASES)
def test_the_full_networks_have_the_official_number_of_parameters(case, official: int):
    assert parameters(case) == official


@without_samples
@pytest.mark.parametrize("case", [param.values[0] for param in CASES if param.id in QUICK], ids=lambda case: case.name)
def test_the_quick_ones_give_the_official_answer(case):
    for output in case.samples:
        assert case.deviation(answer(case, output), output) < MARK
