"""Labels on the input's own grid are those of MONAI's own pipeline: prepare, infer, activate, invert, discretise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from short_memory import MemoryRunsOut

from TransformerSegLib.bundles.card import SegmentClass
from TransformerSegLib.bundles.plan import (
    Activation,
    NetworkPlan,
    NormalizeIntensity,
    Orientation,
    OutputPlan,
    Plan,
    ScaleIntensityRange,
    Spacing,
    Weighting,
    WindowPlan,
)
from TransformerSegLib.errors import Cancelled
from TransformerSegLib.inference.discretising import AboveThreshold, discretiser
from TransformerSegLib.inference.model_grid import ModelGrid
from TransformerSegLib.inference.network_run import ScoreBlock
from TransformerSegLib.inference.placement import Placement
from TransformerSegLib.inference.preparation import prepare
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.resampling import RowInterpolator
from TransformerSegLib.inference.restoring import restore
from TransformerSegLib.inference.sliding_window import SlidingWindow
from TransformerSegLib.networks.registry import build

from real_volumes import CT, MR, affine_of, real_volume
from stock_monai import as_metatensor, segment

AS_GOOD_AS_EQUAL = 0.99999
SIGMOID = OutputPlan(Activation.SIGMOID, threshold=0.5)
SMALL_WINDOW = WindowPlan((32, 64, 32), overlap=(0.5, 0.5, 0.5), weighting=Weighting.GAUSSIAN)


def plan_of(preparation, output=None, window=SMALL_WINDOW) -> Plan:
    return Plan(NetworkPlan("", {}), tuple(preparation), window, output or OutputPlan())


class Bands(torch.nn.Module):
    """Each class likes its own band of intensities, averaged over a neighbourhood; the bands overlap a little."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.levels = torch.linspace(-0.8, 1.8, channels).reshape(1, -1, 1, 1, 1)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        smooth = torch.nn.functional.avg_pool3d(batch.mean(dim=1, keepdim=True), 3, stride=1, padding=1)
        return 0.6 - 4.0 * (smooth - self.levels) ** 2


def classes_of(channels: int, first: int) -> list[SegmentClass]:
    return [
        SegmentClass(label=channel + 1 - first, channel=channel, name=str(channel), color=(0, 0, 0))
        for channel in range(first, channels)
    ]


def by_engine(volumes, plan: Plan, network, channels: int = 4) -> np.ndarray:
    """Channel numbers (I, J, K); or, with a threshold, masks (C, I, J, K)."""
    chosen = discretiser(plan.output, classes_of(channels, first=1 if plan.output.threshold is None else 0))
    image = prepare(volumes, plan.preparation)
    numbers = np.zeros((chosen.planes, *volumes[0].array.shape), chosen.dtype)
    windows = SlidingWindow(network, image, plan.window, Placement("cpu", "cpu", plan.window.batch_size))
    restore(windows.blocks(), image.grid, plan.output, chosen, numbers)
    layers = chosen.layers(numbers)
    if plan.output.threshold is None:
        return layers[0]
    return np.stack([layers[chosen.layer_of(channel)] == channel + 1 for channel in range(channels)])


def agreement(volumes, plan: Plan, channels: int = 4) -> float:
    network = Bands(channels)
    found, expected = (
        by_engine(volumes, plan, network, channels),
        segment(as_metatensor(volumes), plan, network),
    )
    assert found.shape == expected.shape
    assert len(np.unique(found)) == (channels if plan.output.threshold is None else 2)
    return float((found == expected).mean())


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR", "ILA"])
@pytest.mark.parametrize("output", [OutputPlan(), OutputPlan(Activation.NONE), SIGMOID], ids=repr)
def test_where_nothing_is_resampled_labels_are_identical(axes, output):
    volume = real_volume(MR, affine_of((3.0, 2.0, 1.0), axes, degrees=11.0))
    assert agreement([volume], plan_of([Orientation("RAS"), NormalizeIntensity()], output)) == 1.0


@pytest.mark.parametrize("weighting", Weighting)
@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.625])
@pytest.mark.parametrize("roi_size", [(96, 96, 96), (32, 64, 32)])
def test_where_spacing_changes_labels_are_equal_but_for_rounding(roi_size, overlap, weighting):
    volume = real_volume(MR)
    preparation = [Orientation("RAS"), Spacing((2.5, 2.4, 3.5)), NormalizeIntensity(nonzero=True)]
    plan = plan_of(preparation, window=WindowPlan(roi_size, 1, (overlap,) * 3, weighting))
    assert agreement([volume], plan) >= AS_GOOD_AS_EQUAL


