"""How long a run will take is told before it starts, without loading torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import VolumeTooSmall
from TransformerSegLib.inference.forecast import SHARE_IN_BFLOAT16, forecast_seconds, operations_per_second
from TransformerSegLib.inference.memory import estimate
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.networks.fast_form import fast_form
from TransformerSegLib.networks.registry import configured

from bundle_factory import SMALL_NETWORKS, write_bundle

SHAPE = (96, 160, 96)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return find_bundle()


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "mps"])
@pytest.mark.parametrize("preset", list(Preset))
def test_a_pace_that_was_measured_counts_for_every_window(bundle: Bundle, device: str, preset: Preset):
    windows = estimate(bundle, SHAPE, np.eye(4), preset).windows
    seen = windows * preset.passes(bundle.card) * (SHARE_IN_BFLOAT16 if preset.halves else 1)
    assert forecast_seconds(bundle, SHAPE, np.eye(4), device, 0.25, preset) == pytest.approx(seen * 0.25)


def test_nothing_is_told_of_a_gpu_that_was_never_used(bundle: Bundle):
    assert forecast_seconds(bundle, SHAPE, np.eye(4), "cuda:0") is None


def test_without_a_measured_pace_the_cpu_s_own_speed_is_taken(bundle: Bundle):
    seconds = forecast_seconds(bundle, SHAPE, np.eye(4), "cpu")
    windows = estimate(bundle, SHAPE, np.eye(4)).windows
    plan = bundle.plan
    assert plan.network.architecture == "SwinUNETR"
    one = forecast_seconds(bundle, plan.window.roi_size, np.eye(4), "cpu")
    assert seconds == pytest.approx(windows * one)
    slowest, fastest = 1e9, 1e14  # operations a second: between a processor of the nineties and the largest servers
    assert slowest < operations_per_second() < fastest
    assert 3e9 / fastest < one < 1e11 / slowest  # a window of this network takes three billion operations


def test_a_larger_network_takes_longer(tmp_path: Path):
    small = read_bundle(write_bundle(tmp_path / "small"))
    arguments = {**small.plan.network.arguments, "feature_size": 16}
    large = replace(small, plan=replace(small.plan, network=replace(small.plan.network, arguments=arguments)))
    assert forecast_seconds(large, SHAPE, np.eye(4), "cpu") > 2 * forecast_seconds(small, SHAPE, np.eye(4), "cpu")


def test_a_network_without_a_fast_form_is_expected_to_take_longer(bundle: Bundle):
    arguments = {**bundle.plan.network.arguments, "norm_name": "batch"}
    plain = replace(bundle, plan=replace(bundle.plan, network=replace(bundle.plan.network, arguments=arguments)))
    assert not configured("SwinUNETR", arguments).has_fast_form
    assert forecast_seconds(plain, SHAPE, np.eye(4), "cpu") > 1.5 * forecast_seconds(bundle, SHAPE, np.eye(4), "cpu")


@pytest.mark.parametrize("changes", [{}, {"norm_name": "batch"}], ids=["as it is", "with batch norms"])
@pytest.mark.parametrize("name", SMALL_NETWORKS)
def test_a_fast_form_is_counted_on_where_there_is_one(name: str, changes: dict[str, object]):
    arguments = {"in_channels": 1, "out_channels": 2, **SMALL_NETWORKS[name]}
    made = configured(name, arguments | (changes if name in ("SwinUNETR", "UNETR") else {}))
    network = made.module().eval()
    assert made.has_fast_form == (fast_form(network) is not network)


def test_the_speed_is_measured_once():
    assert operations_per_second() == operations_per_second()


def test_a_volume_that_the_model_cannot_take_is_refused(bundle: Bundle):
    mirrored = replace(bundle, plan=replace(bundle.plan, window=replace(bundle.plan.window, padding_mode="reflect")))
    with pytest.raises(VolumeTooSmall):
        forecast_seconds(mirrored, (4, 4, 4), np.eye(4), "cpu")


def test_a_forecast_loads_neither_torch_nor_monai():
    script = (
        "import sys, numpy\n"
        "from TransformerSegLib.bundles.catalogue import find_bundle\n"
        "from TransformerSegLib.inference.forecast import forecast_seconds\n"
        "assert forecast_seconds(find_bundle(), (40, 60, 40), numpy.eye(4), 'cpu') > 0\n"
        "print({'torch', 'monai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
