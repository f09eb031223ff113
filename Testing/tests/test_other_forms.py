"""Networks without MONAI, in bfloat16 and mirrored, beside MONAI's own."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
import torch

from TransformerSegLib.networks import packed_linear_module
from TransformerSegLib.networks.forms import in_bfloat16, mirrored
from TransformerSegLib.networks.packed_linear_module import PackedLinear
from TransformerSegLib.networks.registry import build, configured
from TransformerSegLib.networks.swin_unetr_layers_module import SwinUNETRLayers

import small_networks

SWIN = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "window_size": 4, "downsample": "mergingv2"}
UNETR = {**small_networks.UNETR, "feature_size": 8}


def network(name: str, arguments: dict[str, object]) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(name, arguments).eval().requires_grad_(False)


def image(*size: int, channels: int = 1, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"downsample": "merging"},
        {"downsample": "legacy"},
        {"use_v2": True},
        {"normalize": False, "qkv_bias": False, "patch_norm": True, "mlp_ratio": 2.0},
        {"window_size": (7, 4, 3), "depths": (2, 1, 3, 2), "in_channels": 4, "feature_size": 24},
    ],
)
def test_the_layers_have_the_tensors_of_monai_s_network_and_merge_patches_as_it_does(changes: dict[str, object]):
    arguments = {**SWIN, **changes}
    monai, layers = network("SwinUNETR", arguments), configured("SwinUNETR", arguments).layers()
    expected, found = monai.state_dict(), layers.state_dict()
    assert found.keys() == expected.keys()
    assert all(tensor.shape == expected[name].shape for name, tensor in found.items())
    positions = [name for name in expected if name.endswith("relative_position_index")]
    assert positions
    assert all(torch.equal(found[name], expected[name]) for name in positions)
    layers.load_state_dict(expected)
    theirs, ours = monai.swinViT.layers1[0], layers.swinViT.layers1[0]
    features = torch.randn(1, 4, 6, 2, arguments["feature_size"])
    assert torch.equal(ours.downsample(features), theirs.downsample(features))
    block, same = theirs.blocks[-1], ours.blocks[-1]
    assert tuple(block.shift_size) == same.shift_size
    assert tuple(block.window_size) == same.window_size
    assert block.attn.scale == same.attn.scale
    assert torch.equal(same.mlp(features), block.mlp(features))


def test_batch_norms_have_tensors_of_their_own_and_are_left_to_monai():
    assert not configured("SwinUNETR", {**SWIN, "norm_name": "batch"}).has_layers
    assert configured("SwinUNETR", SWIN).has_layers
    assert isinstance(configured("SwinUNETR", SWIN).layers(), SwinUNETRLayers)


def test_a_networks_outline_loads_neither_monai_nor_torchs_compiler():
    code = (
        "import sys; from TransformerSegLib.networks.registry import configured; "
        "outline = configured('SwinUNETR', {'in_channels': 1, 'out_channels': 3}).outline(); "
        "assert len(outline) > 100; "
        "assert not {'monai', 'torch._dynamo'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "arguments", "images"),
    [
        ("SwinUNETR", SWIN, image(32, 64, 32)),
        ("SwinUNETR", {**SWIN, "use_v2": True, "downsample": "legacy"}, image(32, 64, 32)),
        ("SwinUNETR", {**SWIN, "in_channels": 4, "normalize": False}, image(64, 32, 32, channels=4, batch=2)),
        ("SwinUNETR", {**SWIN, "norm_name": "batch"}, image(32, 64, 32)),
        ("UNETR", UNETR, image(*small_networks.UNETR["img_size"])),
    ],
)
def test_in_bfloat16_scores_are_near_and_the_network_stays_as_it_is(name: str, arguments: dict, images: torch.Tensor):
    plain = network(name, {**arguments})
    images = images.repeat(1, arguments["in_channels"] // images.shape[1], 1, 1, 1)
    before = {key: tensor.clone() for key, tensor in plain.state_dict().items()}
    with torch.no_grad():
        expected, found = plain(images), in_bfloat16(plain)(images)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 0.03 * (expected.max() - expected.min())
    assert not torch.equal(found, expected)
    assert all(torch.equal(tensor, before[key]) for key, tensor in plain.state_dict().items())


def test_in_bfloat16_a_batch_is_normalised_image_by_image():
    half = in_bfloat16(network("SwinUNETR", SWIN))
    both = torch.cat([image(32, 64, 32), 3.0 + 5.0 * image(32, 64, 32).flip(3)])
    with torch.no_grad():
        together, apart = half(both), torch.cat([half(one[None]) for one in both])
    assert (together - apart).abs().max() < 0.03 * (apart.max() - apart.min())


def test_the_mean_over_mirror_images_is_the_same_for_all_of_them():
    torch.manual_seed(0)
    plain = torch.nn.Conv3d(1, 3, (3, 3, 3), padding=1)
    volume = image(8, 9, 10)
    with torch.no_grad():
        averaged = mirrored(plain, (0, 2))
        scores = averaged(volume)
        for axes in ((2,), (4,), (2, 4)):
            assert torch.allclose(averaged(volume.flip(axes)).flip(axes), scores, atol=1e-5)
        assert not torch.allclose(plain(volume.flip(2)).flip(2), plain(volume), atol=1e-3)
        by_hand = sum(plain(volume.flip(axes)).flip(axes) for axes in ((), (2,), (4,), (2, 4))) / 4
    assert torch.allclose(scores, by_hand, atol=1e-5)


def test_without_axes_nothing_is_mirrored():
    plain = torch.nn.Identity()
    assert mirrored(plain, ()) is plain


HEAP_KEPT_AND_GIVEN_BACK = """
import resource
import numpy as np
from TransformerSegLib.networks.kept_heap import heap_kept

