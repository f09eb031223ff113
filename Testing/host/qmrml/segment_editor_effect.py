"""Stand-in for qSlicerSegmentEditorAbstractEffect, an effect of the Segment Editor as a script uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from host.qmrml.segment_editor_widget import qMRMLSegmentEditorWidget


class SegmentEditorEffect:
    """An effect; its parameters are kept on the editor's node, as Slicer keeps them."""

    def __init__(self, editor: qMRMLSegmentEditorWidget, name: str):
        self._editor = editor
        self.name = name

    def setParameter(self, name: str, value) -> None:
        self._editor.mrmlSegmentEditorNode().SetAttribute(f"{self.name}.{name}", str(value))

    def parameter(self, name: str) -> str:
        return self._editor.mrmlSegmentEditorNode().GetAttribute(f"{self.name}.{name}") or ""

    def doubleParameter(self, name: str) -> float:
        return float(self.parameter(name))

    def self(self) -> SegmentEditorEffect:
        return self

    def onApply(self) -> None:
        if self.name != "Threshold":
            raise AttributeError(f"The effect {self.name} has nothing to apply.")
        self._editor.apply_threshold(self.doubleParameter("MinimumThreshold"), self.doubleParameter("MaximumThreshold"))
