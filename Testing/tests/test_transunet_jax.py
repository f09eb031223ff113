"""Google's published weights become a TransUNet's, layer by layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom

from TransformerSegLib.networks.registry import build, configured
from TransformerSegLib.networks.transunet_jax import JAX_POSITIONS, POSITIONS, from_jax, is_jax, resized_positions

from small_networks import TRANSUNET

TRANS = {**TRANSUNET, "resnet_layers": [2, 1, 1], "skip_channels": [256, 128, 32]}
OLD_SIDE = 6
BLOCK = "Transformer/encoderblock_1"


def published() -> dict[str, np.ndarray]:
    """Such a file, for a ResNet and a transformer of these widths, with its classifier."""
    random = np.random.default_rng(0)
    shapes = {
        "cls": (1, 1, 24),
        "head/kernel": (24, 10),
        "embedding/kernel": (1, 1, 512, 24),
        "embedding/bias": (24,),
        JAX_POSITIONS: (1, 1 + OLD_SIDE**2, 24),
        "conv_root/kernel": (7, 7, 3, 32),
    }
    normalised = {"gn_root": 32}
    for block in ("Transformer/encoderblock_0", BLOCK):
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            shapes |= {f"{attention}/{part}/kernel": (24, 3, 8), f"{attention}/{part}/bias": (3, 8)}
        shapes |= {f"{attention}/out/kernel": (3, 8, 24), f"{attention}/out/bias": (24,)}
        shapes |= {f"{block}/MlpBlock_3/Dense_0/kernel": (24, 40), f"{block}/MlpBlock_3/Dense_0/bias": (40,)}
        shapes |= {f"{block}/MlpBlock_3/Dense_1/kernel": (40, 24), f"{block}/MlpBlock_3/Dense_1/bias": (24,)}
        for norm in (f"{block}/LayerNorm_0", f"{block}/LayerNorm_2"):
            shapes |= {f"{norm}/scale": (24,), f"{norm}/bias": (24,)}
    shapes |= {"Transformer/encoder_norm/scale": (24,), "Transformer/encoder_norm/bias": (24,)}
    inputs = 32
    for level, units in enumerate(TRANS["resnet_layers"]):
        middle, outputs = 32 << level, 128 << level
        for number in range(1, units + 1):
            unit = f"block{level + 1}/unit{number}"
            shapes |= {f"{unit}/conv1/kernel": (1, 1, inputs, middle), f"{unit}/conv2/kernel": (3, 3, middle, middle)}
            shapes |= {f"{unit}/conv3/kernel": (1, 1, middle, outputs)}
            normalised |= {f"{unit}/gn1": middle, f"{unit}/gn2": middle, f"{unit}/gn3": outputs}
            if number == 1:
                shapes |= {f"{unit}/conv_proj/kernel": (1, 1, inputs, outputs)}
                normalised |= {f"{unit}/gn_proj": outputs}
            inputs = outputs
    for norm, channels in normalised.items():
        shapes |= {f"{norm}/scale": (1, 1, 1, channels), f"{norm}/bias": (1, 1, 1, channels)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return published()


@pytest.fixture(scope="module")
def network(arrays: dict[str, np.ndarray]) -> torch.nn.Module:
    network = build("TransUNet", TRANS).eval()
    network.load_state_dict(from_jax(arrays, network.state_dict()).tensors, strict=False)
    return network


def test_all_but_the_decoder_is_given_and_the_classifier_is_not_used(arrays: dict[str, np.ndarray]):
    outline = configured("TransUNet", TRANS).outline()
    start = from_jax(arrays, outline)
    assert is_jax(arrays)
    assert start.missing == ()
    assert start.unused == ("cls", "head/kernel")
    assert start.tensors.keys() == {name for name in outline if name.startswith("transformer.")}
    assert all(start.tensors[name].shape == outline[name].shape for name in start.tensors)


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_a_projection_of_the_attention_gives_what_it_gave_in_jax(arrays, network, part: str):
    source = f"{BLOCK}/MultiHeadDotProductAttention_1/{part}"
    tokens = np.random.default_rng(1).normal(size=(5, 24)).astype(np.float32)
    expected = np.einsum("tf,fhd->thd", tokens, arrays[f"{source}/kernel"]) + arrays[f"{source}/bias"]
    layer = getattr(network.transformer.encoder.layer[1].attn, part)
    given = layer(torch.from_numpy(tokens)).detach().numpy().reshape(5, 3, 8)
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_the_heads_are_joined_as_in_jax(arrays, network):
    source = f"{BLOCK}/MultiHeadDotProductAttention_1/out"
    attended = np.random.default_rng(1).normal(size=(5, 3, 8)).astype(np.float32)
    expected = np.einsum("thd,hdf->tf", attended, arrays[f"{source}/kernel"]) + arrays[f"{source}/bias"]
    given = network.transformer.encoder.layer[1].attn.out(torch.from_numpy(attended.reshape(5, 24)))
    np.testing.assert_allclose(given.detach().numpy(), expected, atol=1e-5)


def test_a_convolution_takes_rows_columns_inputs_and_outputs_for_what_they_are_in_jax(arrays, network):
    kernel = network.transformer.embeddings.hybrid_model.body.block1.unit1.conv2.weight
    assert kernel[5, 7, 2, 0].item() == arrays["block1/unit1/conv2/kernel"][2, 0, 7, 5]


def test_shortcuts_are_given_their_projections(arrays, network):
    unit = network.transformer.embeddings.hybrid_model.body.block2.unit1
    assert unit.downsample.weight[9, 4, 0, 0].item() == arrays["block2/unit1/conv_proj/kernel"][0, 0, 4, 9]
    assert unit.gn_proj.weight[9].item() == arrays["block2/unit1/gn_proj/scale"][0, 0, 0, 9]


@pytest.mark.parametrize("old", [1, 2, 5, 14, 24])
@pytest.mark.parametrize("new", [1, 2, 4, 7, 14, 32])
def test_positions_are_those_that_scipy_makes_of_them(old: int, new: int):
    table = np.random.default_rng(old).normal(size=(1, 1 + old**2, 3))
    expected = zoom(table[0, 1:].reshape(old, old, 3), (new / old, new / old, 1), order=1).reshape(1, new**2, 3)
    np.testing.assert_allclose(resized_positions(table, new**2), expected, atol=1e-12)


def test_positions_of_as_many_tokens_stay_as_they_are():
    table = np.random.default_rng(0).normal(size=(1, 16, 3))
    assert np.array_equal(resized_positions(table, 16), table)
    assert np.array_equal(resized_positions(np.concatenate([table[:, :1], table], axis=1), 16), table)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 12, 24), np.float32),
        np.zeros((1, 1, 24), np.float32),
        np.zeros((0, 17, 24), np.float32),
        np.zeros((1, 17, 23), np.float32),
        np.zeros((17, 24), np.float32),
        np.array("positions"),
    ],
)
def test_a_table_that_is_none_is_missing(arrays: dict[str, np.ndarray], array: np.ndarray):
    start = from_jax({**arrays, JAX_POSITIONS: array}, configured("TransUNet", TRANS).outline())
    assert start.missing == (POSITIONS,)
    assert JAX_POSITIONS in start.unused


def test_what_another_network_would_need_is_listed(arrays: dict[str, np.ndarray]):
    deeper = configured("TransUNet", {**TRANS, "num_layers": 3, "mlp_dim": 48})
    start = from_jax(arrays, deeper.outline())
    assert "transformer.encoder.layer.2.attn.query.weight" in start.missing
    assert "transformer.encoder.layer.0.ffn.fc1.weight" in start.missing
    assert "transformer.encoder.layer.0.attn.query.weight" in start.tensors
