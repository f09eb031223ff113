"""Networks in their fast form answer as MONAI's own do, and leave to these what they do not cover."""

from __future__ import annotations

import itertools
import threading

import pytest
import torch
from monai.networks import nets
from monai.networks.nets.swin_unetr import compute_mask, window_partition
from torch.nn import functional

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.errors import Cancelled
from TransformerSegLib.inference.network_run import _asking_between_layers
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.networks import kept_memory_module
from TransformerSegLib.networks.fast_form import fast_form, memory_kept
from TransformerSegLib.networks.fast_form_module import FastForm
from TransformerSegLib.networks.merged_upsampling_module import MergedUpsampling, PlainUpsampling, merged_kernel
from TransformerSegLib.networks.moments_module import Moments, normalise
from TransformerSegLib.networks.planes_module import TILES, Planes, tile_for
from TransformerSegLib.networks.registry import build, configured
from TransformerSegLib.networks.shifted_windows_module import MASKED, shifted_windows
from TransformerSegLib.networks.winograd_module import PlaneConvolution, winograd_matrices

import small_networks

LARGEST_DIFFERENCE = 5e-6
"""Of two logits, in parts of the logits' range."""

SWIN = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "window_size": 4, "downsample": "mergingv2"}
UNETR = {**small_networks.UNETR, "feature_size": 8}


def network(name: str, arguments: dict[str, object]) -> torch.nn.Module:
    """With random weights, those of norms and position biases too."""
    torch.manual_seed(0)
    made = build(name, arguments).eval().requires_grad_(False)
    for weight in made.parameters():
        if weight.dim() < 3:
            weight += torch.randn_like(weight) * 0.1
    return made


