"""The row of a real CT, from its file to labels on its grid: the engine beside MONAI's pipeline, on one bundle with
random weights that resamples to 1.5 mm and has 14 channels. Shown with it: each stage's share of the time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from TransformerSegLib.bundles.plan import Orientation, ScaleIntensityRange, Spacing, Weighting, WindowPlan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.stopwatch import shares_told

from bundle_factory import write_bundle
from measuring import interleaved_with_memory
from network_rows import FEATURES, SIDE, SMALL
from real_volumes import CT as SMALL_CT
from rows import share

SHARED_CT = Path(__file__).parents[3] / "shared" / "data" / "totalsegmentator" / "example_ct.nii.gz"
"""Beside the repository, where sample data are kept; without it, a smaller volume of the tests is taken."""

SPACING_MM = 4.0 if SMALL else 1.5
CLASSES = 13
REPEATS = 2
"""Each takes some minutes."""

STEPS = [Orientation("RAS"), Spacing((SPACING_MM,) * 3), ScaleIntensityRange(-175.0, 250.0, 0.0, 1.0, clip=True)]


def figures() -> Iterator[tuple]:
    """The rows, as the fields of ``rows.Row``."""
    from stock_monai import loaded, segment

    path = SMALL_CT if SMALL or not SHARED_CT.exists() else SHARED_CT
    with tempfile.TemporaryDirectory() as place:
        bundle = read_bundle(
            write_bundle(
                Path(place) / "random_ct",
                architecture="SwinUNETR",
                network={"feature_size": FEATURES, "downsample": "mergingv2"},
                preparation=STEPS,
                window=WindowPlan((SIDE,) * 3, 1, (0.25,) * 3, Weighting.GAUSSIAN),
                classes=[f"organ {number}" for number in range(1, CLASSES + 1)],
            )
        )
        found, expected = [], []

        def by_us() -> None:
            found[:] = [Segmenter(bundle, "cpu").segment([read_volume(path)])]

        def by_stock() -> None:
            expected[:] = [segment(loaded([path]), bundle.plan, bundle.network())]

        times, megabytes = interleaved_with_memory({"ours": by_us, "stock": by_stock}, REPEATS)
    (labels,), provenance = found[0].layers, found[0].provenance
    size, windows = "×".join(map(str, labels.shape)), f"{provenance['windows']} windows of {SIDE}³"
    what = f"CT {size}, resampled to {SPACING_MM} mm, {windows}, Swin UNETR of {FEATURES} features"
    same, stages = share(labels, expected[0]), shares_told(provenance["stages"])
    yield f"{what}: MB, the network with it", megabytes["ours"], megabytes["stock"], same
    spreads = " and ".join(each.spread for each in times.values())
    yield f"{what}: s", times["ours"], times["stock"], f"{stages}; {spreads} s"
