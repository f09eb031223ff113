"""Volumes in, a segmentation out: the one call that the command, the panel and a cluster make."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from short_memory import MemoryRunsOut

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.card import Requirements
from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.plan import (
    Activation,
    NormalizeIntensity,
    Orientation,
    OutputPlan,
    Spacing,
    Weighting,
    WindowPlan,
)
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import (
    Cancelled,
    DeviceUnavailable,
    FieldOfViewMismatch,
    OutOfMemory,
    RegionRejected,
    SpacingMismatch,
    WrongNumberOfInputs,
)
from TransformerSegLib.inference import offering
from TransformerSegLib.inference import segmenter as segmenter_module
from TransformerSegLib.inference.devices import Device
from TransformerSegLib.inference.memory import Estimate, estimate, fitting
from TransformerSegLib.inference.network_run import ScoreBlock
from TransformerSegLib.inference.placement import Placement
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.inference.progress import CancelToken, Progress, Stage
from TransformerSegLib.inference.region import read_region
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions, _SharedNetwork
from TransformerSegLib.inference.volume import Volume

from bundle_factory import write_bundle
from real_volumes import CT, MR, affine_of, real_volume
from stock_monai import as_metatensor
from stock_monai import segment as by_monai

WINDOW = WindowPlan((32, 32, 32), 2, (0.5, 0.25, 0.25), Weighting.GAUSSIAN)
SIGMOID = OutputPlan(Activation.SIGMOID, threshold=0.5)


def oblique_volume() -> Volume:
    return real_volume(MR, affine_of((1.5, 1.0, 2.0), "PSR", 14.0), np.s_[30:80, 20:70, :])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / "softmax"
    preparation = [Orientation("RAS"), NormalizeIntensity()]
    return read_bundle(write_bundle(folder, preparation=preparation, window=WINDOW))


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / "sigmoid"
    preparation = [Orientation("RAS"), Spacing((2.0, 2.0, 2.0)), NormalizeIntensity(channel_wise=True)]
    return read_bundle(
        write_bundle(
            folder,
            preparation=preparation,
            window=WINDOW,
            output=SIGMOID,
            inputs=("T1", "FLAIR"),
            classes=("whole", "core", "enhancing"),
        )
    )


def test_a_softmax_bundle_gives_monai_s_labels_on_the_input_s_own_grid(bundle):
    volume = oblique_volume()
    segmentation = Segmenter(bundle, "cpu").segment([volume])
    (labels,) = segmentation.layers
    assert labels.dtype == np.uint8
    assert labels.flags.c_contiguous
    assert np.array_equal(segmentation.affine, volume.affine)
    assert np.array_equal(labels, by_monai(as_metatensor([volume]), bundle.plan, bundle.network()))


def two_volumes() -> list[Volume]:
    """An image, and the same upside down for another."""
    first = oblique_volume()
    return [first, replace(first, array=np.ascontiguousarray(first.array[::-1]), name="FLAIR")]


def test_a_sigmoid_bundle_with_several_inputs_gives_monai_s_masks_in_layers(overlapping):
    volumes = two_volumes()
    segmentation = Segmenter(overlapping, "cpu").segment(volumes)
    masks = np.stack([segmentation.mask(segment) for segment in segmentation.segments])
    expected = by_monai(as_metatensor(volumes), overlapping.plan, overlapping.network())
    assert (masks == expected).mean() >= 0.99999
    assert (expected.sum(axis=0) > 1).any()
    assert len(segmentation.layers) > 1


def test_volumes_are_in_millilitres_and_empty_classes_are_named(bundle):
    volume = oblique_volume()
    segmentation = Segmenter(bundle, "cpu").segment([volume])
    assert [segment.definition for segment in segmentation.segments] == list(bundle.card.classes)
    for segment in segmentation.segments:
        voxels = np.count_nonzero(segmentation.layers[0] == segment.definition.label)
        assert segment.volume_ml == pytest.approx(voxels * 1.5 * 1.0 * 2.0 / 1000)
        assert segment.empty == (voxels == 0) == (segment in segmentation.empty_segments)


def test_provenance_says_what_made_it_in_plain_json(bundle):
    segmentation = Segmenter(bundle, "cpu", SegmentOptions(batch_size=3)).segment([oblique_volume()])
    provenance = json.loads(json.dumps(dict(segmentation.provenance)))
    assert provenance["model"] == bundle.card.name
    assert provenance["weights_sha256"] == bundle.weights_sha256
    assert provenance["device"] == "cpu"
    assert provenance["options"]["batch_size"] == 3
    assert provenance["versions"]["torch"] == str(torch.__version__)
    assert provenance["seconds"] > 0


def test_a_network_too_large_for_a_batch_goes_on_with_less_and_it_is_noted(bundle):
    """Torch's own error, raised by a hook on the real network as long as more than one window comes in."""
    expected = Segmenter(bundle, "cpu").segment([oblique_volume()])
    segmenter = Segmenter(bundle, "cpu", SegmentOptions(batch_size=4))
    told: list[Progress] = []

    def refuse_batches(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    segmenter._network.loaded().register_forward_pre_hook(refuse_batches)
    segmentation = segmenter.segment([oblique_volume()], told.append)
    notes = [progress.note for progress in told if progress.note and progress.stage is Stage.SEGMENT]
    assert ["2 windows" in notes[0], "1 window" in notes[1], len(notes)] == [True, True, 2]
    assert segmentation.provenance["notes"] == notes
    assert segmentation.provenance["options"]["batch_size"] == 1
    assert (segmentation.layers[0] == expected.layers[0]).mean() >= 0.99999


@pytest.mark.alone
def test_after_a_fallback_progress_stays_where_it_was_and_time_left_is_of_the_new_speed(bundle):
    segmenter, told = Segmenter(bundle, "cpu"), []
    batches = []

    def slow_then_refused(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        batches.append(len(inputs[0]))
        if len(batches) == 1:
            time.sleep(1.0)
        if len(batches) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    segmenter._network.loaded().register_forward_pre_hook(slow_then_refused)
    segmenter.segment([oblique_volume()], told.append)
    windows = [progress for progress in told if progress.stage is Stage.SEGMENT]
    (fallback,) = [number for number, progress in enumerate(windows) if progress.note]
    assert windows[fallback].done == 2
    assert [progress.done for progress in windows] == sorted(progress.done for progress in windows)
    assert windows[fallback - 1].seconds_left > 1.0
    # One window a second before, a few hundredths now.
    assert windows[fallback + 1].seconds_left < windows[fallback - 1].seconds_left / 2


@pytest.mark.parametrize("function", ["mean", "zeros", "softmax"])
def test_memory_that_runs_out_for_good_is_an_error_with_a_remedy_wherever_it_happens(bundle, function):
    segmenter = Segmenter(bundle, "cpu")
    segmenter._network.loaded()
    with MemoryRunsOut(function, times=10**6), pytest.raises(OutOfMemory, match="--roi"):
        segmenter.segment([oblique_volume()])


def test_a_batch_of_no_window_is_refused():
    for batch_size in (0, -1):
        with pytest.raises(ValueError, match="at least one window"):
            SegmentOptions(batch_size=batch_size)


def test_the_network_is_loaded_once_and_a_second_call_gives_the_same(bundle):
    segmenter = Segmenter(bundle, "cpu")
    first = segmenter.segment([oblique_volume()])
    network = segmenter._network.loaded()
    second = segmenter.segment([oblique_volume()])
    assert segmenter._network.loaded() is network
    assert np.array_equal(first.layers[0], second.layers[0])


@pytest.mark.parametrize("loaded_before", [False, True])
def test_other_options_share_the_network_whoever_loads_it(bundle, loaded_before: bool):
    segmenter = Segmenter(bundle, "cpu", SegmentOptions(batch_size=3))
    if loaded_before:
        segmenter.segment([oblique_volume()])
    fast = segmenter.with_options(SegmentOptions(batch_size=1))
    assert fast.segment([oblique_volume()]).provenance["options"]["batch_size"] == 1
    assert segmenter.segment([oblique_volume()]).provenance["options"]["batch_size"] == 3
    assert segmenter._network.loaded() is fast._network.loaded()


@pytest.mark.parametrize(
    ("preset", "overlap"),
    [(Preset.STANDARD, [0.5, 0.25, 0.25]), (Preset.FAST, [0.25] * 3), (Preset.BEST, [0.625] * 3)],
)
def test_a_preset_is_the_overlap_of_the_windows_and_stands_in_the_provenance(bundle, preset: Preset, overlap: list):
    """The result is MONAI's with that overlap."""
    volume = oblique_volume()
    segmentation = Segmenter(bundle, "cpu", SegmentOptions(preset=preset)).segment([volume])
    plan = replace(bundle.plan, window=replace(bundle.plan.window, overlap=tuple(overlap)))
    assert np.array_equal(segmentation.layers[0], by_monai(as_metatensor([volume]), plan, bundle.network()))
    assert segmentation.provenance["options"]["preset"] == preset.value
    assert segmentation.provenance["options"]["overlap"] == overlap
    windows = estimate(bundle, volume.array.shape, volume.affine, preset).windows
    assert segmentation.provenance["windows"] == windows


def test_only_the_classes_that_are_wanted_are_left(bundle):
    segmentation = Segmenter(bundle, "cpu").segment([oblique_volume()])
    before = segmentation.layers[0].copy()
    only = segmentation.of_classes(["second"])
    assert [segment.definition.name for segment in only.segments] == ["second"]
    assert np.array_equal(only.layers[0], np.where(before == 2, 2, 0))
    assert only.layers[0].any()
    assert only.layers[0].dtype == before.dtype
    assert np.array_equal(segmentation.layers[0], before)
    assert only.provenance["options"]["classes"] == ["second"]
    assert only.segments[0].volume_ml == segmentation.segments[1].volume_ml
    assert "classes" not in segmentation.provenance["options"]


def test_of_classes_that_overlap_only_the_layers_of_those_that_are_wanted_are_left(overlapping):
    segmentation = Segmenter(overlapping, "cpu").segment(two_volumes())
    assert len(segmentation.layers) > 1
    last = segmentation.segments[-1]
    only = segmentation.of_classes({last.definition.name})
    assert len(only.layers) == 1
    assert np.array_equal(only.mask(only.segments[0]), segmentation.mask(last))
    everything = segmentation.of_classes([segment.definition.name for segment in segmentation.segments])
    for segment, same in zip(segmentation.segments, everything.segments, strict=True):
        assert np.array_equal(segmentation.mask(segment), everything.mask(same))


@pytest.mark.parametrize("names", [[], ["third"], ["first", "third"]])
def test_no_class_and_classes_that_the_model_does_not_have_are_refused(bundle, names: list[str]):
    with pytest.raises(ValueError, match="first, second"):
        Segmenter(bundle, "cpu").segment([oblique_volume()]).of_classes(names)


def test_the_volumes_are_only_read(bundle):
    volume = oblique_volume()
    volume.array.flags.writeable = False
    Segmenter(bundle, "cpu").segment([volume])


def test_a_run_in_another_thread_leaves_torch_as_it_was(bundle):
    results: queue.Queue = queue.Queue()
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    thread = threading.Thread(target=lambda: results.put(Segmenter(bundle, "cpu").segment([oblique_volume()])))
    thread.start()
    thread.join()
    assert np.array_equal(
        results.get_nowait().layers[0], Segmenter(bundle, "cpu").segment([oblique_volume()]).layers[0]
    )
    assert (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()) == before


def test_progress_counts_windows_and_tells_the_time_left(bundle):
    told: list[Progress] = []
    Segmenter(bundle, "cpu").segment([oblique_volume()], told.append)
    stages = [progress.stage for progress in told]
    assert sorted(stages, key=list(Stage).index) == stages
    windows = [progress for progress in told if progress.stage is Stage.SEGMENT]
    assert [progress.done for progress in windows] == sorted(progress.done for progress in windows)
    assert windows[-1].done == windows[-1].total > 0
    assert all(progress.seconds_left > 0 for progress in windows[1:-1])
    assert windows[-1].seconds_left is None  # restoring is to come
    assert told[-1] == Progress(Stage.RESTORE, 1, 1, seconds_left=0.0)


@pytest.mark.parametrize("done", [0, 1])
def test_that_labels_are_restored_is_told_before_it_is_done_and_a_cancel_then_still_counts(overlapping, done):
    cancel = CancelToken()

    def stop_while_restoring(progress: Progress) -> None:
        if progress.stage is Stage.RESTORE and progress.done == done:
            cancel.cancel()

    with pytest.raises(Cancelled):
        Segmenter(overlapping, "cpu").segment(two_volumes(), stop_while_restoring, cancel)


def test_a_run_that_was_cancelled_before_it_began_looks_at_no_voxel(bundle):
    cancel = CancelToken()
    cancel.cancel()
    unlike_any = replace(oblique_volume(), array=np.full((4, 4, 4), np.nan))
    with pytest.raises(Cancelled):
        Segmenter(bundle, "cpu").segment([unlike_any], cancel=cancel)


def test_a_region_over_background_is_refused_as_a_region_not_as_a_volume(bundle):
    volume = replace(oblique_volume(), affine=np.eye(4))
    array = volume.array.copy()
    array[:20, :20] = 0
    region = SegmentOptions(region=read_region("0,15,0,15,0,15"))
    with pytest.raises(RegionRejected, match="Inside the region"):
        Segmenter(bundle, "cpu", region).segment([replace(volume, array=array)])


def test_a_cancel_stops_after_the_batch_that_runs(bundle):
    cancel, told = CancelToken(), []

    def stop_at_once(progress: Progress) -> None:
        told.append(progress)
        if progress.stage is Stage.SEGMENT and progress.done > 0:
            cancel.cancel()

    with pytest.raises(Cancelled):
        Segmenter(bundle, "cpu").segment([oblique_volume()], stop_at_once, cancel)
    assert told[-1].done == WINDOW.batch_size


def test_a_run_that_is_cancelled_while_restoring_keeps_no_memory_even_while_its_error_is_looked_at(monkeypatch):
    segmenter, kept = Segmenter(find_bundle(), "cpu", SegmentOptions(accept_mismatch=True)), []

    def cancelled_after_the_first(blocks: Iterator[ScoreBlock], *arguments: object) -> None:
        next(blocks)
        kept.append(segmenter._network.loaded()._memory)
        raise Cancelled

    monkeypatch.setattr(segmenter_module, "restore", cancelled_after_the_first)
    noise = Volume(np.random.default_rng(0).random((60, 64, 32)), np.eye(4), "noise", "MR")
    with pytest.raises(Cancelled) as caught:
        segmenter.segment([noise])
    assert kept[0] is not None
    assert caught.value.__traceback__ is not None
    assert segmenter._network.loaded()._memory is None


def test_with_16_bits_the_plain_network_is_kept_only_for_the_exact_form():
    bundle = find_bundle()
    alone = _SharedNetwork(bundle)
    alone.loaded(Preset.FASTER_CPU)
    assert alone._plain is None
    assert alone.loaded(Preset.STANDARD) is alone.loaded(Preset.STANDARD)


def test_only_32_bits_may_go_from_a_gpu_to_the_cpu(bundle, monkeypatch: pytest.MonkeyPatch):
    placed = []

    def observed(needed: Estimate, wanted: Placement, *devices: Device) -> list[Placement]:
        placed.append(wanted)
        return fitting(needed, wanted, *devices)

    monkeypatch.setattr(segmenter_module, "fitting", observed)
    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: True)
    for preset in (Preset.STANDARD, Preset.FASTER_CPU):
        options = SegmentOptions(accept_mismatch=True, preset=preset, unchecked=True)
        Segmenter(bundle, "cpu", options).segment([oblique_volume()])
    assert [placement.may_leave for placement in placed] == [True, False]


def test_only_the_region_is_segmented_and_as_if_it_were_all_there_is(bundle):
    volume = real_volume(MR, affine_of((1.0, 1.0, 1.0), "LPS"), np.s_[30:80, 20:70, :])
    box = np.s_[5:45, 3:40, 2:18]
    corners = volume.affine @ np.array([[5, 3, 2, 1], [44, 39, 17, 1]]).T
    bounds = ",".join(f"{value:.3f}" for axis in corners[:3] for value in axis)
    segmentation = Segmenter(bundle, "cpu", SegmentOptions(region=read_region(bounds))).segment([volume])
    part = Volume(np.ascontiguousarray(volume.array[box]), volume.affine, "part")
    expected = np.zeros(volume.array.shape, np.uint8)
    expected[box] = Segmenter(bundle, "cpu").segment([part]).layers[0]
    assert np.array_equal(segmentation.layers[0], expected)
    assert expected.any()


def test_nothing_is_found_outside_of_a_region_that_is_turned_against_the_volume(bundle):
    volume = oblique_volume()
    center = (volume.affine @ [25, 25, 10, 1])[:3]
    bounds = ",".join(f"{value + side:.3f}" for value in center for side in (-14, 14))
    region = read_region(bounds)
    segmentation = Segmenter(bundle, "cpu", SegmentOptions(region=region)).segment([volume])
    inside = region.inside(volume.affine, tuple(slice(0, size) for size in volume.array.shape))
    assert segmentation.layers[0][inside].any()
    assert not segmentation.layers[0][~inside].any()


def test_a_mismatch_is_refused_unless_accepted_and_then_recorded(tmp_path: Path):
    folder = write_bundle(tmp_path / "fine", window=WINDOW, requirements=Requirements(spacing_mm=(0.1, 0.5)))
    fine = read_bundle(folder)
    with pytest.raises(SpacingMismatch, match="accept-mismatch"):
        Segmenter(fine, "cpu").segment([oblique_volume()])
    accepted = Segmenter(fine, "cpu", SegmentOptions(accept_mismatch=True)).segment([oblique_volume()])
    assert len(accepted.provenance["mismatches"]) == 1


def test_a_region_of_soft_tissue_alone_is_still_known_for_ct_and_its_size_is_what_counts(tmp_path: Path):
    wanted = Requirements(modality="CT", field_of_view_mm=(20.0, 120.0))
    card = read_bundle(write_bundle(tmp_path / "ct", window=WINDOW, requirements=wanted))
    volume = real_volume(CT)
    low, high = volume.affine @ [16, 28, 16, 1], volume.affine @ [25, 37, 23, 1]
    bounds = ",".join(f"{value:.3f}" for pair in zip(low[:3], high[:3], strict=True) for value in pair)
    region = read_region(bounds)
    assert region.crop(volume).cut(volume).array.min() > -100
    with pytest.raises(FieldOfViewMismatch):
        Segmenter(card, "cpu").segment([volume])
    segmentation = Segmenter(card, "cpu", SegmentOptions(region=region)).segment([volume])
    assert segmentation.provenance["mismatches"] == []


def test_a_volume_too_many_is_refused(bundle):
    with pytest.raises(WrongNumberOfInputs):
        Segmenter(bundle, "cpu").segment([oblique_volume()] * 2)


def test_a_device_that_is_not_there_is_refused_with_what_there_is(bundle):
    with pytest.raises(DeviceUnavailable, match="cpu"):
        Segmenter(bundle, "cuda:77").segment([oblique_volume()])
