"""Which networks a bundle may ask for, and that they answer as the official ones do."""

from __future__ import annotations

import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.registry import ARCHITECTURES, architecture_for, build, configured

from golden_case import golden_case

GOLDEN_MARK = 1e-4
"""Largest difference to the official answer, in its standard deviations; float32 noise is at most 4e-5."""

SWIN = {"in_channels": 1, "out_channels": 2, "feature_size": 12, "downsample": "mergingv2"}
UNETR = {"in_channels": 1, "out_channels": 2, "img_size": [32, 32, 48], "hidden_size": 48, "num_heads": 4}


def answer(architecture: str, arguments: dict[str, object], case) -> torch.Tensor:
    network = build(architecture, arguments).eval()
    unused = network.load_state_dict(case.weights, strict=False).unexpected_keys
    assert all(re.fullmatch(ARCHITECTURES[architecture].idle_weights, name) for name in unused)
    with torch.inference_mode():
        return network(case.input)


@pytest.mark.parametrize("name", ["swin_unetr_v1", "swin_unetr_v2"])
def test_swin_unetr_answers_as_the_official_one_in_each_order_of_merging(name: str):
    case = golden_case(name)
    orders = {"merging": "output_merging161", "legacy": "output_merging_legacy", "mergingv2": "output_mergingv2"}
    answers = {}
    for order, output in orders.items():
        given = {**case.config, "downsample": order}
        del given["img_size"]
        answers[order] = answer("SwinUNETR", given, case)
        assert case.deviation(answers[order], output) < GOLDEN_MARK
    assert case.deviation(answers["merging"], "output_merging_legacy") > 0.1


@pytest.mark.parametrize("name", ["unetr_monai", "unetr_btcv"])
def test_unetr_answers_as_the_official_ones_of_today_and_of_the_paper(name: str):
    case = golden_case(name)
    arguments = architecture_for("UNETR").modern(case.config, trained_with_monai=None)
    assert case.deviation(answer("UNETR", arguments, case), "output") < GOLDEN_MARK


@pytest.mark.parametrize(
    "target", ["SwinUNETR", "monai.networks.nets.swin_unetr.SwinUNETR", "monai.networks.nets.UNETR"]
)
def test_every_spelling_of_a_target_is_understood(target: str):
    assert architecture_for(target).name == target.rpartition(".")[2]


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "evil.SwinUNETR", "scripts.networks.unest.UNesT", ""])
def test_any_other_network_is_refused_by_its_name(target: str):
    with pytest.raises(BundleRejected, match="not supported yet"):
        architecture_for(target)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("feature_size", -12),
        ("feature_size", 13),
        ("feature_size", 12_000_000_000),
        ("feature_size", "48"),
        ("feature_size", True),
        ("in_channels", 0),
        ("out_channels", 10**9),
        ("depths", [2, 2, 2]),
        ("depths", [2, 2, 2, 10**6]),
        ("num_heads", [5, 5, 5, 5]),
        ("window_size", 4096),
        ("mlp_ratio", 1e308),
        ("spatial_dims", 2),
        ("downsample", "os.system"),
        ("norm_name", {"_target_": "os.system"}),
        ("norm_layer", "torch.nn.LayerNorm"),
        ("use_hyena", True),
    ],
)
def test_hostile_arguments_of_swin_unetr_are_refused(name: str, value: object):
    with pytest.raises(BundleRejected, match="not supported") as refusal:
        configured("SwinUNETR", {**SWIN, name: value})
    assert name in refusal.value.what or "heads" in refusal.value.what


@pytest.mark.parametrize(
    ("name", "value"),
    [("img_size", 40), ("img_size", [1 << 40] * 3), ("hidden_size", 50), ("proj_type", "eval"), ("num_layers", 12)],
)
def test_hostile_arguments_of_unetr_are_refused(name: str, value: object):
    with pytest.raises(BundleRejected, match="not supported"):
        configured("UNETR", {**UNETR, name: value})


def test_a_missing_argument_is_named():
    with pytest.raises(BundleRejected, match="“img_size” is missing"):
        configured("UNETR", {"in_channels": 1, "out_channels": 2})


@pytest.mark.parametrize(("architecture", "arguments"), [("SwinUNETR", SWIN), ("UNETR", UNETR)])
def test_the_outline_has_the_tensors_of_the_network_and_no_memory(architecture: str, arguments: dict[str, object]):
    outline = configured(architecture, arguments).outline()
    assert all(tensor.is_meta for tensor in outline.values())
    state = build(architecture, arguments).state_dict()
    assert {n: (t.shape, t.dtype) for n, t in outline.items()} == {n: (t.shape, t.dtype) for n, t in state.items()}


