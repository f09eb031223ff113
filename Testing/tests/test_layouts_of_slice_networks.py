"""Swin-Unet and TransUNet are recognised, in all their sizes, from names and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from TransformerSegLib.networks.layouts import swin_unet, transunet
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes
from TransformerSegLib.networks.layouts.registry import LAYOUTS, recognise
from TransformerSegLib.networks.registry import configured

from golden_case import golden_case
from official_arguments import PREFIX, ours
from small_networks import TRANSUNET

SWIN = {"in_channels": 1, "out_channels": 3, "img_size": 64, "embed_dim": 12, "window_size": 4}
TRANS = {**TRANSUNET, "skip_channels": [256, 128, 32]}
PURE = {"hybrid": False, "n_skip": 0, "skip_channels": []}

UNTOLD = {"drop_rate", "attn_drop_rate", "drop_path_rate", "dropout_rate"}
"""They change training alone."""


def shapes_of(architecture: str, arguments: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in configured(architecture, arguments).outline().items()}


def official_shapes(name: str) -> dict[str, tuple[int, ...]]:
    return {tensor.removeprefix(PREFIX): shape for tensor, shape in golden_case(name).shapes.items()}


def told_by(architecture: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments as they are after all defaults, without those that are not read."""
    network = configured(architecture, arguments).model_dump(exclude=UNTOLD)
    if architecture == "TransUNet":
        network["patch_size"] = network["patch_size"] or (1 if network["hybrid"] else 16)
        network["skip_channels"] = network["skip_channels"][: network["n_skip"]]
        if not network["hybrid"]:
            del network["resnet_layers"], network["width_factor"]
    return network


def assert_tells(found: Recognised, architecture: str, arguments: Mapping[str, object]) -> None:
    """With what is open filled in, it is the same network in all its arguments."""
    filled = {**found.arguments, **{name: arguments[name] for name in found.open}}
    assert found.architecture == architecture
    assert told_by(architecture, filled) == told_by(architecture, arguments)


@pytest.mark.parametrize(
    ("name", "asked_for"),
    [
        ("swinunet", set()),
        ("swinunet_ape", set()),
        ("swinunet_tiny", set()),
        ("transunet_r50", {"num_heads"}),
        ("transunet_vit", {"num_heads"}),
        ("transunet_r50_vit_b16", set()),
    ],
)
def test_an_official_checkpoint_tells_all_but_what_shapes_cannot(name: str, asked_for: set[str]):
    found = recognise(official_shapes(name))
    assert set(found.open) == asked_for
    assert "in_channels" in found.assumed
    architecture, arguments = ours(golden_case(name), "output")
    assert_tells(found, architecture, {**arguments, "in_channels": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"depths": [1, 3, 2, 1], "out_channels": 14},
        {"depths": [1, 1, 1, 1]},
        {"depths": [1, 1, 2, 1], "img_size": 128},
        {"embed_dim": 18, "num_heads": [2, 4, 9, 16]},
        {"window_size": 3, "img_size": 96},
        {"window_size": 8, "img_size": 256},
        {"window_size": 16},
        {"mlp_ratio": 2.7},
        {"qkv_bias": False},
        {"patch_norm": False, "ape": True},
        {"window_size": 1, "ape": True, "img_size": 160},
        {"img_size": 512, "window_size": 16},
    ],
)
def test_every_kind_of_swin_unet_is_told(changes: dict[str, object]):
    arguments = {**SWIN, **changes}
    found = recognise(shapes_of("SwinUnet", arguments))
    assert not found.open
    assert_tells(found, "SwinUnet", arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"resnet_layers": [2, 3, 1], "out_channels": 14},
        {"width_factor": 2.0, "skip_channels": [1024, 512, 128]},
        {"img_size": 160, "n_skip": 2},
        {"n_skip": 0},
        {"num_layers": 5, "mlp_dim": 17},
        {"multi_scale": True},
        PURE,
        {**PURE, "patch_size": 8, "decoder_channels": [9, 7, 5], "img_size": 72},
        {**PURE, "patch_size": 4, "decoder_channels": [8, 7]},
    ],
)
def test_every_kind_of_transunet_is_told_but_for_its_heads(changes: dict[str, object]):
    arguments = {**TRANS, **changes}
    found = recognise(shapes_of("TransUNet", arguments))
    assert found.open == ("num_heads",)
    assert_tells(found, "TransUNet", arguments)


@pytest.mark.parametrize(("hidden_size", "num_heads"), [(768, 12), (1024, 16)])
def test_the_heads_of_a_transunet_of_the_published_widths_are_assumed(hidden_size: int, num_heads: int):
    arguments = {**TRANS, "hidden_size": hidden_size, "num_heads": num_heads}
    found = recognise(shapes_of("TransUNet", arguments))
    assert set(found.assumed) == {"in_channels", "num_heads"}
    assert_tells(found, "TransUNet", arguments)


@pytest.mark.parametrize("stem_channels", [1, 2, 4])
@pytest.mark.parametrize(("architecture", "arguments"), [("SwinUnet", SWIN), ("TransUNet", TRANS)])
def test_there_are_as_many_volumes_as_the_stem_takes_where_these_are_not_three(
    architecture: str, arguments: dict[str, object], stem_channels: int
):
    given = {**arguments, "in_channels": stem_channels, "stem_channels": stem_channels}
    found = recognise(shapes_of(architecture, given))
    assert "in_channels" not in found.assumed
    assert_tells(found, architecture, given)


def test_the_image_size_of_a_swin_unet_is_asked_for_where_nothing_tells_it():
    arguments = {**SWIN, "img_size": 128, "depths": [1, 1, 1, 1]}
    found = recognise(shapes_of("SwinUnet", arguments))
    assert found.open == ("img_size",)
    assert "multiple of 32" in found.hints["img_size"]
    assert_tells(found, "SwinUnet", arguments)


OWN = {"swinunet": swin_unet, "transunet_r50": transunet, "transunet_vit": transunet}
OTHERS = ["unetr_monai", "unetr_btcv", "unetr_tamasino52", "swin_unetr_v1", "swin_unetr_v2", "unest_brain"]


@pytest.mark.parametrize("name", [*OWN, *OTHERS])
def test_each_layout_takes_its_own_network_alone(name: str):
    shapes = official_shapes(name)
    for layout in (swin_unet, transunet):
        assert (layout.recognised(shapes) is not None) == (OWN.get(name) is layout)
    if name in OWN:
        assert sum(recognised(shapes) is not None for recognised in LAYOUTS) == 1


def without(shapes: Shapes, part: str) -> Shapes:
    return {name: shape for name, shape in shapes.items() if part not in name}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("swinunet", "layers.3."),
        ("swinunet", "up.expand."),
        ("swinunet", "output."),
        ("swinunet", "patch_embed.proj."),
        ("transunet_r50", "decoder."),
        ("transunet_r50", "segmentation_head."),
        ("transunet_r50", "position_embeddings"),
        ("transunet_vit", "encoder.layer.0."),
    ],
)
def test_a_network_that_lacks_a_part_is_not_taken_for_it(name: str, part: str):
    assert OWN[name].recognised(without(official_shapes(name), part)) is None


@pytest.mark.parametrize("name", OWN)
def test_a_network_of_volumes_under_the_same_names_is_not_taken_for_it(name: str):
    volumes = {tensor: (*shape, 3) if len(shape) == 4 else shape for tensor, shape in official_shapes(name).items()}
    assert OWN[name].recognised(volumes) is None
