"""A network and its sizes are told from the names and shapes of a checkpoint's tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.layouts.counting import ratio
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes
from TransformerSegLib.networks.layouts.registry import recognise
from TransformerSegLib.networks.registry import configured

import small_networks

FULL = Path(__file__).parents[3] / "shared" / "data" / "golden" / "full"

SWIN = {"in_channels": 1, "out_channels": 2, "feature_size": 12, "downsample": "mergingv2"}
UNETR = {**small_networks.UNETR, "hidden_size": 48, "mlp_dim": 96}


def shapes_of(architecture: str, arguments: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in configured(architecture, arguments).outline().items()}


def assert_tells(found: Recognised, architecture: str, arguments: Mapping[str, object]) -> None:
    """With what is open filled in, it is the same network in all its arguments."""
    filled = {**found.arguments, **{name: arguments[name] for name in found.open}}
    assert found.architecture == architecture
    assert configured(architecture, filled).model_dump() == configured(architecture, arguments).model_dump()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"in_channels": 4, "out_channels": 14},
        {"img_size": [48, 16, 32]},
        {"feature_size": 6, "hidden_size": 36, "mlp_dim": 50, "num_heads": 6},
        {"proj_type": "perceptron", "in_channels": 2},
        {"norm_name": "batch"},
        {"conv_block": False},
        {"res_block": False},
        {"conv_block": False, "res_block": False, "norm_name": "batch"},
        {"qkv_bias": True},
        {"feature_size": 1, "in_channels": 1},
        {"img_size": [96, 96, 96], "hidden_size": 768, "num_heads": 12},
    ],
)
def test_every_kind_of_unetr_is_told(changes: dict[str, object]):
    arguments = {**UNETR, "img_size": [32, 32, 32], **changes}
    found = recognise(shapes_of("UNETR", arguments))
    arguments["img_size"] = tuple(arguments["img_size"])
    assert_tells(found, "UNETR", arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"in_channels": 4, "out_channels": 3, "feature_size": 48},
        {"feature_size": 24, "use_v2": True},
        {"depths": [1, 2, 3, 1]},
        {"num_heads": [1, 2, 4, 8], "window_size": 4},
        {"window_size": [7, 5, 3]},
        {"mlp_ratio": 2.5},
        {"mlp_ratio": 3.4, "feature_size": 36},
        {"qkv_bias": False, "patch_norm": True},
        {"norm_name": "batch", "use_v2": True},
    ],
)
def test_every_kind_of_swin_unetr_is_told_but_for_its_order_of_merging(changes: dict[str, object]):
    arguments = {**SWIN, **changes}
    found = recognise(shapes_of("SwinUNETR", arguments))
    assert "downsample" in found.open
    if isinstance(arguments.get("window_size", 7), int):
        arguments["window_size"] = (arguments.get("window_size", 7),) * 3
    assert_tells(found, "SwinUNETR", arguments)


def test_of_a_window_that_is_no_cube_all_orders_of_its_sides_are_proposed():
    found = recognise(shapes_of("SwinUNETR", {**SWIN, "window_size": [7, 5, 3]}))
    assert found.open == ("downsample", "window_size")
    assert "7×5×3" in found.hints["window_size"]
    assert "3×5×7" in found.hints["window_size"]


def test_the_image_size_of_unetr_is_assumed_where_its_patches_make_a_cube_and_else_proposed():
    cube, slab = (recognise(shapes_of("UNETR", {**UNETR, "img_size": size})) for size in ([48] * 3, [32, 48, 32]))
    assert cube.arguments["img_size"] == (48, 48, 48)
    assert "27 patches" in cube.assumed["img_size"]
    assert "img_size" in slab.open
    assert "32×32×48" in slab.hints["img_size"]


def with_cross_attention(shapes: Shapes) -> Shapes:
    """What MONAI 1.4 and 1.5 add."""
    return {**shapes, **{f"vit.blocks.{n}.cross_attn.{part}": (48, 48) for n in range(12) for part in "qkvoabc"}}


def without_cross_attention(shapes: Shapes) -> Shapes:
    """As MONAI 0.9 to 1.3 made it."""
    return {name: shape for name, shape in shapes.items() if "norm_cross_attn" not in name}


def as_monai_0_7(shapes: Shapes) -> Shapes:
    """With a class token, and with shortcuts that it never uses."""
    blocks = ("encoder2.blocks.0.1", "encoder2.blocks.1.1", "encoder3.blocks.0.1")
    unused = {f"{block}.conv3.conv.weight": (8 << (block[7] == "3"),) * 2 + (1, 1, 1) for block in blocks}
    return {**without_cross_attention(shapes), "vit.patch_embedding.cls_token": (1, 1, 48), **unused}


@pytest.mark.parametrize(
    ("age", "layout", "tensors"),
    [
        (with_cross_attention, "MONAI 1.4 or 1.5", 278),
        (without_cross_attention, "MONAI 0.8 to 1.3", 170),
        (as_monai_0_7, "MONAI 0.7", 174),
        (lambda shapes: shapes, "MONAI 1.6", 194),
    ],
)
def test_a_unetr_of_any_version_of_monai_is_told(age, layout: str, tensors: int):
    shapes = age(shapes_of("UNETR", UNETR))
    assert len(shapes) == tensors
    found = recognise(shapes)
    assert layout in found.layout
    assert_tells(found, "UNETR", {**UNETR, "img_size": (32, 32, 32)})
    needed = without_cross_attention(shapes_of("UNETR", UNETR))
    assert {name for name in shapes if name not in found.ignored} == needed.keys()


@pytest.mark.parametrize("layers", [[(12, 48), (24, 96)], [(12, 40), (24, 81)], [(12, 30)], [(36, 122), (288, 979)]])
def test_the_ratio_of_a_perceptron_gives_its_layers_back(layers: list[tuple[int, int]]):
    assert [int(features * ratio(layers)) for features, _ in layers] == [hidden for _, hidden in layers]


@pytest.mark.parametrize(("architecture", "arguments"), [("UNETR", UNETR), ("SwinUNETR", SWIN)])
def test_a_network_of_monai_for_slices_is_refused_as_one(architecture: str, arguments: dict[str, object]):
    volumes = shapes_of(architecture, arguments)
    slices = {name: shape[:4] if len(shape) == 5 else shape for name, shape in volumes.items()}
    with pytest.raises(CheckpointRejected, match=r"UNETR for slices \(spatial_dims=2\)"):
        recognise(slices)


@pytest.mark.parametrize(("architecture", "arguments"), [("UNETR", UNETR), ("SwinUNETR", SWIN)])
def test_a_decoder_that_normalises_with_weights_is_refused(architecture: str, arguments: dict[str, object]):
    batch = shapes_of(architecture, {**arguments, "norm_name": "batch"})
    weighted = {name: shape for name, shape in batch.items() if not name.endswith(("mean", "var", "tracked"))}
    with pytest.raises(CheckpointRejected, match="“group”"):
        recognise(weighted)


def test_what_leaves_no_trace_in_a_swin_unetr_is_said_to_be_assumed():
    normalised, not_so = (shapes_of("SwinUNETR", {**SWIN, "normalize": value}) for value in (True, False))
    assert normalised == not_so
    assert "normalize=False" in recognise(normalised).assumed["normalize"]


def test_a_network_that_classifies_is_refused_as_one():
    shapes = {"patch_embed.proj.weight": (96, 3, 4, 4), "layers.0.blocks.0.norm1.weight": (96,), "head.weight": (5, 9)}
    with pytest.raises(CheckpointRejected, match="looks like a network that classifies images"):
        recognise(shapes)


def test_an_encoder_alone_is_refused_with_what_it_is_good_for():
    whole = shapes_of("SwinUNETR", SWIN)
    encoder = {name.removeprefix("swinViT."): shape for name, shape in whole.items() if name.startswith("swinViT.")}
    with pytest.raises(CheckpointRejected, match="--start"):
        recognise(encoder)


@pytest.mark.parametrize("architecture", ["UNETR", "SwinUNETR"])
@pytest.mark.parametrize("shape", [(), (0,), (1, 2), (1, 10**12, 0), (1, 1, 1, 1, 1, 1)])
def test_a_shape_that_no_network_has_ends_in_no_error_but_a_refusal(architecture: str, shape: tuple[int, ...]):
    whole = shapes_of(architecture, SWIN if architecture == "SwinUNETR" else UNETR)
    refused = 0
    for name in whole:
        try:
            recognise({**whole, name: shape})
        except CheckpointRejected:
            refused += 1
    assert refused


@pytest.mark.skipif(not FULL.is_dir(), reason="the full official configurations are not here")
@pytest.mark.parametrize(
    "name", ["unetr_btcv_96", "unetr_monai_96", "swin_unetr_v1_brats_128", "swin_unetr_v2_btcv_96"]
)
def test_of_the_official_configurations_only_the_order_of_merging_is_open(name: str):
    case = json.loads((FULL / f"{name}.json").read_text())
    found = recognise({entry["key"]: tuple(entry["shape"]) for entry in case["state_dict"]})
    assert set(found.open) <= {"downsample"}
    for argument, value in case["config"].items():
        if argument in found.arguments:
            given = found.arguments[argument]
            assert (list(given) if isinstance(given, tuple) else given) == value
