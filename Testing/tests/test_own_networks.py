"""Bundles with the networks that MONAI does not have run like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles.plan import NormalizeIntensity, Orientation
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.inference.segmenter import Segmenter

from bundle_factory import write_bundle
from real_volumes import MR, affine_of, real_volume
from stock_monai import as_metatensor
from stock_monai import segment as by_monai


@pytest.mark.parametrize("architecture", ["UNETRTamasino52", "UNesT"])
def test_a_volume_is_segmented_as_by_monais_pipeline_around_the_network(architecture: str, tmp_path: Path):
    preparation = [Orientation("RAS"), NormalizeIntensity()]
    bundle = read_bundle(write_bundle(tmp_path / "bundle", architecture=architecture, preparation=preparation))
    volume = real_volume(MR, affine_of((1.0, 1.0, 1.0), "RAS", 0.0), np.s_[20:70, 20:70, :])
    found = Segmenter(bundle, "cpu").segment([volume]).layers[0]
    expected = by_monai(as_metatensor([volume]), bundle.plan, bundle.network())
    assert np.mean(found == expected) > 0.99999
    assert len(np.unique(found)) > 1
