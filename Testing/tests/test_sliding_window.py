"""Scores that stream out of overlapping windows are those of MONAI's SlidingWindowInferer, to the last bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from short_memory import MemoryRunsOut

from TransformerSegLib.bundles.plan import NormalizeIntensity, Weighting, WindowPlan
from TransformerSegLib.errors import BundleRejected, Cancelled, OutOfMemory, VolumeTooSmall
from TransformerSegLib.inference.placement import Placement
from TransformerSegLib.inference.preparation import PreparedImage, prepare
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.sliding_window import SlidingWindow
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.networks.registry import build

from real_volumes import CT, real_volume
from stock_monai import inferer

ON_CPU = Placement("cpu", "cpu", 1)


def image_of(shape: tuple[int, int, int], channels: int = 1) -> PreparedImage:
    generator = np.random.default_rng(0)
    volumes = [Volume(generator.normal(size=shape).astype(np.float32), np.eye(4), "noise") for _ in range(channels)]
    return prepare(volumes, [])


def pointwise(classes: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Conv3d(1, classes, 1).eval()


def swin_unetr() -> torch.nn.Module:
    torch.manual_seed(0)
    arguments = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "depths": (1, 1, 1, 1), "window_size": 4}
    return build("SwinUNETR", {**arguments, "num_heads": (1, 2, 4, 8), "downsample": "mergingv2"}).eval()


def streamed(network, image: PreparedImage, plan: WindowPlan, **arguments) -> torch.Tensor:
    """All scores (classes, X, Y, Z), put together from blocks; each voxel must come exactly once."""
    scores = None
    window = SlidingWindow(network, image, plan, Placement("cpu", "cpu", plan.batch_size), **arguments)
    for block in window.blocks():
        if scores is None:
            scores = torch.full((len(block.scores), *image.shape), torch.nan)
        assert scores[:, block.rows, block.columns].isnan().all()
        scores[:, block.rows, block.columns] = block.scores
    return scores


def by_monai(network, image: PreparedImage, plan: WindowPlan) -> torch.Tensor:
    with torch.inference_mode():
        return inferer(plan)(image.at(np.s_[:, :, :])[None], network)[0]


@pytest.mark.parametrize("weighting", Weighting)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.625, (0.5, 0.25, 0.75)])
@pytest.mark.parametrize("roi_size", [(96, 96, 96), (32, 64, 32)])
def test_scores_equal_monai(roi_size, overlap, weighting):
    overlap = overlap if isinstance(overlap, tuple) else (overlap,) * 3
    plan = WindowPlan(roi_size, overlap=overlap, weighting=weighting)
    image = image_of((117, 101, 97) if roi_size[0] == 96 else (75, 110, 41))
    network = pointwise()
    assert torch.equal(streamed(network, image, plan), by_monai(network, image, plan))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_scores_of_a_transformer_equal_monai_in_batches_of_any_size(batch_size):
    volume = real_volume(CT, part=np.s_[:70, :80, :])
    plan = WindowPlan((32, 64, 32), batch_size, (0.25, 0.25, 0.25), Weighting.GAUSSIAN)
    image = prepare([volume], [NormalizeIntensity()])
    network = swin_unetr()
    assert torch.equal(streamed(network, image, plan), by_monai(network, image, plan))


@pytest.mark.parametrize("shape", [(20, 70, 40), (70, 20, 9), (5, 6, 7), (32, 32, 32)])
@pytest.mark.parametrize(("padding_mode", "cval"), [("constant", -1.5), ("replicate", 0.0)])
def test_a_volume_smaller_than_the_window_is_padded_as_monai_pads_it(shape, padding_mode, cval):
    plan = WindowPlan((32, 32, 32), 2, (0.5, 0.5, 0.5), Weighting.GAUSSIAN, 0.2, padding_mode, cval)
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 2, 3, padding=1).eval()
    image = image_of(shape)
    assert torch.equal(streamed(network, image, plan), by_monai(network, image, plan))


def test_a_network_that_gives_back_its_input_does_not_harm_the_volume():
    image = image_of((40, 40, 40))
    before = image.channels[0].copy()
    streamed(torch.nn.Identity(), image, WindowPlan((32, 32, 32), weighting=Weighting.GAUSSIAN))
    assert np.array_equal(image.channels[0], before)


def test_only_what_a_coming_window_touches_is_held():
    image, plan = image_of((160, 128, 32)), WindowPlan((32, 32, 32), overlap=(0.5, 0.5, 0.5))
    held = []

    def measure(done: int) -> None:
        held.append(sum(sums.numel() for sums in window._sums.values()))

    window = SlidingWindow(pointwise(classes=4), image, plan, ON_CPU, on_done=measure)
    for _ in window.blocks():
        pass
    classes, half_a_window, rows_and_a_window = 4, 16, 128 + 32
    assert max(held) <= classes * half_a_window * rows_and_a_window * 32
    assert held[-1] == 0


class SmallDevice(torch.nn.Module):
    """A device's memory that takes only so many windows at a time: torch's own error beyond that."""

    def __init__(self, windows: int) -> None:
        super().__init__()
        self.network = pointwise()
        self.fits = windows
        self.seen: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(batch))
        if len(batch) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.network(batch)


def test_out_of_memory_halves_the_batch_says_so_and_runs_no_window_twice():
    plan, image, network = WindowPlan((32, 32, 32), 8), image_of((80, 60, 40)), SmallDevice(windows=3)
    told = []
    scores = streamed(network, image, plan, on_smaller=lambda before, after: told.append(after.told_from(before)))
    assert network.seen[:3] == [8, 4, 2]
    assert sum(size for size in network.seen if size <= network.fits) == 3 * 3 * 2
    assert [sentence.split(": ")[1] for sentence in told] == [
        "4 windows at a time from here on.",
        "2 windows at a time from here on.",
    ]
    # Convolutions round differently in batches of another size.
    torch.testing.assert_close(scores, by_monai(pointwise(), image, WindowPlan((32, 32, 32))), rtol=1e-6, atol=1e-6)


def test_when_the_cpu_cannot_hold_one_window_the_error_has_a_remedy():
    with pytest.raises(OutOfMemory) as caught:
        streamed(SmallDevice(windows=0), image_of((40, 40, 40)), WindowPlan((32, 32, 32), 4))
    assert "--roi" in caught.value.remedy


def test_the_order_of_fallbacks_is_smaller_batch_then_accumulating_on_the_cpu_then_the_cpu():
    steps = [Placement("cuda:0", "cuda:0", 4)]
    while (smaller := steps[-1].smaller()) is not None:
        steps.append(smaller)
    assert steps[1:] == [
        Placement("cuda:0", "cuda:0", 2),
        Placement("cuda:0", "cuda:0", 1),
        Placement("cuda:0", "cpu", 1),
        Placement("cpu", "cpu", 1),
    ]
    told = [after.told_from(before) for before, after in pairwise(steps)]
    assert "2 windows at a time" in told[0]
    assert "1 window at a time" in told[1]
    assert "in the computer's memory" in told[2]
    assert "going on with the CPU" in told[3]


class LentMemory(SmallDevice):
    """A second name of the CPU plays a device on which not even one window fits until the network has moved."""

    def __init__(self) -> None:
        super().__init__(windows=0)

    def to(self, device: str) -> LentMemory:
        self.fits = 1 if device == "cpu" else 0
        return super().to(device)


def test_a_device_without_memory_is_left_for_the_cpu_in_the_middle_of_a_run():
    image, plan, network = image_of((60, 40, 40)), WindowPlan((32, 32, 32), 2), LentMemory()
    reached = []
    window = SlidingWindow(
        network, image, plan, Placement("cpu:0", "cpu:0", 2), on_smaller=lambda before, after: reached.append(after)
    )
    scores = torch.zeros(3, *image.shape)
    for block in window.blocks():
        scores[:, block.rows, block.columns] = block.scores
    assert reached == [Placement("cpu:0", "cpu:0", 1), Placement("cpu:0", "cpu", 1), Placement("cpu", "cpu", 1)]
    assert torch.equal(scores, by_monai(pointwise(), image, WindowPlan((32, 32, 32))))


def test_what_only_the_device_computes_well_ends_there_with_a_remedy():
    placement, network = Placement("cpu:0", "cpu:0", 2, may_leave=False), LentMemory()
    window = SlidingWindow(network, image_of((60, 40, 40)), WindowPlan((32, 32, 32), 2), placement)
    with pytest.raises(OutOfMemory, match="memory of cpu:0") as caught:
        list(window.blocks())
    assert "“Standard”" in caught.value.remedy


@pytest.mark.parametrize("function", ["div_", "zeros", "add_", "stack"])
def test_memory_that_runs_out_beside_the_network_costs_one_step_and_changes_nothing(function):
    image, plan = image_of((80, 60, 40)), WindowPlan((32, 32, 32), 2, weighting=Weighting.GAUSSIAN)
    told, network = [], pointwise()
    with MemoryRunsOut(function) as memory:
        scores = streamed(network, image, plan, on_smaller=lambda before, after: told.append(after.batch_size))
    assert [memory.left, told] == [0, [1]]
    torch.testing.assert_close(scores, by_monai(network, image, plan), rtol=1e-6, atol=1e-6)


class NoRoomForTheNetwork(torch.nn.Conv3d):
    """A second name of the CPU plays a device that cannot even take the weights."""

    def to(self, device: str) -> NoRoomForTheNetwork:
        if device == "cpu:0":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().to(device)


def test_a_network_that_its_device_cannot_take_runs_on_the_cpu():
    torch.manual_seed(0)
    image, plan, reached = image_of((40, 40, 40)), WindowPlan((32, 32, 32), weighting=Weighting.GAUSSIAN), []
    network = NoRoomForTheNetwork(1, 3, 1).eval()
    window = SlidingWindow(
        network, image, plan, Placement("cpu:0", "cpu:0", 1), on_smaller=lambda before, after: reached.append(after)
    )
    scores = torch.cat([block.scores.flatten() for block in window.blocks()])
    assert reached == [Placement("cpu:0", "cpu", 1), Placement("cpu", "cpu", 1)]
    assert scores.numel() == 3 * 40**3


class Insatiable(torch.nn.Module):
    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.empty(2**60)


def test_memory_that_the_computer_refuses_is_told_from_other_errors():
    with pytest.raises(OutOfMemory):
        streamed(Insatiable(), image_of((40, 40, 40)), WindowPlan((32, 32, 32)))
    with pytest.raises(RuntimeError, match="channels"):
        streamed(torch.nn.Conv3d(2, 3, 1), image_of((40, 40, 40)), WindowPlan((32, 32, 32)))


def test_a_cancel_takes_effect_within_one_window():
    cancel, done = CancelToken(), []

    def stop_at_the_third(windows: int) -> None:
        done.append(windows)
        if windows == 3:
            cancel.cancel()

    with pytest.raises(Cancelled):
        streamed(
            pointwise(), image_of((80, 80, 80)), WindowPlan((32, 32, 32)), on_done=stop_at_the_third, cancel=cancel
        )
    assert done == [1, 2, 3]


def test_a_cancel_does_not_wait_for_the_rest_of_a_batch():
    cancel, layers = CancelToken(), []

    class Layer(torch.nn.Conv3d):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            layers.append(len(batch))
            cancel.cancel()
            return super().forward(batch)

    network = torch.nn.Sequential(Layer(1, 2, 1), Layer(2, 2, 1), Layer(2, 2, 1)).eval()
    with pytest.raises(Cancelled):
        streamed(network, image_of((80, 80, 80)), WindowPlan((32, 32, 32), 8), cancel=cancel)
    assert layers == [8]
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(("padding_mode", "least"), [("reflect", 12), ("circular", 11)])
def test_a_volume_with_too_few_voxels_to_repeat_is_refused_with_how_many_it_takes(padding_mode, least):
    plan = WindowPlan((32, 32, 32), padding_mode=padding_mode)
    image = image_of((least, 40, least))
    assert torch.equal(streamed(pointwise(), image, plan), by_monai(pointwise(), image, plan))
    with pytest.raises(VolumeTooSmall, match=f"{least}×{least}×{least}"):
        streamed(pointwise(), image_of((least, 40, least - 1)), plan)


def test_a_network_that_answers_in_another_size_is_refused():
    with pytest.raises(BundleRejected, match="one score for each voxel"):
        streamed(torch.nn.MaxPool3d(2), image_of((40, 40, 40)), WindowPlan((32, 32, 32)))
