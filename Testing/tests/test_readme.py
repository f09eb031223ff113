"""What README.md tells clinicians to do: its tutorial, step by step, and the labels that it names.

Module code, the real MRML scene and the real engine, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import slicer

from TransformerSegLib.resources import resources_folder

from host import Host
from panel_user import PanelUser

REPOSITORY = Path(__file__).resolve().parents[2]
PANEL_SECTIONS = (
    "Tutorial",
    "Reviewing",
    "Your own volumes",
    "What a person drew is kept",
    "A model of your own cases",
    "Python packages, and use without a network",
    "Privacy",
    "Getting one",
)
ELSEWHERE = {"Uninstall PyTorch"}
"""What other modules show."""


@pytest.fixture
def user() -> Iterator[PanelUser]:
    with Host() as host:
        yield PanelUser(host)


def section(title: str) -> str:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^### {title}\n(.*?)(?=^##)", readme, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return " ".join(found[1].split())


def shown_by_the_panel() -> str:
    texts = [path.read_text(encoding="utf-8") for path in (resources_folder() / "UI").glob("*.ui")]
    panel = REPOSITORY / "TransformerSeg/TransformerSegLib/panel"
    return "\n".join([*texts, *(path.read_text(encoding="utf-8") for path in panel.glob("*.py"))])


def test_the_tutorial_leads_where_it_says(user: PanelUser):
    user.click("loadSampleButton")
    assert user.reads("checkLine").endswith("fits")
    assert user.panel_model() == "Hippocampus, Swin UNETR"

    user.segment()
    assert [row[0] for row in user.table()] == ["Anterior hippocampus", "Posterior hippocampus"]
    assert not user.ui.reviewCollapsibleButton.collapsed

    user.fold("correctCollapsibleButton", False)
    node, volume = user.result(), slicer.util.getNode("Hippocampus MR")
    user.click_segment(0)
    painted = node.GetSegmentation().GetSegmentIDs()[0]
    before = float(user.table()[0][1])
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, painted, volume)
    mask[:6, :6, :6] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, painted, volume)
    user.wait(0.5)
    assert float(user.table()[0][1]) > before
    assert user.table()[0][0] == "Anterior hippocampus ✎"

    user.choose("segmentationSelector", node)
    user.segment()
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, painted, volume), mask)
    assert "Anterior hippocampus (run 2)" in [row[0] for row in user.table()]
    assert "Anterior hippocampus (run 2)" in section("Tutorial")

    user.click("undoButton")
    assert "Anterior hippocampus (run 2)" not in [row[0] for row in user.table()]
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, painted, volume), mask)


def test_every_label_that_a_person_is_to_press_is_in_the_panel():
    shown = shown_by_the_panel()
    named = {label for title in PANEL_SECTIONS for label in re.findall(r"\*\*([^*]+)\*\*", section(title))}
    assert {"Segment", "Load the sample volume", "Place box"} <= named
    for label in named - ELSEWHERE:
        assert f">{label}<" in shown or f'"{label}"' in shown, label
