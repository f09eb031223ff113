"""Swin-Unet and TransUNet answer as the official ones, in every size that those have."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks import packed_linear_module
from TransformerSegLib.networks.fast_form import fast_form
from TransformerSegLib.networks.registry import build, configured
from TransformerSegLib.networks.swin_unet_module import SwinBlock, SwinUnetModule, from_windows, into_windows
from TransformerSegLib.networks.transunet_resnet_module import ResNet

from golden_case import MARK, golden_case
from official_arguments import PREFIX, answer, ours
from small_networks import TRANSUNET

GOLDEN = {
    "swinunet": ["output", "output_gray"],
    "swinunet_ape": ["output"],
    "swinunet_tiny": ["output"],
    "transunet_r50": ["output", "output_gray"],
    "transunet_vit": ["output", "output_gray"],
    "transunet_r50_vit_b16": ["output"],
}

SWIN = {
    "in_channels": 1,
    "out_channels": 3,
    "img_size": 64,
    "embed_dim": 12,
    "num_heads": [3, 6, 12, 24],
    "window_size": 4,
}

EXACT = 2e-5
"""Largest difference between two logits that are the same but for rounding, in parts of the logits' range."""

PURE = {"hybrid": False, "n_skip": 0}

PUBLISHED = [{"in_channels": 1, "out_channels": 9}]
"""Of both; these networks are large."""

CONFIGURATIONS = [
    ("SwinUnet", SWIN),
    ("SwinUnet", *PUBLISHED),
    ("SwinUnet", {**SWIN, "img_size": 96, "window_size": 3, "in_channels": 3, "out_channels": 1}),
    ("SwinUnet", {**SWIN, "img_size": 32, "window_size": 64}),
    ("SwinUnet", {**SWIN, "window_size": 1, "num_heads": [1, 2, 4, 8]}),
    ("SwinUnet", {**SWIN, "depths": [1, 2, 6, 3], "mlp_ratio": 2.7, "embed_dim": 18, "num_heads": [2, 4, 9, 16]}),
    ("SwinUnet", {**SWIN, "ape": True, "qkv_bias": False, "patch_norm": False}),
    ("SwinUnet", {**SWIN, "stem_channels": 1, "img_size": 160, "window_size": 5}),
    ("TransUNet", TRANSUNET),
    ("TransUNet", *PUBLISHED),
    ("TransUNet", {**TRANSUNET, "img_size": 80, "in_channels": 3, "n_skip": 1, "resnet_layers": [2, 1, 3]}),
    ("TransUNet", {**TRANSUNET, "img_size": 32, "n_skip": 0, "out_channels": 1}),
    ("TransUNet", {**TRANSUNET, "width_factor": 1.5, "skip_channels": [768, 384], "n_skip": 2, "multi_scale": True}),
    ("TransUNet", {**TRANSUNET, **PURE, "img_size": 112}),
    ("TransUNet", {**TRANSUNET, **PURE, "patch_size": 8, "decoder_channels": [16, 12, 8], "img_size": 72}),
    ("TransUNet", {**TRANSUNET, **PURE, "stem_channels": 4, "in_channels": 4}),
]


def network_of(architecture: str, arguments: Mapping[str, object]) -> torch.nn.Module:
    """With weights that make the parts differ: the first ones leave tables of positions at almost nothing."""
    torch.manual_seed(0)
    network = build(architecture, arguments).eval()
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(0.05 * torch.randn_like(tensor))
        for norm in (layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
            norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2.0)
    return network


@pytest.mark.parametrize(("name", "output"), [(name, output) for name, outputs in GOLDEN.items() for output in outputs])
def test_the_answer_is_the_official_one(name: str, output: str):
    case = golden_case(name)
    assert set(case.samples) == set(GOLDEN[name])
    assert case.deviation(answer(case, output), output) < MARK


@pytest.mark.parametrize("name", GOLDEN)
def test_the_tensors_are_the_official_ones_buffers_included(name: str):
    case = golden_case(name)
    outline = configured(*ours(case, "output")).outline()
    assert all(tensor.is_meta for tensor in outline.values())
    official = {tensor.removeprefix(PREFIX): shape for tensor, shape in case.shapes.items()}
    assert {tensor: tuple(value.shape) for tensor, value in outline.items()} == official


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [("SwinUnet", 27_168_900), ("TransUNet", 105_277_081)],
)
def test_the_published_configuration_is_the_one_without_arguments(architecture: str, parameters: int):
    with torch.device("meta"):
        network = configured(architecture, {"in_channels": 1, "out_channels": 9}).module()
    assert sum(tensor.numel() for tensor in network.parameters()) == parameters


@pytest.mark.parametrize(("architecture", "arguments"), CONFIGURATIONS)
def test_the_operations_are_those_that_torch_counts_and_the_answer_has_the_pixels_of_the_slice(
    architecture: str, arguments: dict[str, object]
):
    network = configured(architecture, arguments)
    window = (network.img_size,) * 2
    assert network.window_fault(window) is None
    with torch.device("meta"):
        module = network.module().eval()
        image = torch.empty(1, network.in_channels, *window)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        assert module(image).shape == (1, network.out_channels, *window)
    assert network.operations(window) == pytest.approx(counted.get_total_flops(), rel=1e-6)


