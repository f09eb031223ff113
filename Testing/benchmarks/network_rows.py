"""The rows of networks: their fast forms beside the plain ones with the same weights. ``--small`` makes them small, to
try the rows out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.bundles.plan import Activation, OutputPlan
from TransformerSegLib.inference.preparation import prepare
from TransformerSegLib.inference.restoring import restore
from TransformerSegLib.inference.sliding_window import SlidingWindow
from TransformerSegLib.networks.fast_form import fast_form, memory_kept
from TransformerSegLib.networks.registry import build, configured

from measuring import interleaved, interleaved_with_memory, peak_megabytes, product_speed
from rows import HEAD, ON_CPU, highest, share, volume_of

if TYPE_CHECKING:
    import torch

SMALL = "--small" in sys.argv
FEATURES, SIDE, HIDDEN = (12, 64, 96) if SMALL else (48, 96, 768)
SLICE_SIDE, SLICES = (32, 2) if SMALL else (224, 8)
VOLUMES = 2
"""Of eight windows, in turns: each pair takes more than a minute."""

WINDOWS_AT_ONCE = 4
"""In bfloat16 a window is short beside the taking of memory, which a run does once."""

SWIN_UNETR = {"in_channels": 1, "out_channels": 14, "feature_size": FEATURES, "downsample": "mergingv2"}
EMBEDDED = {**SWIN_UNETR, "out_channels": 3, "feature_size": 12, "window_size": 4}
UNETR = {"in_channels": 1, "out_channels": 14, "img_size": SIDE, "hidden_size": HIDDEN}
SMALL_SLICES = {
    "SwinUnet": {"embed_dim": 12, "num_heads": [1, 2, 4, 8], "window_size": 4},
    "TransUNet": {"resnet_layers": [1, 1, 1], "hidden_size": 48, "num_heads": 4, "num_layers": 2, "mlp_dim": 96},
}
SWIN_UNETR_WINDOW = f"Swin UNETR of {FEATURES} features, {SIDE}³"
WINDOWS = [
    (SWIN_UNETR_WINDOW, "SwinUNETR", (SIDE,) * 3, SWIN_UNETR),
    ("the embedded model's network, 32×64×32", "SwinUNETR", (32, 64, 32), EMBEDDED),
    (f"UNETR, {SIDE}³", "UNETR", (SIDE,) * 3, UNETR),
]
"""What it is, its name, its window and its arguments."""


def windows() -> Iterator[tuple]:
    """One window of each, and how far that is from what the machine can do."""
    import torch

    peak = product_speed()
    for what, name, size, arguments in WINDOWS:
        plain = network(name, arguments)
        form, window = fast_form(plain), torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
        found, expected = [], []

        def by_us(form=form, window=window, found=found) -> None:
            found[:] = [form(window)]

        def by_stock(plain=plain, window=window, expected=expected) -> None:
            expected[:] = [plain(window)]

        with torch.inference_mode(), memory_kept(form):
            # With the fast form's own kernels, which are made at the first window.
            megabytes, stock_megabytes = peak_megabytes(by_us), peak_megabytes(by_stock)
            times = interleaved({"ours": by_us, "stock": by_stock})
        same = agreement(found[0], expected[0])
        work = configured(name, arguments).operations(size)
        yield f"{what}, a window: MB above the network", megabytes, stock_megabytes, same
        # The operations are those of the plain network: the fast form has fewer, and may be beyond a hundred percent.
        spreads = " and ".join(each.spread for each in times.values())
        of_peak = " and ".join(f"{work / each / peak:.0%}" for each in times.values())
        limit = f"{of_peak} of the speed of a matrix product; {spreads} s"
        yield f"{what}, a window: s", times["ours"], times["stock"], limit


def slices_one_by_one() -> Iterator[tuple]:
    """A batch of slices of each network, as a run gives them to it, beside a plain loop of one slice at a time."""
    import torch

    for name in ("SwinUnet", "TransUNet"):
        sizes = SMALL_SLICES[name] if SMALL else {}
        plain = network(name, {"in_channels": 1, "out_channels": 9, "img_size": SLICE_SIDE, **sizes})
        form = fast_form(plain)
        batch = torch.rand(SLICES, 1, SLICE_SIDE, SLICE_SIDE, generator=torch.Generator().manual_seed(0))
        found, expected = [], []

        def by_us(form=form, batch=batch, found=found) -> None:
            found[:] = [form(batch)]

        def one_by_one(plain=plain, batch=batch, expected=expected) -> None:
            expected[:] = [plain(slice_) for slice_ in batch[:, None]]

        with torch.inference_mode():
            by_us()
            times = interleaved({"ours": by_us, "stock": one_by_one})
        same = f"{agreement(found[0], torch.cat(expected))}; beside a plain loop"
        yield f"{name}, {SLICE_SIDE}²: s a slice", times["ours"] / SLICES, times["stock"] / SLICES, same


def eight_windows() -> Iterator[tuple]:
    """Swin UNETR over one and a half windows along each axis, with all that blends them, beside MONAI's inferer."""
    import torch

    from stock_monai import inferer

    shape, plan = (SIDE * 3 // 2,) * 3, replace(HEAD, roi_size=(SIDE,) * 3)
    plain = network("SwinUNETR", SWIN_UNETR)
    form, volume = fast_form(plain), volume_of(shape)
    labels, expected = np.zeros((1, *shape), np.uint8), np.zeros(shape, np.uint8)

    def by_us() -> None:
        image = prepare([volume], [])
        with torch.inference_mode(), memory_kept(form):
            blocks = SlidingWindow(form, image, plan, ON_CPU).blocks()
            restore(blocks, image.grid, OutputPlan(Activation.NONE), highest(SWIN_UNETR["out_channels"]), labels)

    def by_stock() -> None:
        with torch.inference_mode():
            scores = inferer(plan)(torch.from_numpy(volume.array)[None, None], plain)
            expected[:] = scores.argmax(dim=1)[0].numpy()

    times, megabytes = interleaved_with_memory({"ours": by_us, "stock": by_stock}, VOLUMES)
    same, what = share(labels[0], expected), f"{SWIN_UNETR_WINDOW}, {shape[0]}³ voxels"
    yield f"{what}: MB above the network", megabytes["ours"], megabytes["stock"], same
    spreads = " and ".join(each.spread for each in times.values())
    yield f"{what}: s", times["ours"], times["stock"], f"{same}; {spreads} s"


def window_in_bfloat16() -> Iterator[tuple]:
    """A window through Swin UNETR in bfloat16, beside MONAI's in float32. (Processors without the instructions are
    slow at it, and are not offered it.)"""
    import torch

    from TransformerSegLib.networks.forms import in_bfloat16

    plain, found = network("SwinUNETR", SWIN_UNETR), {}
    halved, window = in_bfloat16(plain), torch.randn(1, 1, *(SIDE,) * 3)

    def by_us() -> None:
        with torch.inference_mode(), halved.memory_kept():
            for _ in range(WINDOWS_AT_ONCE):
                found["ours"] = halved(window)

    def by_stock() -> None:
        with torch.inference_mode():
            found["stock"] = plain(window)

    times = interleaved({"ours": by_us, "stock": by_stock})
    same = f"{agreement(found['ours'], found['stock'])} (random weights)"
    yield f"{SWIN_UNETR_WINDOW}, a window in 16 bits: s", times["ours"] / WINDOWS_AT_ONCE, times["stock"], same


def network(name: str, arguments: dict[str, object]) -> torch.nn.Module:
    """With random weights, always the same."""
    import torch

    torch.manual_seed(0)
    return build(name, arguments).eval().requires_grad_(False)


def agreement(found: torch.Tensor, expected: torch.Tensor) -> str:
    """Of logits (B, classes, …)."""
    difference = float((found - expected).abs().max() / (expected.max() - expected.min()))
    same = float((found.argmax(dim=1) == expected.argmax(dim=1)).double().mean())
    return f"largest difference {difference:.1e} of the range; {same:.5%} of labels equal"
