"""The states that ``make screenshots`` draws: each says what to do next, and nothing is cut off.

Module code and the real MRML scene, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import slicer

from TransformerSegLib.inference.instructions import computes_in_bfloat16

from panel_user import PanelUser, plain
from states import PANEL_WIDTH, STATES, in_state

ONE_LINE = ("QPushButton", "QToolButton", "QCheckBox", "QComboBox")
"""Kinds of widgets whose text does not wrap."""

WHAT_TO_DO_NEXT = {
    "empty": ("emptyLabel", "drag its file"),
    "ready": ("forecastLabel", "window"),
    "running": ("segmentButton", "Cancel"),
    "finished": ("doneLabel", "Look at every segment"),
    "correcting": ("correctHint", "paint or erase"),
    "reviewing": ("reviewedLabel", "1 of 2 segments completed"),
    "refused": ("reasonLabel", "Resample it"),
    "mismatch": ("reasonLabel", "Choose a volume that fits, or confirm"),
    "whole_head": ("regionHint", "Place the box"),
    "region": ("regionHint", "Drag it"),
    "packages": ("packagesLabel", "Press Segment to install them"),
    "several_inputs": ("reasonLabel", "Choose the volume for T1ce"),
    "assigned": ("forecastLabel", "window"),
    "catalogue": ("reasonLabel", "Download this model first"),
    "to_download": ("reasonLabel", "acknowledge the licence of this model, then download it"),
    "downloading": ("changeLabel", "left"),
    "download_failed": ("changeLabel", "→"),
    "models_folder": ("changeLabel", "is packed"),
    "card": ("forecastLabel", "window"),
    "figures": ("forecastLabel", "window"),
    "choices": ("forecastLabel", "window"),
    "faster": ("presetHint", "numbers" if computes_in_bfloat16() is False else "16 bits"),
    "failed": ("errorLabel", "→"),
    "training_choosing": ("trainingTimeHint", "told once it runs"),
    "training": ("trainingLabel", "left"),
    "trained": ("trainingLabel", "Trained"),
    "training_failed": ("trainingLabel", "→"),
    "many": ("doneLabel", "Look at every segment"),
}

TALLEST = 1350
"""Pixels; a panel that is taller than this is not taken in at a glance."""


def too_narrow(user: PanelUser) -> list[str]:
    """Widgets that can be seen and are smaller than their text, or reach out of the panel."""
    panel = user.opened.panel
    found = []
    for widget in slicer.util.findChildren(panel):
        if not widget.isWidgetType() or not widget.isVisible() or not widget.objectName:
            continue
        right = widget.mapTo(panel, widget.rect.topRight()).x()
        cut_off = any(widget.inherits(kind) for kind in ONE_LINE) and widget.width < widget.minimumSizeHint.width()
        wrapped = widget.inherits("QLabel") and widget.wordWrap
        too_low = wrapped and widget.height < widget.heightForWidth(widget.width)
        if right >= PANEL_WIDTH or cut_off or too_low:
            found.append(f"{widget.objectName}: {widget.width}×{widget.height}, to {right}")
    return found


@pytest.mark.parametrize("state", STATES)
def test_a_state_says_what_to_do_next_and_nothing_is_cut_off(state, tmp_path: Path):
    name, words = WHAT_TO_DO_NEXT[state]
    with in_state(state) as user:
        user.host.screenshot(user.opened.panel, tmp_path / "panel.png", PANEL_WIDTH)

        assert user.opened.panel.minimumSizeHint.width() <= PANEL_WIDTH
        assert user.opened.panel.height < TALLEST
        assert too_narrow(user) == []
        assert words in user.reads(name)
        assert plain(user.ui.researchNotice.text) == "For research use, not for diagnosis."
        assert user.ui.researchNotice.isVisible()
    assert (tmp_path / "panel.png").stat().st_size > 10_000