@pytest.mark.parametrize(("architecture", "arguments"), [case for case in CONFIGURATIONS if case[1] not in PUBLISHED])
def test_the_fast_form_answers_alike(architecture: str, arguments: dict[str, object]):
    plain = network_of(architecture, arguments).requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    form = fast_form(plain)
    images = torch.randn(2, arguments["in_channels"], plain.img_size, plain.img_size)
    with torch.inference_mode():
        expected, found = plain(images), form(images)
    assert form.fast is not None
    assert (found - expected).abs().max() < EXACT * (expected.max() - expected.min())
    assert (found.argmax(1) == expected.argmax(1)).double().mean() >= 0.99999
    assert list(form.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in plain.state_dict().items())


def test_where_torch_comes_without_onednn_its_own_products_are_called(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packed_linear_module, "_has_onednn", lambda: False)
    test_the_fast_form_answers_alike("SwinUnet", SWIN)
    test_the_fast_form_answers_alike("TransUNet", TRANSUNET)


def test_a_slice_of_another_size_is_left_to_the_plain_network():
    form = fast_form(network_of("SwinUnet", SWIN))
    with torch.inference_mode(), pytest.raises(RuntimeError):
        form(torch.randn(1, 1, 96, 96))


@pytest.mark.parametrize(("architecture", "arguments"), [("SwinUnet", SWIN), ("TransUNet", TRANSUNET)])
def test_one_volume_is_repeated_to_the_three_channels_of_the_stem(architecture: str, arguments: dict[str, object]):
    network = network_of(architecture, arguments)
    image = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), network(image.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize(("architecture", "arguments"), [("SwinUnet", SWIN), ("TransUNet", TRANSUNET)])
def test_a_slice_is_answered_alike_alone_and_in_a_batch(architecture: str, arguments: dict[str, object]):
    network = network_of(architecture, arguments)
    images = torch.randn(3, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("window", [2, 4, 8])
def test_pixels_come_back_from_their_windows(window: int):
    features = torch.randn(2, 8, 8, 5)
    windows = into_windows(features, window)
    assert windows.shape == (2, (8 // window) ** 2, window**2, 5)
    assert torch.equal(from_windows(windows, 8), features)


def test_no_attention_passes_from_one_edge_of_a_slice_to_the_other_where_windows_are_shifted():
    torch.manual_seed(0)
    rates = {"drop_rate": 0.0, "attn_drop_rate": 0.0, "skip_rate": 0.0}
    block = SwinBlock(6, 16, 2, 4, shifted=True, mlp_ratio=2.0, qkv_bias=True, **rates).eval()
    image = torch.randn(1, 16, 16, 6)
    changed = image.clone()
    changed[:, 0, 0] = torch.randn(6)
    with torch.inference_mode():
        reached = (block(changed) - block(image)).abs().sum(-1)[0] > 1e-6
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[:2, :2] = True  # the corner's window, which the shift by 2 cuts down
    assert torch.equal(reached, expected)


def test_a_window_as_long_as_its_map_is_not_shifted():
    network = build("SwinUnet", {**SWIN, "window_size": 16})
    assert isinstance(network, SwinUnetModule)
    assert [stage.blocks[1].window for stage in network.layers] == [16, 8, 4, 2]
    assert not any(name.endswith("attn_mask") for name in network.state_dict())


@pytest.mark.parametrize("side", [32, 48, 64, 80])
def test_the_skip_connections_of_the_resnet_are_a_half_a_quarter_and_an_eighth_of_the_slice(side: int):
    with torch.inference_mode():
        last, skips = ResNet(1, 32, (1, 1, 1)).eval()(torch.randn(1, 1, side, side))
    assert last.shape == (1, 512, side // 16, side // 16)
    assert [tuple(skip.shape[1:]) for skip in skips] == [
        (256, side // 8, side // 8),
        (128, side // 4, side // 4),
        (32, side // 2, side // 2),
    ]
    assert torch.all(skips[1][..., -1] == 0)
    assert torch.all(skips[1][..., -1, :] == 0)
    assert torch.any(skips[1][..., :-1, :-1] != 0)


def test_heads_at_several_scales_answer_in_training_alone():
    network = build("TransUNet", {**TRANSUNET, "multi_scale": True})
    image = torch.randn(2, 1, 64, 64)
    maps = network.train()(image)
    assert [tuple(answer.shape) for answer in maps] == [(2, 3, side, side) for side in (64, 32, 16, 8)]
    sum(answer.square().mean() for answer in maps).backward()
    assert all(tensor.grad is not None for tensor in network.scale_heads.parameters())
    with torch.inference_mode():
        assert network.eval()(image).shape == (2, 3, 64, 64)


def test_a_checkpoint_without_heads_at_several_scales_is_one_of_the_network_without_them():
    plain, scaled = network_of("TransUNet", TRANSUNET), build("TransUNet", {**TRANSUNET, "multi_scale": True}).eval()
    further = scaled.state_dict().keys() - plain.state_dict().keys()
    assert further == {f"scale_heads.{step}.{part}" for step in range(3) for part in ("weight", "bias")}
    assert set(scaled.load_state_dict(plain.state_dict(), strict=False).missing_keys) == further
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(scaled(image), plain(image))


def test_in_training_whole_branches_of_a_swin_unet_are_left_out_at_random():
    network = network_of("SwinUnet", {**SWIN, "drop_path_rate": 0.9})
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(image), network(image))
        network.train()
        assert not torch.equal(network(image), network(image))


@pytest.mark.parametrize(
    ("architecture", "changes", "named"),
    [
        ("SwinUnet", {"img_size": 100}, "img_size"),
        ("SwinUnet", {"img_size": 1 << 40}, "img_size"),
        ("SwinUnet", {"img_size": [64, 64]}, "img_size"),
        ("SwinUnet", {"patch_size": 2}, "patch_size"),
        ("SwinUnet", {"embed_dim": 0}, "embed_dim"),
        ("SwinUnet", {"embed_dim": 10**9}, "embed_dim"),
        ("SwinUnet", {"depths": [2, 2, 2]}, "depths"),
        ("SwinUnet", {"depths": [2, 2, 2, 0]}, "depths"),
        ("SwinUnet", {"num_heads": [5, 5, 5, 5]}, "num_heads"),
        ("SwinUnet", {"window_size": 7}, "window_size"),
        ("SwinUnet", {"window_size": 0}, "window_size"),
        ("SwinUnet", {"mlp_ratio": 0.01}, "mlp_ratio"),
        ("SwinUnet", {"in_channels": 2}, "in_channels"),
        ("SwinUnet", {"qkv_bias": "False"}, "qkv_bias"),
        ("SwinUnet", {"norm_layer": "torch.nn.LayerNorm"}, "norm_layer"),
        ("TransUNet", {"img_size": 72}, "img_size"),
        ("TransUNet", {"img_size": 16}, "img_size"),
        ("TransUNet", {"width_factor": 0.7}, "width_factor"),
        ("TransUNet", {"width_factor": 0.001}, "width_factor"),
        ("TransUNet", {"hidden_size": 25}, "num_heads"),
        ("TransUNet", {"num_layers": 10**6}, "num_layers"),
        ("TransUNet", {"resnet_layers": [3, 4]}, "resnet_layers"),
        ("TransUNet", {"resnet_layers": [3, 4, 10**9]}, "resnet_layers"),
        ("TransUNet", {"patch_size": 2}, "patch_size"),
        ("TransUNet", {"decoder_channels": [16, 12, 8]}, "patch_size"),
        ("TransUNet", {"decoder_channels": []}, "decoder_channels"),
        ("TransUNet", {"decoder_channels": [16, 12, 8, 10**9]}, "decoder_channels"),
        ("TransUNet", {"skip_channels": [512, 256, 64]}, "skip_channels"),
        ("TransUNet", {"skip_channels": []}, "skip_channels"),
        ("TransUNet", {"n_skip": 4}, "n_skip"),
        ("TransUNet", {"hybrid": False}, "n_skip"),
        ("TransUNet", {"in_channels": 2}, "in_channels"),
        ("TransUNet", {"classifier": "seg"}, "classifier"),
    ],
)
def test_arguments_that_the_network_does_not_have_are_refused_by_name(
    architecture: str, changes: dict[str, object], named: str
):
    arguments = {"SwinUnet": SWIN, "TransUNet": TRANSUNET}[architecture]
    configured(architecture, arguments)
    with pytest.raises(BundleRejected, match="not supported") as refusal:
        configured(architecture, {**arguments, **changes})
    assert named in refusal.value.what


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("SwinUnet", {"img_size": 2048, "window_size": 64, "embed_dim": 512, "num_heads": [1, 1, 1, 1]}),
        ("SwinUnet", {"embed_dim": 512, "depths": [32, 32, 32, 32], "num_heads": [1, 1, 1, 1]}),
        ("TransUNet", {"hidden_size": 4096, "mlp_dim": 16384, "num_layers": 64}),
        ("TransUNet", {**PURE, "patch_size": 2, "decoder_channels": [8], "img_size": 2048, "hidden_size": 4096}),
    ],
)
def test_a_network_too_large_for_any_machine_is_refused_before_memory_is_taken(architecture: str, arguments: dict):
    huge = configured(architecture, {"in_channels": 1, "out_channels": 2, "num_heads": 1, **arguments})
    with pytest.raises(BundleRejected, match="GB of memory"):
        huge.outline()


@pytest.mark.parametrize(("architecture", "arguments"), [("SwinUnet", SWIN), ("TransUNet", TRANSUNET)])
def test_slices_of_another_size_are_told_apart(architecture: str, arguments: dict[str, object]):
    network = configured(architecture, arguments)
    assert network.axes == 2
    assert network.window_fault((64, 64)) is None
    for other in [(64, 32), (224, 224), (64, 64, 64)]:
        assert "64×64 only" in network.window_fault(other)
