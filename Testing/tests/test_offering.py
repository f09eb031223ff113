"""A preset is offered only where the processor, the model and the device are such that it can be trusted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.card import ALIKE, PrecisionCheck
from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.plan import SlicePlan
from TransformerSegLib.errors import PresetUnavailable
from TransformerSegLib.inference import offering
from TransformerSegLib.inference.offering import check_offered, is_known, why_not
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.inference.volume import Volume


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: True)
    return find_bundle()


def checked(bundle: Bundle, **changes: object) -> Bundle:
    """Its classes are a and b."""
    check = PrecisionCheck(dice={"a": ALIKE, "b": 1.0}, data="cases", cases=3, weights_sha256=bundle.weights_sha256)
    names = zip(bundle.card.classes, "ab", strict=True)
    classes = tuple(definition.model_copy(update={"name": name}) for definition, name in names)
    new = {"bfloat16": check.model_copy(update=changes), "classes": classes}
    return replace(bundle, card=bundle.card.model_copy(update=new))


def test_all_but_faster_are_always_to_be_had(bundle: Bundle):
    others = [preset for preset in Preset if not preset.halves]
    assert all(why_not(preset, bundle, device) is None for preset in others for device in ("auto", "cpu", "cuda:0"))


def test_the_embedded_model_has_passed(bundle: Bundle):
    assert bundle.card.bfloat16.passed
    assert set(bundle.card.bfloat16.dice) == {definition.name for definition in bundle.card.classes}
    assert bundle.card.bfloat16.weights_sha256 == bundle.weights_sha256
    assert why_not(Preset.FASTER_CPU, bundle, "cpu") is None
    check_offered(Preset.FASTER_CPU, bundle, "cpu")


@pytest.mark.parametrize(("told", "words"), [(False, "lacks the instructions"), (None, "after the first run")])
def test_it_takes_the_processors_instructions(bundle: Bundle, monkeypatch, told: bool | None, words: str):
    monkeypatch.setattr(offering, "computes_in_bfloat16", lambda: told)
    assert words in why_not(Preset.FASTER_CPU, bundle, "auto")
    with pytest.raises(PresetUnavailable, match=words):
        check_offered(Preset.FASTER_CPU, bundle, "cpu", unchecked=True)


def test_it_is_for_the_cpu(bundle: Bundle):
    assert "for the CPU" in why_not(Preset.FASTER_CPU, bundle, "cuda:0")
    assert "for the CPU" in why_not(Preset.FASTER_CPU, bundle, "mps")
    with pytest.raises(PresetUnavailable, match=r"the device is cuda:0.*--device cpu"):
        check_offered(Preset.FASTER_CPU, bundle, "cuda:0")


def test_on_a_gpu_it_takes_one_that_computes_in_bfloat16(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    assert "NVIDIA" in why_not(Preset.FASTER_GPU, bundle, "cpu")
    for told, words in ((None, "after the first run"), (False, "no GPU")):
        monkeypatch.setattr(offering, "gpu_computes_in_bfloat16", lambda name, told=told: told)
        assert words in why_not(Preset.FASTER_GPU, bundle, "auto")
        with pytest.raises(PresetUnavailable, match=words):
            check_offered(Preset.FASTER_GPU, bundle, "cuda:0")
    monkeypatch.setattr(offering, "gpu_computes_in_bfloat16", lambda name: True)
    assert why_not(Preset.FASTER_GPU, bundle, "cuda:0") is None
    assert "“a” otherwise" in why_not(Preset.FASTER_GPU, checked(bundle, dice={"a": ALIKE - 1e-4, "b": 1.0}), "cuda:1")


def test_a_model_that_nobody_checked_or_that_failed_is_not_run_so(bundle: Bundle):
    unchecked = replace(bundle, card=bundle.card.model_copy(update={"bfloat16": None}))
    assert "Nobody" not in (why_not(Preset.FASTER_CPU, checked(bundle), "cpu") or "")
    assert why_not(Preset.FASTER_CPU, checked(bundle), "cpu") is None
    assert "nobody has checked" in why_not(Preset.FASTER_CPU, unchecked, "cpu")
    failed = checked(bundle, dice={"a": ALIKE - 1e-4, "b": 1.0})
    assert "“a” otherwise" in why_not(Preset.FASTER_CPU, failed, "cpu")
    check_offered(Preset.FASTER_CPU, unchecked, "cpu", unchecked=True)


def test_what_was_measured_of_other_weights_does_not_count(bundle: Bundle):
    other = checked(bundle, weights_sha256="0" * 64)
    assert other.weights_sha256
    assert "other weights" in why_not(Preset.FASTER_CPU, other, "cpu")


def test_a_run_looks_at_the_weights_even_if_nobody_has_yet(bundle: Bundle):
    other = checked(bundle, weights_sha256="0" * 64)
    assert other.known_sha256 == ""
    with pytest.raises(PresetUnavailable, match="other weights"):
        check_offered(Preset.FASTER_CPU, other, "cpu")


def test_classes_that_were_found_in_no_case_were_not_checked(bundle: Bundle):
    half = checked(bundle, dice={"b": 1.0})
    assert half.card.bfloat16.passed
    assert why_not(Preset.FASTER_CPU, half, "cpu").endswith("with 16 bits of: a")
    with pytest.raises(PresetUnavailable, match="of: a"):
        check_offered(Preset.FASTER_CPU, half, "cpu")


def test_it_is_known_to_be_had_or_not_once_somebody_can_tell(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(offering, "gpu_computes_in_bfloat16", lambda name: None)
    assert is_known(Preset.STANDARD, "auto")
    assert is_known(Preset.FASTER_CPU, "auto")
    assert not is_known(Preset.FASTER_GPU, "auto")
    assert is_known(Preset.FASTER_GPU, "cpu")


def test_models_that_see_slices_are_not_run_so(bundle: Bundle):
    slices = replace(bundle, plan=replace(bundle.plan, window=SlicePlan((32, 32))))
    assert "slices" in why_not(Preset.FASTER_CPU, slices, "cpu")
    with pytest.raises(PresetUnavailable, match="slices"):
        check_offered(Preset.FASTER_CPU, slices, "cpu", unchecked=True)


def test_a_run_with_a_preset_that_is_not_to_be_had_says_why(bundle: Bundle):
    unchecked = replace(bundle, card=bundle.card.model_copy(update={"bfloat16": None}))
    noise = Volume(np.random.default_rng(0).random((32, 64, 32)), np.eye(4), "noise", "MR")
    options = SegmentOptions(preset=Preset.FASTER_CPU, accept_mismatch=True)
    with pytest.raises(PresetUnavailable, match="nobody has checked"):
        Segmenter(unchecked, "cpu", options).segment([noise])