def image(size: tuple[int, ...], channels: int = 1, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def difference(plain: torch.nn.Module, images: torch.Tensor) -> float:
    """Largest difference of the logits, in parts of their range; and the fast form did answer."""
    form = fast_form(plain)
    expected, found = plain(images), form(images)
    assert form.fast is not None
    assert found.shape == expected.shape
    assert (found.argmax(1) == expected.argmax(1)).double().mean() > 0.9999
    return float((found - expected).abs().max() / (expected.max() - expected.min()))


@pytest.mark.parametrize(
    ("changes", "size", "batch"),
    [
        ({}, (32, 64, 32), 1),
        ({"downsample": "merging"}, (64, 32, 32), 2),
        ({"downsample": "legacy"}, (32, 32, 64), 1),
        ({"use_v2": True}, (32, 64, 32), 1),
        ({"normalize": False, "patch_norm": True, "qkv_bias": False}, (32, 64, 32), 1),
        ({"window_size": 7, "depths": (1, 3, 2, 1), "num_heads": (2, 3, 4, 6)}, (64, 32, 32), 1),
        ({"window_size": (3, 7, 2), "mlp_ratio": 2.5}, (32, 32, 96), 1),
        ({"feature_size": 24, "in_channels": 4, "drop_rate": 0.2, "dropout_path_rate": 0.2}, (32, 64, 32), 1),
        ({"in_channels": 12, "out_channels": 1}, (32, 64, 32), 1),
    ],
    ids=lambda value: str(value),
)
def test_a_swin_unetr_answers_as_monai_s_in_every_configuration(changes: dict, size: tuple[int, ...], batch: int):
    arguments = SWIN | changes
    images = image(size, arguments["in_channels"], batch)
    assert difference(network("SwinUNETR", arguments), images) < LARGEST_DIFFERENCE


@pytest.mark.parametrize(
    ("changes", "size", "batch"),
    [
        ({}, (32, 32, 32), 1),
        ({"res_block": False, "in_channels": 2}, (48, 32, 16), 2),
        ({"conv_block": False, "in_channels": 8, "proj_type": "perceptron"}, (32, 48, 32), 1),
        ({"feature_size": 5, "qkv_bias": True, "dropout_rate": 0.2}, (32, 64, 48), 1),
    ],
    ids=lambda value: str(value),
)
def test_a_unetr_answers_as_monai_s_in_every_configuration(changes: dict, size: tuple[int, ...], batch: int):
    arguments = UNETR | changes | {"img_size": list(size)}
    images = image(size, arguments["in_channels"], batch)
    assert difference(network("UNETR", arguments), images) < LARGEST_DIFFERENCE


def test_an_image_of_large_values_and_little_variance_is_answered_alike():
    plain = network("SwinUNETR", SWIN)
    assert difference(plain, image((32, 64, 32)) * 1e-2 + 30.0) < 20 * LARGEST_DIFFERENCE
    assert difference(plain, torch.zeros(1, 1, 32, 64, 32)) < 20 * LARGEST_DIFFERENCE


def test_the_embedded_model_s_network_has_a_fast_form_with_the_same_tensors():
    plain = find_bundle().network()
    form = fast_form(plain)
    assert isinstance(form, FastForm)
    assert list(form.state_dict()) == list(plain.state_dict())
    assert difference(plain, image(find_bundle().plan.window.size)) < LARGEST_DIFFERENCE


def test_other_weights_that_are_loaded_are_the_ones_that_answer():
    form, other = fast_form(network("SwinUNETR", SWIN)), network("SwinUNETR", SWIN | {"use_v2": False})
    images = image((32, 64, 32))
    with torch.no_grad():
        before = form(images)
        for weight in other.parameters():
            weight.mul_(1.1)
        form.load_state_dict(other.state_dict())
        assert not torch.allclose(form(images), before)
        assert torch.allclose(form(images), other(images), atol=1e-4)


@pytest.mark.parametrize("reason", ["gradients", "training", "double", "half precision", "another size"])
def test_what_the_fast_form_does_not_cover_is_left_to_the_plain_network(reason: str):
    plain, images = network("SwinUNETR", SWIN), image((32, 64, 32))
    form = fast_form(plain)
    with torch.set_grad_enabled(reason == "gradients"), torch.autocast("cpu", enabled=reason == "half precision"):
        match reason:
            case "training":
                form.train()
            case "double":
                form, images = form.double(), images.double()
            case "another size":
                with pytest.raises(ValueError, match="32"):
                    form(image((48, 64, 32)))
                return
        assert torch.equal(form(images), plain(images))
    assert form.fast is None


@pytest.mark.parametrize(
    "plain",
    [
        lambda: network("SwinUNETR", SWIN | {"norm_name": "batch"}),
        lambda: network("UNETR", UNETR | {"norm_name": "batch"}),
        lambda: nets.SwinUNETR(1, 2, feature_size=12, norm_name=("instance", {"affine": True})),
        lambda: nets.SwinUNETR(1, 2, feature_size=12, spatial_dims=2),
        lambda: nets.SwinUNETR(1, 2, feature_size=12, patch_size=3),
        lambda: torch.nn.Conv3d(1, 2, 1),
    ],
    ids=["batch norms", "batch norms of UNETR", "norms with weights", "slices", "other patches", "another network"],
)
def test_a_network_without_a_fast_form_stays_as_it_is(plain):
    made = plain()
    assert fast_form(made) is made


def test_a_cancel_takes_effect_between_layers_of_the_fast_form():
    form, cancel = fast_form(network("SwinUNETR", SWIN)), CancelToken()
    with torch.no_grad():
        form(image((32, 64, 32)))
        form.fast.joins[-1].register_forward_pre_hook(lambda module, inputs: cancel.cancel())
        with pytest.raises(Cancelled), _asking_between_layers(cancel, form):
            form(image((32, 64, 32)))


@pytest.mark.parametrize("tile", TILES)
def test_winograd_s_products_make_the_outputs_of_the_convolution(tile: int):
    output, of_kernel, data = (torch.from_numpy(matrix) for matrix in winograd_matrices(tile))
    kernel, seen = torch.randn(3, dtype=torch.float64), torch.randn(tile + 2, dtype=torch.float64)
    expected = torch.stack([kernel @ seen[n : n + 3] for n in range(tile)])
    assert torch.allclose(output @ ((of_kernel @ kernel) * (data @ seen)), expected, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 4, 5, 6, 9, 12, 13])
