"""A bundle of a network of slices: written, read back, and refused where its parts do not go together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from TransformerSegLib.bundles.fields import OWN_BLOCK
from TransformerSegLib.bundles.plan import NormalizeIntensity, Orientation, SlicePlan, Spacing
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.bundles.window import read_window
from TransformerSegLib.errors import BundleRejected

from bundle_factory import change_json, write_bundle

SLICES = {"_target_": "transformerseg.SliceInferer", "size": [32, 32], "sw_batch_size": 4}
WINDOWS = {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32]}


def configuration_of(folder: Path) -> Path:
    return folder / "configs" / "inference.json"


def change_card(folder: Path, **fields: object) -> None:
    path = folder / "configs" / "metadata.json"
    own = json.loads(path.read_text(encoding="utf-8"))[OWN_BLOCK]
    change_json(path, **{OWN_BLOCK: own | fields})


def test_slices_are_read_in_batches_of_eight_unless_the_bundle_says_otherwise():
    assert read_window(SLICES) == SlicePlan((32, 32), 4)
    assert read_window({"_target_": "transformerseg.SliceInferer", "size": 224}) == SlicePlan((224, 224), 8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"_target_": "SliceInferer"}, "SliceInferer"),
        ({"_target_": "monai.inferers.SliceInferer"}, "monai.inferers.SliceInferer"),
        ({"size": [32, 32, 32]}, "size"),
        ({"size": [32]}, "size"),
        ({"size": 0}, "size"),
        ({"size": "$224"}, "Python expression"),
        ({"sw_batch_size": 0}, "sw_batch_size"),
        ({"overlap": 0.5}, "overlap"),
    ],
)
def test_slices_that_are_not_understood_are_refused(changes: dict[str, object], words: str):
    with pytest.raises(BundleRejected) as refusal:
        read_window(SLICES | changes)
    assert words in str(refusal.value)


@pytest.mark.parametrize("architecture", ["SwinUnet", "TransUNet"])
@pytest.mark.parametrize(
    ("codes", "axis"),
    [
        ("SPL", "axial"),
        ("ILA", "axial"),
        ("ASR", "coronal"),
        ("PIR", "coronal"),
        ("RPS", "sagittal"),
        ("LAS", "sagittal"),
    ],
)
def test_a_bundle_that_is_written_is_read_back_and_its_card_names_the_slices(
    tmp_path: Path, architecture: str, codes: str, axis: str
):
    preparation, window = (Orientation(codes), Spacing((1.0, 2.0, 2.0)), NormalizeIntensity()), SlicePlan((32, 32), 3)
    bundle = read_bundle(
        write_bundle(tmp_path / "slices", architecture=architecture, preparation=preparation, window=window)
    )
    assert (bundle.plan.preparation, bundle.plan.window) == (preparation, window)
    assert bundle.plan.slices == bundle.card.slices == axis


def test_the_last_orientation_counts(tmp_path: Path):
    twice = (Orientation("RAS"), Orientation("SPL"))
    assert (
        read_bundle(write_bundle(tmp_path / "turned", architecture="SwinUnet", preparation=twice)).card.slices
        == "axial"
    )


def test_a_card_without_a_word_on_slices_has_them_from_the_plan(tmp_path: Path):
    folder = write_bundle(tmp_path / "plain", architecture="SwinUnet")
    change_json(folder / "configs" / "metadata.json", **{OWN_BLOCK: None})
    assert read_bundle(folder).card.slices == "axial"
    assert read_bundle(write_bundle(tmp_path / "windows")).card.slices is None


@pytest.mark.parametrize(("architecture", "said"), [("SwinUnet", "coronal"), ("SwinUnet", None), ("UNETR", "axial")])
def test_a_card_that_names_other_slices_than_the_plan_is_refused(tmp_path: Path, architecture: str, said: str | None):
    folder = write_bundle(tmp_path / "other", architecture=architecture)
    change_card(folder, slices=said)
    with pytest.raises(BundleRejected, match=f"its slices are {said or 'none'}"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("architecture", "inferer", "words"),
    [
        ("SwinUnet", WINDOWS, "SwinUnet sees slices, and its inferer gives it windows"),
        ("TransUNet", WINDOWS, "TransUNet sees slices, and its inferer gives it windows"),
        ("UNETR", SLICES, "UNETR sees windows of a volume, and its inferer gives it slices"),
        ("SwinUnet", SLICES | {"size": [32, 64]}, "slice of 32×64 voxels does not suit its network"),
        ("TransUNet", SLICES | {"size": 64}, "slice of 64×64 voxels does not suit its network"),
    ],
)
def test_a_network_and_an_inferer_that_do_not_go_together_are_refused(
    tmp_path: Path, architecture: str, inferer: dict[str, object], words: str
):
    folder = write_bundle(tmp_path / "mixed", architecture=architecture)
    change_json(configuration_of(folder), inferer=inferer)
    with pytest.raises(BundleRejected) as refusal:
        read_bundle(folder)
    assert words in str(refusal.value)


def test_slices_without_a_word_on_their_axis_are_refused(tmp_path: Path):
    folder = write_bundle(tmp_path / "which", architecture="SwinUnet")
    content = json.loads(configuration_of(folder).read_text(encoding="utf-8"))
    steps = [step for step in content["preprocessing"]["transforms"] if step["_target_"] != "Orientationd"]
    change_json(configuration_of(folder), preprocessing={"_target_": "Compose", "transforms": steps})
    with pytest.raises(BundleRejected, match="Add Orientationd"):
        read_bundle(folder)
