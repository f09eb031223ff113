"""A section's widgets, from its ``.ui`` file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import qt
import slicer

from TransformerSegLib.resources import resources_folder


def load_section(name: str) -> tuple[object, SimpleNamespace]:
    """The widget that ``Resources/UI/<name>.ui`` describes, and its children by their names.

    The widget belongs to the scene from now on, so that its node selectors list that scene's nodes.
    """
    widget = slicer.util.loadUI(str(ui_folder() / f"{name}.ui"))
    widget.setMRMLScene(slicer.mrmlScene)
    return widget, slicer.util.childWidgetVariables(widget)


def ui_folder() -> Path:
    return resources_folder() / "UI"


def icon(name: str) -> qt.QIcon:
    """One of the module's icons."""
    return qt.QIcon(str(resources_folder() / "Icons" / f"{name}.png"))