@pytest.mark.parametrize("in_place", [False, True])
def test_planes_are_convolved_whatever_their_number_also_in_place(depth: int, in_place: bool):
    features, kernel = torch.randn(depth, 13, 11, 5), torch.randn(5, 5, 3, 3, 3)
    source = Planes.of(features, steps=1)
    made = source.pushed() if in_place else Planes.empty(*features.shape)
    told = []
    PlaneConvolution(kernel)(source, made, finish=lambda start, stop: told.append((start, stop)))
    expected = functional.conv3d(Planes.of(features).volume.double(), kernel.double(), padding=1)
    assert torch.allclose(made.volume.double(), expected, atol=2e-4)
    assert list(itertools.chain(*(range(*part) for part in told))) == list(range(depth))


def test_the_tile_is_the_one_with_the_fewest_products():
    assert [tile_for(depth) for depth in (2, 4, 6, 8, 48, 64, 96)] == [4, 4, 6, 4, 6, 6, 6]


def test_a_merged_kernel_does_what_upsampling_and_convolution_do():
    coarse, between = torch.randn(4, 3, 5, 6), 7
    upsampling, convolution = torch.randn(6, between, 2, 2, 2), torch.randn(4, between, 3, 3, 3)
    source, made = Planes.of(coarse), torch.zeros(8, 6, 10, 4)
    for start in (0, 4):
        MergedUpsampling(merged_kernel(upsampling, convolution))(source, start, start + 4, made[start : start + 4])
    finer = functional.conv_transpose3d(source.volume, upsampling, stride=2)
    assert torch.allclose(PlainUpsampling(upsampling).upsampled(source, 0).volume, finer, atol=1e-5)
    expected = functional.conv3d(finer, convolution, padding=1)
    assert torch.allclose(made.permute(3, 0, 1, 2)[None], expected, atol=1e-3)


@pytest.mark.parametrize("features", [5, 12, 48])
def test_a_small_variance_beside_a_large_mean_is_not_lost(features: int):
    planes, moments = torch.randn(9, 24, 22, features) * 0.01 + 7.0, Moments()
    for start in range(0, 9, 4):
        moments.add(planes[start : start + 4])
    expected = functional.instance_norm(planes.permute(3, 0, 1, 2)[None].double())
    found = normalise(planes.clone(), *moments.scale_and_shift()).permute(3, 0, 1, 2)[None]
    assert (found - expected).abs().max() < 1e-3


