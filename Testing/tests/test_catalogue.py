"""A model is found by its name or its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from TransformerSegLib.bundles import listing
from TransformerSegLib.bundles.catalogue import embedded_bundles, find_bundle
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.resources import resources_folder

from bundle_factory import write_bundle


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models in a folder of resources."""
    for name in ("spleen_unetr", "brain_unetr"):
        write_bundle(tmp_path / "Models" / name)
    (tmp_path / "Models" / "no_model").mkdir()
    monkeypatch.setattr(listing, "resources_folder", lambda: tmp_path)
    return tmp_path / "Models"


def test_embedded_models_are_listed_by_name(shelf: Path):
    assert [bundle.card.name for bundle in embedded_bundles()] == ["brain_unetr", "spleen_unetr"]


def test_a_model_is_found_by_its_name_and_by_its_folder(shelf: Path, tmp_path: Path):
    assert find_bundle("spleen_unetr").folder == shelf / "spleen_unetr"
    own = write_bundle(tmp_path / "elsewhere")
    assert find_bundle(own).folder == find_bundle(str(own)).folder == own


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("splen_unetr", "Write “spleen_unetr”"),
        ("swin_unetr_btcv", "Write “swin_unetr_btcv_segmentation”"),
        ("xyz", "(brain_unetr, spleen_unetr)"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_or_all_names(shelf: Path, name: str, remedy: str):
    with pytest.raises(BundleRejected, match="There is no model") as refusal:
        find_bundle(name)
    assert remedy in refusal.value.remedy
    assert not refusal.value.remedy.endswith(("?", "."))  # the sentence gets its full stop from the error


def test_where_no_model_is_embedded_a_folder_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listing, "resources_folder", lambda: tmp_path)
    with pytest.raises(BundleRejected, match=r"No model is embedded here: name a bundle's folder\.$"):
        find_bundle("spleen_unetr")


def test_the_resources_of_a_checkout_lie_beside_the_package():
    assert resources_folder() == Path(__file__).parents[2] / "TransformerSeg" / "Resources"
