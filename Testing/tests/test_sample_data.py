"""The sample volume in Slicer's Sample Data: it ships with the extension, verified, and loads without a network."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.panel.sample_data import (
    CATEGORY,
    SAMPLE_VOLUMES,
    SampleVolume,
    load_sample,
    register_sample_data,
)
from TransformerSegLib.resources import resources_folder

from host import Host


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as opened:
        yield opened


@pytest.mark.parametrize("volume", SAMPLE_VOLUMES, ids=lambda volume: volume.name)
def test_a_sample_is_the_file_that_ships_whatever_its_folder_is_called(volume: SampleVolume, tmp_path: Path):
    folder = tmp_path / "Programme & Ähnliches #1"
    folder.mkdir()
    (folder / "Resources").symlink_to(resources_folder(), target_is_directory=True)
    source = volume.source(folder / "Resources")
    with urllib.request.urlopen(source["uris"]) as opened:  # noqa: S310
        content = opened.read()
    assert source["uris"].startswith("file://")
    assert source["checksums"] == f"SHA256:{hashlib.sha256(content).hexdigest()}"
    assert Path(source["thumbnailFileName"]).is_file()


def test_samples_are_registered_once(host: Host):
    import SampleData

    register_sample_data()
    register_sample_data()
    registered = SampleData.SampleDataLogic.sampleDataSourcesByCategory(CATEGORY)
    assert [source.sampleName for source in registered] == [volume.name for volume in SAMPLE_VOLUMES]


def test_a_sample_loads_with_its_voxels(host: Host):
    import slicer

    node = load_sample()
    expected = read_volume(resources_folder() / "SampleData" / SAMPLE_VOLUMES[0].file)
    assert node.GetScene() is host.scene
    assert node.GetName() == SAMPLE_VOLUMES[0].name
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node).transpose(), expected.array)
