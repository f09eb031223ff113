"""Correct: Slicer's Segment Editor, on the segment that is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from TransformerSegLib.panel.loading import load_section

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

SINGLETON_TAG = "TransformerSeg"
"""The panel's own editor node, so that the Segment Editor module keeps its choices."""

UNDO_STATES = 10
"""As many as Slicer's Segment Editor module holds."""


class CorrectSection:
    """The embedded editor; made when the section is opened for the first time."""

    def __init__(self) -> None:
        self.widget, self._ui = load_section("Correct")
        self._editor: slicer.qMRMLSegmentEditorWidget | None = None
        self._segmentation: vtkMRMLSegmentationNode | None = None
        self._volume: vtkMRMLScalarVolumeNode | None = None
        self._segment_id = ""
        self._entered = False
        self._ui.correctCollapsibleButton.connect("contentsCollapsed(bool)", lambda collapsed: self._update())

    @property
    def editor(self) -> slicer.qMRMLSegmentEditorWidget | None:
        """None before the section was opened."""
        return self._editor

    def edit(self, segmentation: vtkMRMLSegmentationNode | None, volume: vtkMRMLScalarVolumeNode | None) -> None:
        """Which segmentation is corrected, over which volume; None: there is nothing to correct."""
        if segmentation is not self._segmentation:
            self._segment_id = ""
        self._segmentation, self._volume = segmentation, volume
        self._update()

    def choose(self, segment_id: str) -> None:
        """Which segment is painted."""
        self._segment_id = segment_id
        self._update()

    def enter(self) -> None:
        """The panel is shown."""
        self._entered = True
        self._update()

    def exit(self) -> None:
        """Another module is shown: nothing in the views may react to the editor any longer."""
        self._entered = False
        self._let_go()

    def close(self) -> None:
        """Let go of every node."""
        self._segmentation = self._volume = None
        self._segment_id = ""
        self._let_go()
        if self._editor is not None:
            self._editor.setSegmentationNode(None)
            self._editor.setSourceVolumeNode(None)
            self._editor.setMRMLSegmentEditorNode(None)

    def _update(self) -> None:
        usable = self._segmentation is not None
        self._ui.correctHint.text = (
            _("Choose a segment, then paint or erase. What you change is kept when you segment again.")
            if usable
            else _("When there is a result, choose a segment in the table, then paint or erase here.")
        )
        if not usable or self._ui.correctCollapsibleButton.collapsed or not self._entered:
            self._let_go()
            if self._editor is not None and not usable:
                self._editor.setSegmentationNode(None)
                self._editor.visible = False
            return
        self._show_editor()

    def _show_editor(self) -> None:
        if self._editor is None:
            self._editor = self._made()
            self._ui.correctLayout.addWidget(self._editor)
        editor_node = _editor_node()
        if self._editor.mrmlSegmentEditorNode() is not editor_node:
            self._editor.setMRMLSegmentEditorNode(editor_node)
        self._editor.visible = True
        if self._editor.segmentationNode() is not self._segmentation:
            self._editor.setSegmentationNode(self._segmentation)
        if self._volume is not None and self._editor.sourceVolumeNode() is not self._volume:
            self._editor.setSourceVolumeNode(self._volume)
        if self._segment_id and self._editor.currentSegmentID() != self._segment_id:
            self._editor.setCurrentSegmentID(self._segment_id)
        self._editor.setupViewObservations()
        self._editor.installKeyboardShortcuts()

    def _let_go(self) -> None:
        if self._editor is not None:
            self._editor.setActiveEffect(None)
            self._editor.uninstallKeyboardShortcuts()
            self._editor.removeViewObservations()

    @staticmethod
    def _made() -> slicer.qMRMLSegmentEditorWidget:
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMaximumNumberOfUndoStates(UNDO_STATES)
        editor.setSegmentationNodeSelectorVisible(False)
        editor.setSourceVolumeNodeSelectorVisible(False)
        editor.setSwitchToSegmentationsButtonVisible(False)
        editor.setMRMLScene(slicer.mrmlScene)
        return editor


def _editor_node() -> slicer.vtkMRMLSegmentEditorNode:
    """The panel's editor node in the scene, made where it is missing."""
    node = slicer.mrmlScene.GetSingletonNode(SINGLETON_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(SINGLETON_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
