"""A network of slices gives the official code's labels, through the engine that runs windows."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from short_memory import MemoryRunsOut

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.plan import (
    Activation,
    NormalizeIntensity,
    Orientation,
    OutputPlan,
    ScaleIntensityRange,
    SlicePlan,
    Spacing,
)
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import BundleRejected, Cancelled, OutOfMemory
from TransformerSegLib.inference.memory import estimate
from TransformerSegLib.inference.placement import Placement
from TransformerSegLib.inference.preparation import prepare
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.inference.progress import CancelToken, Progress, Stage
from TransformerSegLib.inference.region import read_region
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.inference.slices import SliceRun
from TransformerSegLib.inference.volume import Volume

from bundle_factory import write_bundle
from official_slices import segment_slices
from real_volumes import CT, MR, affine_of, real_volume

NETWORKS = ("SwinUnet", "TransUNet")
AXES = {"axial": "SPL", "coronal": "ASR", "sagittal": "LIP"}
CT_WINDOW = ScaleIntensityRange(-175.0, 250.0, 0.0, 1.0, clip=True)
SIGMOID = OutputPlan(Activation.SIGMOID, threshold=0.5)
ONE_BY_ONE = SegmentOptions(batch_size=1)


def ct_volume() -> Volume:
    return real_volume(CT, part=np.s_[30:70, 20:64, 4:24])


def oblique_volume() -> Volume:
    return real_volume(MR, affine_of((1.5, 1.0, 2.0), "PSR", 14.0), np.s_[30:80, 20:70, :])


@pytest.fixture(scope="module", params=NETWORKS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    preparation = [Orientation("SPL"), CT_WINDOW]
    folder = tmp_path_factory.mktemp("bundles") / request.param
    return read_bundle(write_bundle(folder, architecture=request.param, preparation=preparation))


@pytest.fixture(scope="module")
def swin_unet(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return read_bundle(write_bundle(tmp_path_factory.mktemp("bundles") / "swin", architecture="SwinUnet"))


def with_preparation(bundle: Bundle, *steps) -> Bundle:
    return replace(bundle, plan=replace(bundle.plan, preparation=steps))


def share_of_the_official_labels(bundle: Bundle, volume: Volume, options: SegmentOptions) -> float:
    (labels,) = Segmenter(bundle, "cpu", options).segment([volume]).layers
    expected = segment_slices([volume], bundle.plan, bundle.network())
    assert len(np.unique(expected)) > 1
    return (labels == expected).mean()


@pytest.mark.parametrize("axis", AXES)
def test_labels_are_the_official_codes_across_every_axis(bundle: Bundle, axis: str):
    bundle = with_preparation(bundle, Orientation(AXES[axis]), CT_WINDOW)
    assert bundle.plan.slices == axis
    assert share_of_the_official_labels(bundle, ct_volume(), ONE_BY_ONE) == 1.0


def test_in_batches_labels_are_the_official_codes_but_for_rounding(bundle: Bundle):
    assert share_of_the_official_labels(bundle, ct_volume(), SegmentOptions()) >= 0.99999


def test_slices_of_an_oblique_volume_lie_across_its_nearest_axis(bundle: Bundle):
    bundle = with_preparation(bundle, Orientation("SAR"), NormalizeIntensity())
    assert share_of_the_official_labels(bundle, oblique_volume(), ONE_BY_ONE) == 1.0


@pytest.mark.parametrize("side", [32, 33, 46, 100])
def test_labels_are_the_official_codes_where_nothing_is_zoomed_and_where_scipy_leaves_a_seam(swin_unet, side: int):
    bundle = with_preparation(swin_unet, Orientation("SAR"), NormalizeIntensity())
    volume = real_volume(MR, np.eye(4))
    volume = replace(volume, array=np.resize(volume.array, (side, side, 6)))
    assert share_of_the_official_labels(bundle, volume, ONE_BY_ONE) == 1.0


@pytest.mark.parametrize("architecture", NETWORKS)
def test_three_volumes_go_to_the_stem_as_they_are_and_classes_may_overlap(tmp_path: Path, architecture: str):
    folder = write_bundle(
        tmp_path / "three",
        architecture=architecture,
        output=SIGMOID,
        inputs=("T1", "T2", "FLAIR"),
        classes=("whole", "core", "enhancing"),
        window=SlicePlan((32, 32), 1),
    )
    bundle, first = read_bundle(folder), oblique_volume()
    first = replace(first, array=np.ascontiguousarray(first.array[:42]))  # which SciPy brings back with a seam
    others = [np.ascontiguousarray(first.array[::-1]), np.ascontiguousarray(first.array[:, ::-1])]
    volumes = [first, *(replace(first, array=array) for array in others)]
    segmentation = Segmenter(bundle, "cpu").segment(volumes)
    masks = np.stack([segmentation.mask(segment) for segment in segmentation.segments])
    expected = segment_slices(volumes, bundle.plan, bundle.network())
    assert np.array_equal(masks, expected)
    assert (expected.sum(axis=0) > 1).any()


def test_slices_of_a_respaced_volume_are_the_official_ones_and_labels_go_back_as_usual(swin_unet: Bundle):
    plan = replace(
        swin_unet.plan,
        preparation=(Orientation("SPL"), Spacing((2.0, 2.0, 2.0)), NormalizeIntensity()),
        output=OutputPlan(restore_labels=True),
    )
    assert share_of_the_official_labels(replace(swin_unet, plan=plan), oblique_volume(), ONE_BY_ONE) >= 0.99999


def test_only_the_region_is_segmented_and_as_if_it_were_all_there_is(swin_unet: Bundle):
    volume, box = replace(oblique_volume(), affine=np.eye(4)), np.s_[5:45, 3:40, 2:18]
    options = SegmentOptions(region=read_region("5,44,3,39,2,17"))
    segmentation = Segmenter(swin_unet, "cpu", options).segment([volume])
    part = Volume(np.ascontiguousarray(volume.array[box]), volume.affine, "part")
    expected = np.zeros(volume.array.shape, np.uint8)
    expected[box] = Segmenter(swin_unet, "cpu").segment([part]).layers[0]
    assert np.array_equal(segmentation.layers[0], expected)
    assert expected.any()


def test_progress_provenance_and_estimate_count_slices(swin_unet: Bundle):
    volume, told = oblique_volume(), []
    segmentation = Segmenter(swin_unet, "cpu").segment([volume], told.append)
    steps = [progress for progress in told if progress.stage is Stage.SEGMENT]
    slices = prepare([volume], swin_unet.plan.preparation).shape[0]
    assert [progress.done for progress in steps] == [*range(0, slices, 8), slices]
    assert {progress.part.counted(progress.total) for progress in steps} == {f"{slices} slices"}
    provenance = json.loads(json.dumps(dict(segmentation.provenance)))
    assert provenance["slices"] == slices
    assert {"slices": "axial", "size": [32, 32], "batch_size": 8}.items() <= provenance["options"].items()
    assert next(progress.note for progress in told if progress.note).startswith(f"{slices} slices, about ")


def test_presets_change_nothing_of_slices(swin_unet: Bundle):
    volume = oblique_volume()
    estimates = {estimate(swin_unet, volume.array.shape, volume.affine, preset) for preset in Preset}
    assert len(estimates) == 1
    assert all(preset.window(swin_unet.plan.window) is swin_unet.plan.window for preset in Preset)
    fast = Segmenter(swin_unet, "cpu", SegmentOptions(preset=Preset.FAST)).segment([volume])
    assert np.array_equal(fast.layers[0], Segmenter(swin_unet, "cpu").segment([volume]).layers[0])


def test_a_cancel_does_not_wait_for_the_rest_of_a_batch(bundle: Bundle):
    segmenter, cancel, reached = Segmenter(bundle, "cpu"), CancelToken(), []
    segmenter.segment([ct_volume()])  # makes the network's fast form
    layers = list(segmenter._network.loaded().fast.modules())

    def cancel_in_the_second_layer(layer: torch.nn.Module, inputs: tuple, scores: torch.Tensor) -> None:
        reached.append(layer)
        cancel.cancel()

    first = next(layer for layer in layers if not list(layer.children()))
    first.register_forward_hook(cancel_in_the_second_layer)
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        segmenter.segment([ct_volume()], told.append, cancel)
    assert reached == [first]
    assert told[-1].done == 0


def test_after_a_cancelled_run_the_same_segmenter_runs_again(bundle: Bundle):
    volume, cancel = ct_volume(), CancelToken()
    segmenter = Segmenter(bundle, "cpu", ONE_BY_ONE)

    def cancel_after_a_slice(progress: Progress) -> None:
        if progress.stage is Stage.SEGMENT and progress.done:
            cancel.cancel()

    with pytest.raises(Cancelled):
        segmenter.segment([volume], cancel_after_a_slice, cancel)
    expected = Segmenter(bundle, "cpu", ONE_BY_ONE).segment([volume]).layers[0]
    assert np.array_equal(segmenter.segment([volume]).layers[0], expected)


def test_memory_that_runs_out_halves_the_batch_says_so_and_changes_no_label(bundle: Bundle):
    volume = ct_volume()
    expected = Segmenter(bundle, "cpu", ONE_BY_ONE).segment([volume]).layers[0]
    segmenter, told = Segmenter(bundle, "cpu", SegmentOptions(batch_size=4)), []

    def refuse_batches(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    segmenter._network.loaded().register_forward_pre_hook(refuse_batches)
    segmentation = segmenter.segment([volume], told.append)
    notes = [progress.note.split(": ")[1] for progress in told if progress.note and progress.stage is Stage.SEGMENT]
    assert notes == ["2 slices at a time from here on.", "1 slice at a time from here on."]
    assert np.array_equal(segmentation.layers[0], expected)


@pytest.mark.parametrize("function", ["stack", "index_fill_", "softmax"])
def test_memory_that_runs_out_once_is_gone_on_without_and_for_good_has_a_remedy(swin_unet: Bundle, function: str):
    volume = oblique_volume()
    expected = Segmenter(swin_unet, "cpu").segment([volume]).layers[0]
    segmenter = Segmenter(swin_unet, "cpu")
    with MemoryRunsOut(function):
        assert (segmenter.segment([volume]).layers[0] == expected).mean() >= 0.99999
    with MemoryRunsOut(function, times=10**6), pytest.raises(OutOfMemory, match="--roi"):
        segmenter.segment([volume])


@pytest.fixture
def new_tensors() -> Iterator[Callable[[], list[torch.Tensor]]]:
    """Lists the tensors that were made since the test began."""
    gc.collect()
    gc.freeze()
    yield lambda: [each for each in gc.get_objects() if type(each) is torch.Tensor]
    gc.unfreeze()


def test_no_more_is_held_than_a_batch_of_the_networks_size_and_one_slice(new_tensors):
    classes, batch, side, slices = 5, 4, 300, 10
    network = torch.nn.Conv2d(1, classes, 1).eval().requires_grad_(False)
    volume = Volume(np.random.default_rng(0).integers(0, 99, (slices, side, side), np.int16), np.eye(4), "noise")
    image, held = prepare([volume], []), []
    run = SliceRun(network, image, SlicePlan((32, 32), batch), OutputPlan(), Placement("cpu", "cpu", batch))
    for block in run.blocks():
        assert block.scores.shape == (classes, 1, side, side)
        storages = (tensor.untyped_storage() for tensor in new_tensors())
        held.append(sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values()))
    assert len(held) == slices
    assert 4 * classes * side * side <= max(held) <= 4 * (classes * side * side + batch * (classes + 1) * 32 * 32)


def test_the_estimate_grows_with_the_batch_and_with_a_slice_but_not_with_their_number(swin_unet: Bundle):
    thin, thick = (estimate(swin_unet, (64, 64, slices), np.eye(4)) for slices in (10, 1000))
    wide = estimate(swin_unet, (256, 256, 10), np.eye(4))
    assert (thin.windows, thick.windows) == (10, 1000)
    assert thin.on_device(Placement("cpu", "cpu", 8)) == thick.on_device(Placement("cpu", "cpu", 8))
    assert thin.on_device(Placement("cpu", "cpu", 8)) > thin.on_device(Placement("cpu", "cpu", 1))
    assert wide.sums == 16 * thin.sums


def test_a_network_that_answers_in_another_size_is_refused(swin_unet: Bundle):
    image = prepare([oblique_volume()], swin_unet.plan.preparation)
    run = SliceRun(torch.nn.MaxPool2d(2), image, swin_unet.plan.window, OutputPlan(), Placement("cpu", "cpu", 1))
    with pytest.raises(BundleRejected, match="one score for each voxel"):
        next(run.blocks())
