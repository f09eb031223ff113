"""Input: a volume for each channel of the model, whether it suits the model, and where in it to segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from TransformerSegLib.panel.checking import InputCheck, Verdict
from TransformerSegLib.panel.loading import load_section
from TransformerSegLib.panel.phrases import BAD, DOUBTFUL, GOOD, escaped, sign, what_why_remedy

if TYPE_CHECKING:
    from TransformerSegLib.scene.sequences import Frames

_SIGNS = {Verdict.FITS: GOOD, Verdict.CONFIRM: DOUBTFUL, Verdict.REFUSED: BAD, Verdict.UNCHECKED: DOUBTFUL}


class InputSection:
    """Volumes, check line, region, frames.

    Args:
        on_inputs: called when a person chose a volume.
        on_confirm: called when a person confirmed, or took it back.
        on_place_box: called when a box was asked for.
        on_load_sample: called when the sample volume was asked for.
    """

    def __init__(
        self,
        on_inputs: Callable[[], None],
        on_confirm: Callable[[], None],
        on_place_box: Callable[[], None],
        on_load_sample: Callable[[], None],
    ) -> None:
        self.widget, self._ui = load_section("Input")
        self._on_inputs = on_inputs
        self._selectors: dict[str, slicer.qMRMLNodeComboBox] = {}
        self._rows: qt.QWidget | None = None  # in which they are
        self._filling = False
        self._ui.confirmBox.connect("clicked(bool)", lambda checked: on_confirm())
        self._ui.placeBoxButton.connect("clicked(bool)", lambda checked: on_place_box())
        self._ui.loadSampleButton.connect("clicked(bool)", lambda checked: on_load_sample())

    @property
    def nodes(self) -> dict[str, slicer.vtkMRMLScalarVolumeNode | None]:
        """Channel name → the chosen volume."""
        return {name: selector.currentNode() for name, selector in self._selectors.items()}

    @property
    def confirmed(self) -> bool:
        """Whether the person confirmed an input that the model was not trained for."""
        return self._ui.confirmBox.checked

    def withdraw_confirmation(self) -> None:
        """What was confirmed is no longer what is chosen."""
        self._ui.confirmBox.checked = False

    def show_channels(self, names: Sequence[str]) -> None:
        """A selector for each channel of the model; those that are there already stay."""
        if tuple(names) == tuple(self._selectors):
            return
        self._let_go_of_rows()
        self._rows = qt.QWidget()
        layout = qt.QFormLayout(self._rows)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.fieldGrowthPolicy = qt.QFormLayout.AllNonFixedFieldsGrow
        layout.rowWrapPolicy = qt.QFormLayout.WrapLongRows
        self._selectors = {name: self._selector(name) for name in names}
        for name, selector in self._selectors.items():
            layout.addRow(f"{name if len(names) > 1 else _('Volume')}:", selector)
        self._ui.channelsLayout.addWidget(self._rows)

    def show_nodes(self, nodes: Mapping[str, slicer.vtkMRMLScalarVolumeNode | None]) -> None:
        """Select these volumes, without telling anybody."""
        self._filling = True
        try:
            for name, selector in self._selectors.items():
                if selector.currentNode() is not nodes.get(name):
                    selector.setCurrentNode(nodes.get(name))
        finally:
            self._filling = False

    def show_told_by_name(self, confirmed: Mapping[str, bool]) -> None:
        """How the volumes came into the selectors, for a person to check.

        Args:
            confirmed: the channels that were filled in by the names of volumes, and whether a person let that stand.
        """
        label = self._ui.assignmentLabel
        label.visible = bool(confirmed)
        open_ones = [name for name, seen in confirmed.items() if not seen]
        if not open_ones:
            label.text = f"{sign(GOOD)} {_('Assigned by name, confirmed')}"
        elif len(open_ones) == len(self._selectors):
            label.text = f"{sign(DOUBTFUL)} {_('Assigned by name: please check')}"
        else:
            words = _("{names} assigned by name: please check").format(names=", ".join(open_ones))
            label.text = f"{sign(DOUBTFUL)} {escaped(words)}"

    def show_scene(self, has_volumes: bool) -> None:
        """Without a volume in the scene, say how to get one, and nothing else."""
        self._ui.emptyBox.visible = not has_volumes
        self._ui.channelsArea.visible = has_volumes
        self._ui.regionArea.visible = has_volumes

    def show_check(self, check: InputCheck | None) -> None:
        """The line below the volumes; None: nothing to say."""
        self._ui.checkArea.visible = check is not None
        needs_confirmation = check is not None and check.verdict is Verdict.CONFIRM
        self._ui.confirmBox.visible = needs_confirmation
        if not needs_confirmation:
            self.withdraw_confirmation()
        if check is not None:
            self._ui.checkSign.text = sign(_SIGNS[check.verdict])
            refused = check.verdict is Verdict.REFUSED and check.error is not None
            self._ui.checkLine.text = what_why_remedy(check.error) if refused else escaped(check.line)
            self._ui.checkLine.toolTip = str(check.error) if check.error else ""

    def show_region(self, suggested: bool, chosen: bool) -> None:
        """The box: offered where the volume is much larger than what the model wants; explained where there is one."""
        self._ui.placeBoxButton.visible = not chosen
        self._ui.placeBoxButton.default = suggested
        if suggested:
            hint = _("Place the box, drag it over the structure, and only its inside is segmented.")
        elif chosen:
            hint = _("Only the inside of the box is segmented. Drag it, and its handles, in the slice views.")
        else:
            hint = ""
        self._ui.regionHint.text = hint
        self._ui.regionHint.visible = bool(hint)

    def show_frames(self, frames: Frames | None) -> None:
        """Which frame of a sequence the volume is; None: it belongs to none."""
        self._ui.framesArea.visible = frames is not None
        if frames is not None:
            self._ui.frameLabel.text = _("Frame {number} of {count}").format(
                number=frames.current + 1, count=frames.count
            )

    def _let_go_of_rows(self) -> None:
        """Not at once: it may be one of these selectors that is telling of its node at this moment, as it does when the
        scene is closed."""
        for selector in self._selectors.values():
            selector.blockSignals(True)
        if self._rows is not None:
            self._rows.hide()
            self._ui.channelsLayout.removeWidget(self._rows)
            self._rows.deleteLater()

    def _selector(self, name: str) -> slicer.qMRMLNodeComboBox:
        selector = slicer.qMRMLNodeComboBox()
        selector.objectName = f"inputSelector_{name}"
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.showChildNodeTypes = False
        selector.noneEnabled = True
        selector.noneDisplay = _("Choose a volume")
        selector.addEnabled = False
        selector.removeEnabled = False
        selector.renameEnabled = True
        selector.toolTip = _("The volume that the model takes for “{channel}”.").format(channel=name)
        selector.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
        selector.setMRMLScene(slicer.mrmlScene)
        selector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_selected)
        return selector

    def _on_selected(self, node: slicer.vtkMRMLNode | None) -> None:
        if not self._filling:
            self._on_inputs()
