"""Volumes and intensities of segments, measured once, in the worker."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.inference import slabs as slabs_module
from TransformerSegLib.inference.slabs import slabs
from TransformerSegLib.inference.statistics import Statistics, segment_statistics

from example_segmentation import AFFINES, example_segmentation, example_volume


@pytest.fixture(params=[1_000_000, 300])
def _slab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows together, and a few at a time."""
    monkeypatch.setattr(slabs_module, "VOXELS_AT_A_TIME", request.param)


@pytest.mark.usefixtures("_slab")
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("layers", [1, 2])
def test_statistics_are_those_of_each_segments_voxels(affine: np.ndarray, layers: int):
    segmentation, volume = example_segmentation(affine, layers), example_volume(affine)
    statistics = segment_statistics(segmentation, volume)
    assert list(statistics) == [segment.definition.label for segment in segmentation.segments]
    for segment in segmentation.segments:
        found = statistics[segment.definition.label]
        inside = volume.array[segmentation.mask(segment)]
        assert found.voxels == inside.size
        assert found.volume_ml == pytest.approx(segment.volume_ml)
        if inside.size:
            assert found.mean_intensity == pytest.approx(inside.astype(np.float64).mean())
        else:
            assert found == Statistics(0.0, None, 0)


def test_large_intensities_do_not_overflow():
    segmentation = example_segmentation(np.eye(4))
    volume = example_volume(np.eye(4))
    bright = replace(volume, array=np.full(volume.array.shape, 65535, np.uint16))
    assert segment_statistics(segmentation, bright)[2].mean_intensity == 65535.0


def test_a_volume_on_another_grid_is_refused():
    with pytest.raises(ValueError, match="voxels"):
        segment_statistics(example_segmentation(np.eye(4)), example_volume(np.eye(4), shape=(13, 9, 12)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 1000, 400), (5, 2000, 2000), (3, 0, 4), (0, 4, 4)])
def test_slabs_cover_every_row_once(shape: tuple[int, int, int]):
    rows = [row for part in slabs(shape) for row in range(*part.indices(shape[0]))]
    assert rows == list(range(shape[0]))
