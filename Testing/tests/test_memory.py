"""What a run will take is told before it starts, and decides where its work is put."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.plan import NormalizeIntensity, OutputPlan, Spacing, WindowPlan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import DeviceUnavailable, OutOfMemory
from TransformerSegLib.inference.devices import CPU, Device, available_devices, choose_device
from TransformerSegLib.inference.memory import Estimate, estimate, fitting, roomy
from TransformerSegLib.inference.placement import Placement, nothing_smaller
from TransformerSegLib.inference.progress import Progress
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.volume import Volume

from bundle_factory import write_bundle

NEEDED = Estimate(windows=100, weights=100, activations=1000, sums=500, image_and_labels=50)
ON_GPU = Placement("cuda:0", "cuda:0", 4)
AMPLE = Device(CPU, "CPU", 10**6, 10**6)


def gpu(free: int) -> Device:
    return Device("cuda:0", "GPU", free, 10**6)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("memory") / "bundle"
    return read_bundle(write_bundle(folder, preparation=(Spacing((1.0, 1.0, 1.0)),), output=OutputPlan()))


@pytest.mark.parametrize(
    ("free", "windows", "batch"),
    [
        (40_000, 100, 8),  # enough for any GPU
        (9_200, 100, 4),  # half of it: 600 and four windows
        (9_199, 100, 2),
        (3_000, 100, 1),
        (40_000, 5, 4),
        (40_000, 1, 1),
    ],
)
def test_a_gpu_with_room_is_given_more_windows_at_a_time(free: int, windows: int, batch: int):
    needed, wanted = replace(NEEDED, windows=windows), replace(ON_GPU, batch_size=1)
    assert roomy(needed, wanted, gpu(free)) == replace(wanted, batch_size=batch)


def test_what_the_bundle_asks_for_is_never_made_smaller_and_a_cpu_gets_no_more():
    assert roomy(NEEDED, replace(ON_GPU, batch_size=16), gpu(10**6)).batch_size == 16
    assert roomy(NEEDED, replace(ON_GPU, batch_size=4), gpu(1000)).batch_size == 4
    on_cpu = Placement(CPU, CPU, 1)
    assert roomy(NEEDED, on_cpu, AMPLE) is on_cpu
    assert roomy(NEEDED, ON_GPU, replace(gpu(0), free_bytes=None)) is ON_GPU


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (4600, ON_GPU),
        (4599, replace(ON_GPU, batch_size=2)),
        (1600, replace(ON_GPU, batch_size=1)),
        (1599, Placement("cuda:0", CPU, 1)),
        (1099, Placement(CPU, CPU, 1)),
    ],
)
def test_a_smaller_batch_comes_first_then_the_cpu_for_the_sums_then_for_all(free: int, expected: Placement):
    steps = fitting(NEEDED, ON_GPU, gpu(free), AMPLE)
    assert steps[0] == ON_GPU
    assert steps[-1] == expected
    assert all(before.smaller() == after for before, after in pairwise(steps))


def test_what_only_the_gpu_computes_well_never_goes_to_the_cpu():
    steps = fitting(NEEDED, replace(ON_GPU, may_leave=False), gpu(0), AMPLE)
    assert steps[-1] == Placement("cuda:0", CPU, 1, may_leave=False)
    assert steps[-1].smaller() is None
    assert "“Standard”" in str(nothing_smaller("cuda:0"))


def test_a_volume_that_no_step_can_hold_is_refused_with_a_remedy():
    with pytest.raises(OutOfMemory, match="--roi"):
        fitting(NEEDED, ON_GPU, gpu(0), Device(CPU, "CPU", 100, 1649))


def test_a_busy_computer_is_tried_all_the_same():
    steps = fitting(NEEDED, Placement(CPU, CPU, 2), AMPLE, Device(CPU, "CPU", 100, 1650))
    assert steps[-1] == Placement(CPU, CPU, 1)


def test_a_computer_short_of_memory_is_no_reason_to_leave_its_gpu():
    assert fitting(NEEDED, ON_GPU, gpu(10**5), Device(CPU, "CPU", 10, 10**6)) == [ON_GPU]


def test_a_system_that_does_not_tell_its_memory_is_trusted():
    assert fitting(NEEDED, ON_GPU, Device("cuda:0", "GPU", None, None), Device(CPU, "CPU", None, None)) == [ON_GPU]


def test_the_estimate_counts_windows_on_the_models_grid(bundle: Bundle):
    window = WindowPlan((32, 32, 32), overlap=(0.5, 0.5, 0.5))
    bundle = replace(bundle, plan=replace(bundle.plan, window=window))
    coarse = estimate(bundle, (32, 32, 32), np.diag([2.0, 2.0, 2.0, 1.0]))  # 63 or 64 voxels at 1 mm
    fine = estimate(bundle, (32, 32, 32), np.eye(4))
    assert fine.windows == 1
    assert coarse.windows == 27
    assert fine.image_and_labels == 32**3
    assert coarse.image_and_labels == pytest.approx(32**3 + 4 * 64**3, rel=0.1)
    assert coarse.activations == fine.activations


def test_more_of_anything_takes_more(bundle: Bundle):
    small, large = estimate(bundle, (64, 64, 64), np.eye(4)), estimate(bundle, (128, 128, 128), np.eye(4))
    assert large.sums > small.sums
    assert large.on_cpu(Placement(CPU, CPU, 1)) > small.on_cpu(Placement(CPU, CPU, 1))
    assert small.on_cpu(Placement(CPU, CPU, 4)) > small.on_cpu(Placement(CPU, CPU, 1))


def test_the_copies_that_measuring_intensities_takes_are_counted(bundle: Bundle):
    shape, cpu = (100, 100, 100), Placement(CPU, CPU, 1)
    plain = estimate(bundle, shape, np.eye(4))
    measuring = replace(bundle, plan=replace(bundle.plan, preparation=(NormalizeIntensity(nonzero=True),)))
    assert plain.preparing == 0
    assert estimate(measuring, shape, np.eye(4)).preparing == pytest.approx(8.5 * 4e6)
    assert estimate(measuring, (400, 400, 400), np.eye(4)).on_cpu(cpu) == pytest.approx(8.5 * 4 * 6.4e7)


def test_an_estimate_reads_as_a_sentence():
    assert replace(NEEDED, sums=int(2e9)).in_words(ON_GPU) == (
        "100 windows, about 1 MB of memory and 2.0 GB on cuda:0."
    )


def test_a_run_that_would_not_fit_is_refused_before_the_network_is_loaded(bundle: Bundle):
    shape = (30_000, 30_000, 30_000)
    with pytest.raises(OutOfMemory, match="GB"):
        fitting(estimate(bundle, shape, np.eye(4)), Placement(CPU, CPU, 1), choose_device(CPU), choose_device(CPU))


def test_the_estimate_and_the_windows_are_in_the_provenance(bundle: Bundle):
    volume = Volume(np.random.default_rng(0).normal(size=(40, 32, 32)).astype(np.float32), np.eye(4), "noise")
    told: list[Progress] = []
    segmentation = Segmenter(bundle, CPU).segment([volume], told.append)
    assert segmentation.provenance["windows"] == max(progress.total for progress in told)
    assert next(progress.note for progress in told if progress.note).startswith("2 windows, about ")
    assert segmentation.provenance["estimated_memory_bytes"] > volume.array.size


def test_the_cpu_is_always_there_and_a_missing_device_is_refused_with_those_that_are():
    assert available_devices()[-1].name == CPU
    assert choose_device("auto").name == available_devices()[0].name
    with pytest.raises(DeviceUnavailable, match="cpu"):
        choose_device("cuda:99")
