"""Stand-in for qMRMLSegmentEditorWidget: the buttons are drawn, the editing is real (``vtkSlicerSegmentEditorLogic``).

A test paints with ``paint`` and ``erase``, in place of a person's mouse in a slice view. Effects are Paint, Erase and
Threshold.
"""

from __future__ import annotations

import slicer
import vtk

from host import qt
from host.qmrml.node_combo_box import qMRMLNodeComboBox
from host.qmrml.observing import Observers
from host.qmrml.segment_editor_effect import SegmentEditorEffect
from host.qmrml.segment_strokes import ball, threshold
from host.qmrml.widget import qMRMLWidget
from host.qt.native import QtCore

EFFECTS = ("Threshold", "Paint", "Erase")


def _visible(name: str):
    def get(self) -> bool:
        return not getattr(self, name).isHidden()

    def set_(self, visible: bool) -> None:
        widget = getattr(self, name)
        widget.setVisible(visible)
        label = self._selectors.labelForField(widget)
        if label is not None:
            label.setVisible(visible)

    return QtCore.Property(bool, get, set_), set_


class qMRMLSegmentEditorWidget(qMRMLWidget):
    SIGNALS = (
        "mrmlSceneChanged(vtkMRMLScene*)",
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)",
        "currentSegmentIDChanged(QString)",
    )
    segmentationNodeChanged = QtCore.Signal(object)
    sourceVolumeNodeChanged = QtCore.Signal(object)
    currentSegmentIDChanged = QtCore.Signal(str)

    _logic: slicer.vtkSlicerSegmentEditorLogic
    _editor_node = None
    _active = None

    def __init__(self, parent=None):
        super().__init__(*([] if parent is None else [parent]))
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._effects = {name: SegmentEditorEffect(self, name) for name in EFFECTS}
        self._observers = Observers()
        self._build()

    def _build(self) -> None:
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._selectors = qt.QFormLayout()
        self._segmentation_selector = _selector("vtkMRMLSegmentationNode")
        self._volume_selector = _selector("vtkMRMLScalarVolumeNode")
        self._segmentation_selector.currentNodeChanged.connect(self.setSegmentationNode)
        self._volume_selector.currentNodeChanged.connect(self.setSourceVolumeNode)
        self._selectors.addRow("Segmentation:", self._segmentation_selector)
        self._selectors.addRow("Source volume:", self._volume_selector)
        layout.addLayout(self._selectors)
        self._switch_button = qt.QToolButton()
        self._switch_button.text = "Segmentations..."
        layout.addWidget(self._switch_button)
        self._segments = qt.QListWidget()
        self._segments.setMaximumHeight(120)
        self._segments.currentRowChanged.connect(self._pick_row)
        layout.addWidget(self._segments)
        layout.addLayout(self._effect_buttons())
        self._undo_button, self._redo_button = qt.QPushButton("Undo"), qt.QPushButton("Redo")
        self._undo_button.clicked.connect(self.undo)
        self._redo_button.clicked.connect(self.redo)
        row = qt.QHBoxLayout()
        row.addWidget(self._undo_button)
        row.addWidget(self._redo_button)
        layout.addLayout(row)

    def _effect_buttons(self):
        row = qt.QHBoxLayout()
        self._buttons = {}
        for name in EFFECTS:
            button = qt.QToolButton()
            button.text = name
            button.checkable = True
            button.clicked.connect(lambda _checked=False, name=name: self.setActiveEffectByName(name))
            row.addWidget(button)
            self._buttons[name] = button
        row.addStretch(1)
        return row

    segmentationNodeSelectorVisible, setSegmentationNodeSelectorVisible = _visible("_segmentation_selector")
    sourceVolumeNodeSelectorVisible, setSourceVolumeNodeSelectorVisible = _visible("_volume_selector")
    switchToSegmentationsButtonVisible, setSwitchToSegmentationsButtonVisible = _visible("_switch_button")

    def _get_undo_states(self) -> int:
        return self._logic.GetMaximumNumberOfUndoStates()

    def setMaximumNumberOfUndoStates(self, states: int) -> None:
        self._logic.SetMaximumNumberOfUndoStates(states)

    maximumNumberOfUndoStates = QtCore.Property(int, _get_undo_states, setMaximumNumberOfUndoStates)

    def _get_read_only(self) -> bool:
        return not self._undo_button.enabled

    def setReadOnly(self, read_only: bool) -> None:
        for button in (*self._buttons.values(), self._undo_button, self._redo_button):
            button.enabled = not read_only

    readOnly = QtCore.Property(bool, _get_read_only, setReadOnly)

    def setMRMLScene(self, scene) -> None:
        self._logic.SetMRMLScene(scene)
        self._segmentation_selector.setMRMLScene(scene)
        self._volume_selector.setMRMLScene(scene)
        super().setMRMLScene(scene)

    def setMRMLSegmentEditorNode(self, node) -> None:
        self._observers.clear()
        self._editor_node = node
        self._logic.SetSegmentEditorNode(node)
        if node is not None:
            self._observers.add(node, vtk.vtkCommand.ModifiedEvent, self.updateWidgetFromMRML)
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self):
        return self._editor_node

    def segmentationNode(self):
        return self._editor_node.GetSegmentationNode() if self._editor_node is not None else None

    def segmentationNodeID(self) -> str:
        node = self.segmentationNode()
        return node.GetID() if node is not None else ""

    def setSegmentationNode(self, node) -> None:
        """Slicer's own does nothing before an editor node is set."""
        if self._editor_node is None or node is self.segmentationNode():
            return
        self._logic.SetSegmentationNode(node)
        self._editor_node.SetAndObserveSegmentationNode(node)
        segments = node.GetSegmentation() if node is not None else None
        first = segments.GetNthSegmentID(0) if segments is not None and segments.GetNumberOfSegments() else ""
        self._editor_node.SetSelectedSegmentID(first or None)
        self.segmentationNodeChanged.emit(node)
        self.updateWidgetFromMRML()

    def sourceVolumeNode(self):
        return self._editor_node.GetSourceVolumeNode() if self._editor_node is not None else None

    def setSourceVolumeNode(self, node) -> None:
        if self._editor_node is None or self.segmentationNode() is None or node is self.sourceVolumeNode():
            return
        self._logic.SetSourceVolumeNode(node)
        self._editor_node.SetAndObserveSourceVolumeNode(node)
        self.sourceVolumeNodeChanged.emit(node)
        self.updateWidgetFromMRML()

    def currentSegmentID(self) -> str:
        return (self._editor_node.GetSelectedSegmentID() or "") if self._editor_node is not None else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._editor_node is not None and segment_id != self.currentSegmentID():
            self._editor_node.SetSelectedSegmentID(segment_id)
            self.currentSegmentIDChanged.emit(segment_id)

    def availableEffectNames(self) -> tuple[str, ...]:
        return EFFECTS

    def effectByName(self, name: str) -> SegmentEditorEffect | None:
        return self._effects.get(name)

    def activeEffect(self) -> SegmentEditorEffect | None:
        return self._active

    def setActiveEffect(self, effect: SegmentEditorEffect | None) -> None:
        self._active = effect
        if self._editor_node is not None:
            self._editor_node.SetActiveEffectName(effect.name if effect else "")
        for name, button in self._buttons.items():
            button.checked = effect is not None and effect.name == name

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self._effects.get(name))

    def setEffectNameOrder(self, names: list[str]) -> None:
        for name, button in self._buttons.items():
            button.visible = name in names

    def setupViewObservations(self) -> None:
        """There is no view whose mouse could be watched."""

    def removeViewObservations(self) -> None:
        pass

    def installKeyboardShortcuts(self, _parent=None) -> None:
        """There are no keys either."""

    def uninstallKeyboardShortcuts(self) -> None:
        pass

    def saveStateForUndo(self) -> None:
        self._logic.SaveStateForUndo()

    def undo(self, *_checked) -> None:
        self._logic.Undo()
        self.updateWidgetFromMRML()

    def redo(self, *_checked) -> None:
        self._logic.Redo()
        self.updateWidgetFromMRML()

    def paint(self, center: tuple[float, float, float], radius: float) -> None:
        """Add a ball to the chosen segment: centre in the segmentation's own RAS, both in mm."""
        self._change("Paint", ball(self._modifier(), center, radius), self._logic.ModificationModeAdd)

    def erase(self, center: tuple[float, float, float], radius: float) -> None:
        """Take a ball away from it."""
        self._change("Erase", ball(self._modifier(), center, radius), self._logic.ModificationModeRemove)

    def apply_threshold(self, lowest: float, highest: float) -> None:
        self._logic.UpdateAlignedSourceVolume()
        stroke = threshold(self._modifier(), self._logic.GetAlignedSourceVolume(), lowest, highest)
        self._change("Threshold", stroke, self._logic.ModificationModeSet)

    def _modifier(self):
        self._logic.UpdateReferenceGeometryImage()
        self._logic.ResetModifierLabelmapToDefault()
        return self._logic.GetModifierLabelmap()

    def _change(self, effect: str, stroke, mode) -> None:
        """One stroke, as Slicer's effects make it. Raises RuntimeError where a person could not have made it."""
        button = self._buttons[effect]
        if self.segmentationNode() is None or not self.currentSegmentID():
            raise RuntimeError("Nothing is chosen that could be edited.")
        if not button.enabled or not self.visible:
            raise RuntimeError("The editor is not shown, or is disabled.")
        self._logic.UpdateMaskLabelmap()
        self._logic.UpdateAlignedSourceVolume()
        self._logic.SaveStateForUndo()
        self._logic.ModifySegmentByLabelmap(
            self.segmentationNode(), self.currentSegmentID(), stroke, mode, False, False
        )
        _mark_in_progress(self.segmentationNode().GetSegmentation().GetSegment(self.currentSegmentID()))
        self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self) -> None:
        node = self.segmentationNode()
        segmentation = node.GetSegmentation() if node is not None else None
        self._segments.blockSignals(True)
        self._segments.clear()
        for segment_id in segmentation.GetSegmentIDs() if segmentation is not None else ():
            item = qt.QListWidgetItem(segmentation.GetSegment(segment_id).GetName(), self._segments)
            item.setData(qt.Qt.UserRole, segment_id)
            if segment_id == self.currentSegmentID():
                self._segments.setCurrentItem(item)
        self._segments.blockSignals(False)
        self._segmentation_selector.setCurrentNode(node)
        self._volume_selector.setCurrentNode(self.sourceVolumeNode())
        self._undo_button.enabled = bool(self._logic.CanUndo())
        self._redo_button.enabled = bool(self._logic.CanRedo())

    def _pick_row(self, row: int) -> None:
        if row >= 0:
            self.setCurrentSegmentID(self._segments.item(row).data(qt.Qt.UserRole))


def _selector(node_type: str) -> qMRMLNodeComboBox:
    selector = qMRMLNodeComboBox()
    selector.nodeTypes = [node_type]
    selector.noneEnabled = True
    selector.addEnabled = False
    selector.removeEnabled = False
    return selector


def _mark_in_progress(segment) -> None:
    """Slicer's effects move a segment that was not started to "in progress"."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if logic.GetSegmentStatus(segment) == logic.NotStarted:
        logic.SetSegmentStatus(segment, logic.InProgress)
