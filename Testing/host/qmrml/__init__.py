"""Stand-ins for those of Slicer's widgets that know the scene. ``slicer`` has them while a Host is open."""

from host.qmrml.node_combo_box import qMRMLNodeComboBox
from host.qmrml.segment_editor_widget import qMRMLSegmentEditorWidget
from host.qmrml.widget import qMRMLWidget, qSlicerScriptedLoadableModuleWidget
from host.qt.ui_loader import loads

WIDGETS = (qMRMLNodeComboBox, qMRMLSegmentEditorWidget, qMRMLWidget, qSlicerScriptedLoadableModuleWidget)

loads(*WIDGETS)
