"""The tamasino52 layout of UNETR, and UNesT, are recognised from names and shapes alone."""

from __future__ import annotations

import pytest

from TransformerSegLib.networks.layouts.recognised import Shapes
from TransformerSegLib.networks.layouts.registry import recognise
from TransformerSegLib.networks.registry import configured

from golden_case import golden_case
from official_arguments import ours


def shapes_of(architecture: str, arguments: dict[str, object]) -> Shapes:
    return {name: tuple(t.shape) for name, t in configured(architecture, arguments).outline().items()}


@pytest.mark.parametrize(
    ("name", "asked_for"),
    [
        ("unetr_tamasino52", {"img_size", "num_heads"}),
        ("unetr_tamasino52_2conv", {"img_size", "num_heads"}),
        ("unest_brain", {"num_heads"}),
        ("unest_renal", {"num_heads"}),
    ],
)
def test_an_official_checkpoint_tells_all_but_what_shapes_cannot(name: str, asked_for: set[str]):
    case = golden_case(name)
    architecture, arguments = ours(case, "output")
    found = recognise(case.shapes)
    assert found.architecture == architecture
    assert set(found.open) == set(found.hints) == asked_for
    answered = {**found.arguments, **{name: arguments[name] for name in found.open}}
    assert shapes_of(architecture, answered) == case.shapes


PUBLISHED = [
    ("UNETRTamasino52", {"in_channels": 4, "out_channels": 3, "img_size": (128,) * 3}, {"img_size", "num_heads"}),
    (
        "UNETRTamasino52",
        {"in_channels": 4, "out_channels": 3, "img_size": (128,) * 3, "two_blocks": False},
        {"img_size", "num_heads"},
    ),
    ("UNesT", {"in_channels": 1, "out_channels": 133}, {"num_heads"}),
    ("UNesT", {"in_channels": 1, "out_channels": 4}, {"num_heads"}),
]


@pytest.mark.parametrize(("architecture", "arguments", "assumed"), PUBLISHED)
def test_nothing_is_asked_for_in_the_published_configurations(architecture: str, arguments: dict, assumed: set[str]):
    found = recognise(shapes_of(architecture, arguments))
    assert not found.open
    assert set(found.assumed) == assumed
    likely = configured(architecture, found.arguments).model_dump(exclude={"dropout_rate"})
    official = configured(architecture, arguments).model_dump(exclude={"dropout_rate"})
    if architecture == "UNesT":
        official["img_size"] = likely["img_size"]
    assert likely == official


OTHERS = [
    (
        "UNETRTamasino52",
        {
            "in_channels": 2,
            "out_channels": 7,
            "img_size": (48, 48, 48),
            "hidden_size": 40,
            "num_heads": 5,
            "mlp_dim": 56,
            "num_layers": 8,
            "decoder_channels": (24, 20, 12, 6, 5),
            "two_blocks": False,
        },
    ),
    (
        "UNesT",
        {
            "in_channels": 1,
            "out_channels": 5,
            "img_size": 128,
            "feature_size": 3,
            "embed_dim": (20, 28, 96),
            "num_heads": (5, 7, 6),
            "depths": (1, 3, 2),
        },
    ),
]


@pytest.mark.parametrize(("architecture", "arguments"), OTHERS)
def test_other_widths_depths_and_sizes_are_read_from_the_shapes(architecture: str, arguments: dict[str, object]):
    found = recognise(shapes_of(architecture, arguments))
    assert found.open == ("num_heads",)
    told = {name: value for name, value in arguments.items() if name != "num_heads"}
    assert {name: found.arguments[name] for name in told} == told


def test_what_is_never_applied_is_named_as_left_out():
    case = golden_case("unetr_tamasino52")
    norms = {"transformer.encoder_norm.weight", "transformer.encoder_norm.bias"}
    assert set(recognise(case.shapes).ignored) == norms
    without = {name: shape for name, shape in case.shapes.items() if name not in norms}
    assert recognise(without).arguments == recognise(case.shapes).arguments


def test_the_sizes_that_a_box_of_patches_may_have_are_told():
    hint = recognise(golden_case("unetr_tamasino52").shapes).hints["img_size"]
    assert "12 patches of 16³ voxels: 32×32×48 or 16×48×64" in hint
