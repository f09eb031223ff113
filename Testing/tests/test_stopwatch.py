"""A run's time is told stage by stage, and nothing of it is lost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.inference import segmenter
from TransformerSegLib.inference.progress import Stage
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.inference.stopwatch import Stopwatch, shares_told
from TransformerSegLib.inference.volume import Volume


def test_stages_may_take_turns():
    now = [100.0]
    watch = Stopwatch(clock=lambda: now[0])
    for stage, seconds in ((Stage.LOAD, 1.0), (Stage.SEGMENT, 2.0), (Stage.RESTORE, 0.5), (Stage.SEGMENT, 4.0)):
        watch.switch(stage)
        now[0] += seconds
    assert watch.seconds() == {"load": 1.0, "segment": 6.0, "restore": 0.5}


def test_shares_are_of_all_stages():
    assert shares_told({"load": 1.0, "segment": 3.0}) == "load 1.00 s (25 %), segment 3.00 s (75 %)"
    assert shares_told({"load": 0.0}) == ""


def test_the_stages_of_a_run_add_up_to_all_of_it(monkeypatch: pytest.MonkeyPatch):
    ticks = itertools.count()
    monkeypatch.setattr(segmenter, "Stopwatch", lambda: Stopwatch(clock=lambda: float(next(ticks))))
    volume = Volume(np.random.default_rng(0).random((40, 64, 32)), np.eye(4), "noise", "MR")
    provenance = Segmenter(find_bundle(), "cpu", SegmentOptions(accept_mismatch=True)).segment([volume]).provenance
    assert set(provenance["stages"]) == {"load", "prepare", "segment", "restore"}
    assert sum(provenance["stages"].values()) == next(ticks) - 1
    assert provenance["stages"]["segment"] > provenance["stages"]["prepare"]  # it is switched to with every window