def test_a_network_of_the_size_of_the_published_ones_has_their_number_of_parameters():
    published = {
        62_187_296: ("SwinUNETR", {"in_channels": 1, "out_channels": 14, "feature_size": 48}),
        72_762_656: ("SwinUNETR", {"in_channels": 1, "out_channels": 14, "feature_size": 48, "use_v2": True}),
        92_802_478: ("UNETR", {"in_channels": 1, "out_channels": 14, "img_size": 96}),
    }
    for parameters, (architecture, arguments) in published.items():
        outline = configured(architecture, arguments).outline()
        assert sum(t.numel() for t in outline.values() if t.is_floating_point()) == parameters


@pytest.mark.parametrize(
    ("architecture", "arguments", "window"),
    [
        ("SwinUNETR", {**SWIN, "window_size": 4}, (32, 64, 32)),
        ("SwinUNETR", {"in_channels": 4, "out_channels": 3, "feature_size": 48}, (96, 96, 96)),
        ("SwinUNETR", {**SWIN, "feature_size": 24, "use_v2": True}, (96, 64, 96)),
        ("SwinUNETR", {**SWIN, "depths": [1, 2, 3, 1], "num_heads": [1, 2, 4, 8], "window_size": [7, 5, 3]}, (64,) * 3),
        ("UNETR", UNETR, (32, 32, 48)),
        ("UNETR", {"in_channels": 1, "out_channels": 14, "img_size": 96}, (96, 96, 96)),
        ("UNETR", {**UNETR, "res_block": False, "conv_block": False, "proj_type": "perceptron"}, (32, 32, 48)),
    ],
)
def test_the_operations_of_a_network_are_those_that_torch_counts(architecture: str, arguments: dict, window: tuple):
    network = configured(architecture, arguments)
    with torch.device("cpu"):
        module = network.module().eval().to("meta")
    image = torch.empty(1, network.in_channels, *window, device="meta")
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        module(image)
    assert network.operations(window) == pytest.approx(counted.get_total_flops(), rel=1e-6)


def test_a_network_too_large_for_any_machine_is_refused_before_memory_is_taken():
    huge = configured("SwinUNETR", {**SWIN, "feature_size": 384, "depths": [32, 32, 32, 32], "num_heads": [1, 1, 1, 1]})
    with pytest.raises(BundleRejected, match="GB of memory"):
        huge.outline()


@pytest.mark.parametrize(
    ("trained_with", "order"),
    [("0.9.1", "legacy"), ("1.0.1", "legacy"), ("1.4.0", "legacy"), ("1.5.0", "merging"), ("1.10.2rc1", "merging")],
)
def test_the_order_of_merging_is_that_of_the_monai_that_trained_the_weights(trained_with: str, order: str):
    swin = architecture_for("SwinUNETR")
    assert swin.modern({"img_size": 96}, trained_with) == {"downsample": order}
    assert swin.modern({"downsample": "merging"}, trained_with) == {"downsample": order}
    assert swin.modern({"downsample": "mergingv2"}, trained_with) == {"downsample": "mergingv2"}


@pytest.mark.parametrize("trained_with", [None, "", "latest"])
def test_weights_that_could_mean_two_things_are_refused(trained_with: str | None):
    with pytest.raises(BundleRejected, match="does not say with which version of MONAI"):
        architecture_for("SwinUNETR").modern({}, trained_with)


def test_windows_that_a_network_cannot_take_are_told_apart():
    swin, unetr = configured("SwinUNETR", SWIN), configured("UNETR", UNETR)
    assert swin.window_fault((96, 64, 32)) is None
    assert "multiples of 32" in swin.window_fault((96, 96, 48))
    assert "longer than 32" in swin.window_fault((32, 32, 32))
    assert unetr.window_fault((32, 32, 48)) is None
    assert "32×32×48" in unetr.window_fault((32, 32, 32))


@pytest.mark.parametrize("window", [(32, 32, 64), (64, 32, 32)])
def test_the_smallest_window_that_is_allowed_passes_through_swin_unetr(window: tuple[int, int, int]):
    network = build("SwinUNETR", SWIN).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 1, *window)).shape == (1, 2, *window)
    with pytest.raises(ValueError, match="more than 1 spatial element"), torch.inference_mode():
        network(torch.rand(1, 1, 32, 32, 32))
