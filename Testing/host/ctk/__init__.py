"""Stand-in for ``ctk``: those widgets of CTK that the module uses, and little more."""

from host.ctk.checkable_combo_box import ctkCheckableComboBox
from host.ctk.collapsible_button import ctkCollapsibleButton
from host.ctk.message_box import ctkMessageBox
from host.ctk.path_line_edit import ctkPathLineEdit
from host.ctk.slider_widget import ctkSliderWidget
from host.ctk.small_widgets import ctkColorPickerButton, ctkComboBox, ctkDoubleSpinBox, ctkSearchBox
from host.qt.ui_loader import loads

__all__ = [
    "ctkCheckableComboBox",
    "ctkCollapsibleButton",
    "ctkColorPickerButton",
    "ctkComboBox",
    "ctkDoubleSpinBox",
    "ctkMessageBox",
    "ctkPathLineEdit",
    "ctkSearchBox",
    "ctkSliderWidget",
]

loads(
    ctkCheckableComboBox,
    ctkCollapsibleButton,
    ctkColorPickerButton,
    ctkComboBox,
    ctkDoubleSpinBox,
    ctkPathLineEdit,
    ctkSearchBox,
    ctkSliderWidget,
)