@pytest.mark.parametrize("degrees", [0.0, 19.0])
@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR", "SAL"])
@pytest.mark.parametrize("order", ["oriented first", "spaced first"])
def test_oblique_and_anisotropic_volumes_in_any_axis_order(order, axes, degrees):
    volume = real_volume(CT, affine_of((1.0, 0.8, 5.0), axes, degrees), np.s_[:90, :80, :])
    turn, spacing = Orientation("RAS"), Spacing((1.5, 1.5, 2.5))
    steps = [turn, spacing] if order == "oriented first" else [spacing, turn]
    plan = plan_of([*steps, ScaleIntensityRange(-175.0, 250.0, -1.0, 2.0, clip=True)])
    assert agreement([volume], plan) >= AS_GOOD_AS_EQUAL


@pytest.mark.parametrize(
    "output",
    [
        OutputPlan(nearest=True),
        OutputPlan(restore_labels=True, nearest=True),
        OutputPlan(Activation.SIGMOID, threshold=0.5, restore_labels=True, nearest=True),
        OutputPlan(Activation.NONE, threshold=0.0),
        SIGMOID,
    ],
    ids=repr,
)
@pytest.mark.parametrize("degrees", [0.0, 19.0])
def test_every_way_from_scores_to_labels(output, degrees):
    volume = real_volume(MR, affine_of((1.0, 1.0, 1.0), "LPS", degrees))
    steps = [Orientation("RAS"), Spacing((2.0, 2.0, 1.5)), NormalizeIntensity()]
    assert agreement([volume], plan_of(steps, output)) >= AS_GOOD_AS_EQUAL


def test_nearest_labels_where_the_bundle_turns_what_it_has_resampled():
    volume = real_volume(MR, affine_of((1.0, 1.0, 0.5), "SPL", 19.0))
    steps = [Spacing((2.0, 1.5, 1.0)), Orientation("IRP"), NormalizeIntensity()]
    assert agreement([volume], plan_of(steps, OutputPlan(nearest=True))) >= AS_GOOD_AS_EQUAL


def test_what_was_resampled_to_the_nearest_voxel_is_restored_so_too():
    volume = real_volume(MR, affine_of((1.0, 1.0, 1.0), "LPS"))
    steps = [Orientation("RAS"), Spacing((2.0, 1.5, 1.5), mode="nearest"), NormalizeIntensity()]
    assert agreement([volume], plan_of(steps)) >= AS_GOOD_AS_EQUAL


def test_several_inputs_and_classes_that_overlap():
    volume = real_volume(MR)
    inputs = [volume, real_volume(MR, volume.affine)]
    inputs[1].array[:] = inputs[1].array[::-1]
    steps = [Orientation("RAS"), Spacing((2.0, 2.0, 4.0)), NormalizeIntensity(nonzero=True, channel_wise=True)]
    assert agreement(inputs, plan_of(steps, SIGMOID), channels=11) >= AS_GOOD_AS_EQUAL


def test_a_real_transformer_on_a_real_volume():
    arguments = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "depths": (1, 1, 1, 1), "window_size": 4}
    torch.manual_seed(5)
    network = build("SwinUNETR", {**arguments, "num_heads": (1, 2, 4, 8), "downsample": "mergingv2"}).eval()
    volumes = [real_volume(MR, part=np.s_[:80, :70, :])]
    for spacing, least in ([], 1.0), ([Spacing((3.0, 3.0, 2.0))], AS_GOOD_AS_EQUAL):
        plan = plan_of([Orientation("RAS"), *spacing, NormalizeIntensity()])
        found, expected = by_engine(volumes, plan, network, 3), segment(as_metatensor(volumes), plan, network)
        assert (found == expected).mean() >= least


def restored(grid: ModelGrid, scores: torch.Tensor, shape, cuts: int, cancel: CancelToken | None = None) -> np.ndarray:
    output = OutputPlan(Activation.NONE)
    chosen = discretiser(output, classes_of(len(scores), first=1))
    numbers = np.zeros((1, *shape), chosen.dtype)
    blocks = (
        ScoreBlock(
            slice(row, row + cuts), slice(column, column + cuts), scores[:, row : row + cuts, column:][:, :, :cuts]
        )
        for row in range(0, grid.shape[0], cuts)
        for column in range(0, grid.shape[1], cuts)
    )
    restore(blocks, grid, output, chosen, numbers, cancel)
    return numbers[0]


