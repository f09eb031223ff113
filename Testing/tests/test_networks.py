"""Which networks a bundle may ask for, and that they answer as the official ones do."""

from __future__ import annotations

import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.architecture import sides_of
from TransformerSegLib.networks.registry import architecture_for, build, configured

from golden_case import MARK, golden_case
from golden_full import NOT_PARAMETERS
from official_arguments import answer, ours

SWIN = {"in_channels": 1, "out_channels": 2, "feature_size": 12, "downsample": "mergingv2"}
UNETR = {"in_channels": 1, "out_channels": 2, "img_size": [32, 32, 48], "hidden_size": 48, "num_heads": 4}
TAMASINO52 = {
    "in_channels": 2,
    "out_channels": 3,
    "img_size": [32, 48, 32],
    "hidden_size": 24,
    "mlp_dim": 40,
    "num_layers": 4,
    "decoder_channels": [20, 10, 6, 4, 3],
}
UNEST = {
    "in_channels": 1,
    "out_channels": 2,
    "img_size": 64,
    "feature_size": 1,
    "embed_dim": [8, 12, 32],
    "num_heads": [2, 3, 4],
    "depths": [1, 2, 1],
}

ORDERS_OF_MERGING = ("output_merging161", "output_merging_legacy", "output_mergingv2")


@pytest.mark.parametrize("name", ["swin_unetr_v1", "swin_unetr_v2"])
def test_swin_unetr_answers_as_the_official_one_in_each_order_of_merging(name: str):
    case = golden_case(name)
    answers = {output: answer(case, output) for output in ORDERS_OF_MERGING}
    assert all(case.deviation(answers[output], output) < MARK for output in ORDERS_OF_MERGING)
    assert case.deviation(answers["output_merging161"], "output_merging_legacy") > 0.1


@pytest.mark.parametrize("name", ["unetr_monai", "unetr_btcv"])
def test_unetr_answers_as_the_official_ones_of_today_and_of_the_paper(name: str):
    case = golden_case(name)
    assert case.deviation(answer(case, "output"), "output") < MARK


@pytest.mark.parametrize("name", ["unetr_tamasino52", "unetr_tamasino52_2conv", "unest_brain", "unest_renal"])
def test_our_own_networks_answer_as_the_official_ones_to_the_official_tensors(name: str):
    case = golden_case(name)
    assert list(configured(*ours(case, "output")).outline()) == list(case.weights)
    assert case.deviation(answer(case, "output"), "output") < MARK


@pytest.mark.parametrize(
    "target",
    [
        "SwinUNETR",
        "monai.networks.nets.swin_unetr.SwinUNETR",
        "monai.networks.nets.UNETR",
        "transformerseg.UNETRTamasino52",
        "transformerseg.UNesT",
        "scripts.networks.unest.UNesT",
        "scripts.networks.unest_base_patch_4.UNesT",
        "transformerseg.SwinUnet",
        "transformerseg.TransUNet",
    ],
)
def test_every_spelling_of_a_target_is_understood(target: str):
    assert architecture_for(target).name == target.rpartition(".")[2]


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "evil.SwinUNETR", "scripts.networks.vit.ViT", ""])
def test_any_other_network_is_refused_by_its_name(target: str):
    with pytest.raises(BundleRejected, match="not supported yet"):
        architecture_for(target)


def test_the_refusal_names_the_networks_that_are_known():
    with pytest.raises(BundleRejected) as refusal:
        architecture_for("monai.networks.nets.UNet")
    known = "SwinUNETR, UNETR, UNETRTamasino52, SwinUnet, TransUNet and UNesT"
    assert refusal.value.why == f"the networks known here are {known}, and code from a bundle is never run"


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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("img_size", [32, 32]),
        ("img_size", 24),
        ("hidden_size", 26),
        ("patch_size", 8),
        ("num_layers", 6),
        ("num_layers", 10**6),
        ("mlp_dim", 10**9),
        ("decoder_channels", [512, 256, 128, 64]),
        ("decoder_channels", [10**9] * 5),
        ("two_blocks", "False"),
        ("dropout", 0.1),
    ],
)
def test_hostile_arguments_of_the_tamasino52_layout_are_refused(name: str, value: object):
    with pytest.raises(BundleRejected, match="not supported") as refusal:
        configured("UNETRTamasino52", {**TAMASINO52, name: value})
    assert name in refusal.value.what or "heads" in refusal.value.what


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("img_size", 32, "img_size"),
        ("img_size", 80, "img_size"),
        ("img_size", [64, 64, 96], "cube"),
        ("img_size", 1 << 40, "img_size"),
        ("patch_size", 2, "patch_size"),
        ("feature_size", 2, "32 times feature_size"),
        ("embed_dim", [8, 16], "embed_dim"),
        ("num_heads", [3, 3, 4], "3 heads do not divide the 8"),
        ("depths", [2, 2, 10**6], "depths"),
        ("norm_name", "batch", "norm_name"),
        ("res_block", False, "res_block"),
        ("act_layer", "os.system", "act_layer"),
    ],
)
def test_hostile_arguments_of_unest_are_refused(name: str, value: object, fault: str):
    with pytest.raises(BundleRejected, match="not supported") as refusal:
        configured("UNesT", {**UNEST, name: value})
    assert fault in refusal.value.what