def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

size = 200_000_000
before = resident()
with heap_kept():
    block = np.ones(size, np.uint8)
    held = resident()
    del block
    assert resident() > held - size // 2, "it went back at once"
assert resident() < before + size // 2, "it never went back"
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc gives large blocks back at once")
def test_a_heap_that_is_kept_is_given_back_in_the_end():
    # In a process of its own: where an allocation has failed before, glibc has moved the thread to another area.
    subprocess.run([sys.executable, "-c", HEAP_KEPT_AND_GIVEN_BACK], check=True)


BLOCKS_FROM_THE_HEAP = """
import ctypes
from TransformerSegLib.networks.kept_heap import heap_kept
from TransformerSegLib.networks.packed_linear_module import PackedLinear

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks".split()]
    _fields_ += [(name, ctypes.c_size_t) for name in "uordblks fordblks keepcost".split()]

library.mallinfo2.restype = Counts
with heap_kept():
    pass
before = library.mallinfo2().hblks
block = library.malloc(16 * 1024**2)
assert library.mallinfo2().hblks == before, "a map of its own"
library.free(block)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc tells it since 2.33")
def test_after_it_blocks_are_taken_from_the_heap_as_in_a_program_that_has_freed_some():
    subprocess.run([sys.executable, "-c", BLOCKS_FROM_THE_HEAP], check=True)


def test_a_torch_with_other_packed_products_is_left_to_its_plain_one(monkeypatch: pytest.MonkeyPatch):
    def changed(*arguments) -> torch.Tensor:
        raise TypeError("_linear_pointwise() takes other arguments")

    weight, bias, features = torch.randn(3, 5), torch.randn(3), torch.randn(4, 5)
    expected = PackedLinear(weight, bias, then_gelu=True)(features)
    monkeypatch.setattr(packed_linear_module, "_product", changed)
    packed_linear_module._has_onednn.cache_clear()
    try:
        found = PackedLinear(weight, bias, then_gelu=True)(features)
    finally:
        packed_linear_module._has_onednn.cache_clear()
    assert torch.allclose(found, expected, atol=1e-5)