def test_labels_do_not_depend_on_how_scores_were_cut_into_blocks():
    grid = ModelGrid(affine_of((0.8, 0.8, 1.0)), (50, 40, 30)).spaced((1.5, 1.5, 1.5))
    scores = torch.rand(5, *grid.shape, generator=torch.Generator().manual_seed(0))
    whole = restored(grid, scores, (50, 40, 30), cuts=1000)
    assert all(np.array_equal(restored(grid, scores, (50, 40, 30), cuts), whole) for cuts in (1, 3, 7))


def test_scores_that_were_given_are_left_as_they_were():
    grid = ModelGrid(affine_of((1.0, 1.0, 1.0)), (20, 20, 20)).spaced((2.0, 2.0, 2.0))
    scores = torch.rand(3, *grid.shape)
    before = scores.clone()
    restored(grid, scores, (20, 20, 20), cuts=5)
    assert torch.equal(scores, before)


@pytest.mark.parametrize("function", ["double", "clone", "lerp", "float", "isnan"])
def test_memory_that_runs_out_while_a_piece_is_restored_changes_nothing(function):
    grid = ModelGrid(affine_of((0.8, 0.8, 1.0)), (50, 40, 30)).spaced((1.5, 1.5, 1.5))
    scores = torch.rand(5, *grid.shape, generator=torch.Generator().manual_seed(0))
    expected = restored(grid, scores, (50, 40, 30), cuts=7)
    with MemoryRunsOut(function) as memory:
        found = restored(grid, scores, (50, 40, 30), cuts=7)
    assert memory.left == 0
    assert np.array_equal(found, expected)


def test_rows_go_on_where_those_before_came_from_a_device_without_float64():
    """As after a fallback from Apple's GPU, or from any other, to the CPU."""
    grid = ModelGrid(affine_of((1.0, 1.0, 1.0)), (20, 18, 16)).spaced((2.0, 2.0, 2.0))
    scores = torch.rand(3, *grid.shape, generator=torch.Generator().manual_seed(0))

    def interpolated(precision_of_row) -> torch.Tensor:
        rows, values = RowInterpolator(grid.input_axes()), torch.full((3, 20, 18, 16), torch.nan)
        for row in range(grid.shape[0]):
            for start in range(0, grid.shape[1], 4):
                block = scores[:, row, start : start + 4].to(precision_of_row(row, start))
                for target, columns, found in rows.push(row, start, block):
                    values[:, target, columns] = found.float()
        return values

    in_between = interpolated(lambda row, start: torch.float64 if (row, start) > (4, 4) else torch.float32)
    torch.testing.assert_close(in_between, interpolated(lambda row, start: torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_memory_that_runs_out_while_scores_are_activated_changes_nothing(function):
    output = OutputPlan() if function == "softmax" else SIGMOID
    with MemoryRunsOut(function) as memory:
        assert agreement([real_volume(MR)], plan_of([Orientation("RAS"), NormalizeIntensity()], output)) == 1.0
    assert memory.left == 0


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_a_cancelled_restoring_stops(spacing):
    cancel = CancelToken()
    cancel.cancel()
    grid = ModelGrid(affine_of((1.0, 1.0, 1.0)), (20, 20, 20)).spaced((spacing,) * 3)
    with pytest.raises(Cancelled):
        restored(grid, torch.rand(3, *grid.shape), (20, 20, 20), 5, cancel)


def test_a_volume_of_two_voxels_an_axis_is_restored():
    volume = real_volume(MR, affine_of((3.0, 3.0, 3.0)), np.s_[50:52, 40:42, 10:12])
    plan = plan_of([Orientation("RAS"), Spacing((6.5, 7.0, 8.0))])
    found = by_engine([volume], plan, Bands(4))
    assert np.array_equal(found, segment(as_metatensor([volume]), plan, Bands(4)))


def test_only_one_layer_is_made_for_classes_that_overlap_nowhere():
    chosen = AboveThreshold(classes_of(3, first=0), threshold=0.5)
    scores = torch.eye(3).reshape(3, 1, 3)
    layers = chosen.layers(chosen.numbers(scores)[:, np.newaxis])
    assert [layer.tolist() for layer in layers] == [[[[1, 2, 3]]]]