@pytest.mark.parametrize("grid", [(8, 8, 8), (9, 4, 7), (3, 12, 5)])
@pytest.mark.parametrize("shift", [(0, 0, 0), (2, 2, 2)])
def test_windows_and_masks_are_monai_s(grid: tuple[int, int, int], shift: tuple[int, int, int]):
    windows = shifted_windows(grid, (4, 4, 4), shift, torch.device("cpu"))
    filled = [-(-length // side) * side for length, side in zip(grid, windows.sides, strict=True)]
    shifted = tuple(0 if length <= 4 else by for length, by in zip(grid, shift, strict=True))
    numbers = torch.full(filled, -1)
    numbers[: grid[0], : grid[1], : grid[2]] = torch.arange(grid[0] * grid[1] * grid[2]).view(grid)
    rolled = torch.roll(numbers, [-by for by in shifted], (0, 1, 2))
    expected = window_partition(rolled[None, ..., None], windows.sides)[..., 0]
    masks = compute_mask(filled, windows.sides, shifted, "cpu") if any(shifted) else torch.zeros(len(expected), 1, 1)
    tokens = windows.tokens.masked_fill(windows.filling, -1) if windows.filling is not None else windows.tokens
    assert sorted(map(tuple, tokens.tolist())) == sorted(map(tuple, expected.tolist()))
    place = {tuple(window.tolist()): number for number, window in enumerate(expected)}
    for kind, (start, stop) in enumerate(windows.kinds):
        mask = 0.0 if windows.masks is None else windows.masks[kind]
        for window in tokens[start:stop]:
            assert torch.equal(mask + torch.zeros_like(masks[0]), masks[place[tuple(window.tolist())]])
    assert windows.masks is None or set(windows.masks.unique().tolist()) == {0.0, MASKED}
    assert torch.equal(tokens.flatten()[windows.places], torch.arange(len(windows.places)))


def test_a_run_s_working_memory_is_kept_from_window_to_window_and_then_given_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept_memory_module, "WORTH_KEEPING_BYTES", 1)
    form, images = fast_form(network("SwinUNETR", SWIN)), image((32, 64, 32), batch=2)
    with torch.no_grad():
        expected = form(images)
        with memory_kept(torch.nn.Sequential(form)):
            assert torch.equal(form(images), expected)
            kept = [block.data_ptr() for block in form._memory._blocks]
            assert torch.equal(form(images), expected)
            assert kept
            assert [block.data_ptr() for block in form._memory._blocks] == kept
    assert form._memory is None


def test_the_layers_alone_which_need_no_monai_answer_alike():
    for changes in ({}, {"use_v2": True, "downsample": "legacy"}):
        plain = network("SwinUNETR", SWIN | changes)
        layers = configured("SwinUNETR", SWIN | changes).layers().eval()
        layers.load_state_dict(plain.state_dict())
        images = image((32, 64, 32))
        with torch.no_grad():
            assert torch.allclose(fast_form(layers)(images), fast_form(plain)(images), atol=1e-6)


def test_another_thread_gets_memory_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept_memory_module, "WORTH_KEEPING_BYTES", 1)
    form, images, others = fast_form(network("SwinUNETR", SWIN)), image((32, 64, 32)), image((32, 64, 32)) * 3.0 + 1.0

    def answer_another() -> None:
        with torch.no_grad():
            form(others)

    def in_between(*_) -> None:
        if threading.current_thread() is threading.main_thread():
            thread = threading.Thread(target=answer_another)
            thread.start()
            thread.join()

    with torch.no_grad():
        expected = form(images)
        form.fast.joins[1].register_forward_pre_hook(in_between)
        with memory_kept(form):
            assert torch.equal(form(images), expected)
            assert torch.equal(form(images), expected)


@pytest.mark.parametrize("name", ["SwinUNETR", "UNETR"])
def test_what_type_new_tensors_of_the_process_are_of_by_default_changes_nothing(name: str):
    size = (32, 64, 32) if name == "SwinUNETR" else (32, 32, 32)
    plain = network(name, SWIN if name == "SwinUNETR" else UNETR | {"img_size": list(size)})
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            found = fast_form(plain)(image(size).float())
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    assert difference(plain, image(size).float()) < LARGEST_DIFFERENCE


def test_weights_that_training_changed_are_the_ones_that_answer():
    plain, images = network("SwinUNETR", SWIN), image((32, 64, 32))
    form = fast_form(plain)
    with torch.no_grad():
        form(images)
        form.eval()
        assert form.fast is not None
        form.train()
        for weight in plain.parameters():
            weight.mul_(1.3)
        form.eval()
        expected = plain(images)
        assert (form(images) - expected).abs().max() < LARGEST_DIFFERENCE * (expected.max() - expected.min())


def test_what_only_a_cpu_uses_goes_when_the_network_leaves_it():
    form, images = fast_form(network("SwinUNETR", SWIN)), image((32, 64, 32))
    with torch.no_grad():
        form(images)
    assert form.to("cpu").fast is not None
    assert form.to("meta").fast is None


def test_kernels_are_merged_on_the_device_where_they_are():
    upsampling, convolution = torch.empty(6, 7, 2, 2, 2, device="meta"), torch.empty(4, 7, 3, 3, 3, device="meta")
    assert merged_kernel(upsampling, convolution).device.type == "meta"