def test_a_missing_argument_is_named():
    with pytest.raises(BundleRejected, match="“img_size” is missing"):
        configured("UNETR", {"in_channels": 1, "out_channels": 2})


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [("SwinUNETR", SWIN), ("UNETR", UNETR), ("UNETRTamasino52", TAMASINO52), ("UNesT", UNEST)],
)
def test_the_outline_has_the_tensors_of_the_network_and_no_memory(architecture: str, arguments: dict[str, object]):
    outline = configured(architecture, arguments).outline()
    assert all(tensor.is_meta for tensor in outline.values())
    state = build(architecture, arguments).state_dict()
    assert {n: (t.shape, t.dtype) for n, t in outline.items()} == {n: (t.shape, t.dtype) for n, t in state.items()}


@pytest.mark.parametrize(
    ("parameters", "architecture", "arguments"),
    [
        (62_187_296, "SwinUNETR", {"out_channels": 14, "feature_size": 48}),
        (62_191_941, "SwinUNETR", {"in_channels": 4, "out_channels": 3, "feature_size": 48, "downsample": "legacy"}),
        (72_762_656, "SwinUNETR", {"out_channels": 14, "feature_size": 48, "use_v2": True}),
        (92_802_478, "UNETR", {"out_channels": 14, "img_size": 96}),
        (156_034_723, "UNETRTamasino52", {"in_channels": 4, "out_channels": 3, "img_size": 128}),
        (148_955_299, "UNETRTamasino52", {"in_channels": 4, "out_channels": 3, "img_size": 128, "two_blocks": False}),
        (87_205_158, "UNesT", {"out_channels": 133}),
        (87_200_901, "UNesT", {"out_channels": 4}),
    ],
)
def test_a_network_of_the_size_of_a_published_one_has_its_number_of_parameters(
    parameters: int, architecture: str, arguments: dict[str, object]
):
    outline = configured(architecture, {"in_channels": 1, **arguments}).outline()
    counted = {name: tensor for name, tensor in outline.items() if not name.endswith(NOT_PARAMETERS)}
    assert sum(tensor.numel() for tensor in counted.values()) == parameters


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
        ("UNETRTamasino52", TAMASINO52, (32, 48, 32)),
        ("UNETRTamasino52", {"in_channels": 4, "out_channels": 3, "img_size": 128, "two_blocks": False}, (128,) * 3),
        ("UNesT", UNEST, (64, 64, 64)),
        ("UNesT", {"in_channels": 1, "out_channels": 133}, (96, 96, 96)),
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
    swin, unetr, unest = configured("SwinUNETR", SWIN), configured("UNETR", UNETR), configured("UNesT", UNEST)
    assert swin.window_fault((96, 64, 32)) is None
    assert "multiples of 32" in swin.window_fault((96, 96, 48))
    assert "longer than 32" in swin.window_fault((32, 32, 32))
    assert unetr.window_fault((32, 32, 48)) is None
    assert "32×32×48" in unetr.window_fault((32, 32, 32))
    assert "32×48×32" in configured("UNETRTamasino52", TAMASINO52).window_fault((32, 32, 32))
    assert "64×64×64" in unest.window_fault((96, 96, 96))
    assert unest.window_fault((64, 64, 64)) is None


@pytest.mark.parametrize("window", [(32, 32, 64), (64, 32, 32)])
def test_the_smallest_window_that_is_allowed_passes_through_swin_unetr(window: tuple[int, int, int]):
    network = build("SwinUNETR", SWIN).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 1, *window)).shape == (1, 2, *window)
    with pytest.raises(ValueError, match="more than 1 spatial element"), torch.inference_mode():
        network(torch.rand(1, 1, 32, 32, 32))


def test_image_sides_of_a_cube_may_be_given_as_one_or_as_three():
    one, three = configured("UNesT", UNEST), configured("UNesT", {**UNEST, "img_size": [64, 64, 64]})
    assert {n: t.shape for n, t in one.outline().items()} == {n: t.shape for n, t in three.outline().items()}
    assert one.operations((64, 64, 64)) == three.operations((64, 64, 64))


def test_the_norm_behind_the_transformer_of_the_tamasino52_layout_changes_nothing():
    network = build("UNETRTamasino52", TAMASINO52).eval()
    image = torch.rand(1, 2, 32, 48, 32)
    with torch.inference_mode():
        before = network(image)
        network.transformer.encoder_norm.weight.fill_(7.0)
        assert torch.equal(network(image), before)


@pytest.mark.parametrize(("architecture", "arguments"), [("UNETRTamasino52", TAMASINO52), ("UNesT", UNEST)])
def test_our_own_networks_learn(architecture: str, arguments: dict[str, object]):
    network = build(architecture, arguments)
    image = torch.rand(2, arguments["in_channels"], *sides_of(arguments["img_size"]))
    network(image).square().mean().backward()
    idle = re.compile(configured(architecture, arguments).idle_weights)
    untouched = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert all(idle.fullmatch(name) for name in untouched)
