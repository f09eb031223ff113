"""The order in which a Swin UNETR merges patches is read from what its weights were trained with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from TransformerSegLib.bundles import training_version as module
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import BundleRejected

from bundle_factory import change_json, write_bundle

PUBLISHED = {"0.3.7": "Update metric in metadata", "0.3.3": "Update, verify MONAI 1.0.1 and Pytorch 1.13.0"}


def bundle_of(folder: Path, own: dict[str, object] | None = None, **metadata: object) -> Path:
    """A Swin UNETR as published: its configuration says nothing of merging."""
    folder = write_bundle(folder / "swin", architecture="SwinUNETR")
    change_json(folder / "configs" / "metadata.json", transformerseg=own, monai_version=None)
    change_json(folder / "configs" / "metadata.json", **metadata)
    network = json.loads((folder / "configs" / "inference.json").read_text())["network_def"]
    network = {name: value for name, value in network.items() if name != "downsample"}
    change_json(folder / "configs" / "inference.json", network_def=network)
    return folder


def order(folder: Path) -> object:
    return read_bundle(folder).plan.network.arguments["downsample"]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"monai_version": "1.0.1"}, "legacy"),
        ({"monai_version": "1.4.0", "changelog": PUBLISHED}, "legacy"),
        ({"monai_version": "1.5.0"}, "merging"),
        ({"monai_version": "1.6.1", "changelog": {"0.1": "trained with MONAI 1.5.1"}}, "merging"),
        ({"monai_version": "1.6.1", "own": {"trained_with_monai": "1.0.1"}}, "legacy"),
        ({"monai_version": "1.0.1", "own": {"trained_with_monai": "1.5.0"}}, "merging"),
        ({"monai_version": "1.6.1", "changelog": PUBLISHED, "own": {"trained_with_monai": "1.0.1"}}, "legacy"),
    ],
)
def test_what_the_bundle_says_of_its_training_tells_the_order(metadata: dict, expected: str, tmp_path: Path):
    assert order(bundle_of(tmp_path, **metadata)) == expected


@pytest.mark.parametrize("entry", ["update to use monai 1.3.1", "Update, verify MONAI 1.0.1", "upgrade to MONAI v1.2"])
def test_a_version_that_was_raised_without_retraining_is_a_question(entry: str, tmp_path: Path):
    folder = bundle_of(tmp_path, monai_version="1.6.1", changelog={"0.5": "update to MONAI 1.6.1", "0.4": entry})
    with pytest.raises(BundleRejected, match="which of them trained it") as refusal:
        read_bundle(folder)
    assert "trained_with_monai" in refusal.value.remedy
    change_json(folder / "configs" / "metadata.json", transformerseg={"trained_with_monai": "1.0.1"})
    assert order(folder) == "legacy"


def test_the_hash_of_known_weights_goes_before_all_that_the_bundle_says(tmp_path: Path, monkeypatch):
    folder = bundle_of(tmp_path, own={"trained_with_monai": "1.6.1"}, monai_version="1.6.1", changelog=PUBLISHED)
    known = {folder / "models" / "model.safetensors": "1.0.1"}
    monkeypatch.setattr(module, "trained_with_monai", known.get)
    assert order(folder) == "legacy"


def test_a_bundle_of_which_nothing_tells_the_order_is_refused(tmp_path: Path):
    with pytest.raises(BundleRejected, match="does not say with which version of MONAI"):
        read_bundle(bundle_of(tmp_path))


def test_the_order_stands_on_the_card(tmp_path: Path):
    assert read_bundle(bundle_of(tmp_path, monai_version="1.0.1")).card.patch_merging == "as MONAI 0.9 to 1.4"
    assert read_bundle(write_bundle(tmp_path / "unetr")).card.patch_merging == ""


def test_other_networks_do_not_depend_on_a_version(tmp_path: Path):
    folder = write_bundle(tmp_path / "unetr")
    change_json(folder / "configs" / "metadata.json", monai_version="1.6.1", changelog=PUBLISHED)
    assert read_bundle(folder).plan.network.architecture == "UNETR"
