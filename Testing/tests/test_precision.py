"""A model's results in bfloat16 are compared with its own exact ones, and the card says how they compare."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles.card import ALIKE, PrecisionCheck, SegmentClass
from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.measured import rewrite_precision
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import PresetUnavailable, TrainingDataRejected
from TransformerSegLib.inference import offering
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.training.cases import Case, DataList
from TransformerSegLib.training.precision import agreement, compared

from bundle_factory import write_bundle
from panel_user import SAMPLE


def found(*labels: int) -> Segmentation:
    layer = np.array(labels, np.uint8).reshape(1, 1, -1)
    segments = tuple(
        Segment(SegmentClass(label=label, channel=label, name=f"class {label}", color=(0, 0, 0)), 0, 1.0)
        for label in (1, 2, 3)
    )
    return Segmentation((layer,), np.eye(4), segments, "found", {})


def test_agreement_is_dice_class_by_class():
    dice = agreement(found(1, 1, 1, 2, 0), found(0, 1, 1, 2, 2))
    assert dice["class 1"] == pytest.approx(4 / 5)
    assert dice["class 2"] == pytest.approx(2 / 3)
    assert math.isnan(dice["class 3"])


def test_a_check_is_passed_by_the_lowest_class():
    check = PrecisionCheck(dice={"a": 1.0, "b": ALIKE}, data="cases", cases=1, weights_sha256="")
    assert check.passed
    assert not check.model_copy(update={"dice": {"a": 1.0, "b": ALIKE - 1e-5}}).passed


def test_the_embedded_models_results_are_alike_and_are_written_into_its_bundle(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: True)  # others emulate it, slowly
    folder = tmp_path / "model"
    shutil.copytree(find_bundle().folder, folder)
    lines: list[str] = []
    data = DataList((Case(SAMPLE),), (), "sample", "", tmp_path)
    check = compared(read_bundle(folder), data, lines.append)
    assert check.passed
    assert check.cases == len(lines) == 1
    assert any(value < 1.0 for value in check.dice.values()), "two exact results were compared"
    before = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    rewrite_precision(folder, check)
    after = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert read_bundle(folder).card.bfloat16 == check
    del before["transformerseg"]["bfloat16"], after["transformerseg"]["bfloat16"]
    assert after == before


def test_a_check_says_of_which_classes_it_says_nothing_and_that_it_is_of_means():
    classes = [SegmentClass(label=n, channel=n, name=name, color=(0, 0, 0)) for n, name in enumerate("abc", 1)]
    check = PrecisionCheck(dice={"b": 0.9989}, data="cases", cases=1, weights_sha256="")
    assert check.left_out(classes) == ("a", "c")
    assert check.in_words() == "same results, Dice 0.9989 or more on average over 1 case (cases)"
    assert "over 2 cases" in check.model_copy(update={"cases": 2}).in_words()


def test_a_model_of_slices_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: True)
    bundle = read_bundle(write_bundle(tmp_path / "slices", architecture="TransUNet"))
    with pytest.raises(PresetUnavailable, match="slices"):
        compared(bundle, DataList((Case(SAMPLE),), (), "sample", "", tmp_path), lambda line: None)


def test_where_nothing_is_found_there_is_nothing_to_compare(tmp_path: Path):
    with pytest.raises(TrainingDataRejected, match="nothing to compare"):
        compared(find_bundle(), DataList((), (), "none", "", tmp_path), lambda line: None)
