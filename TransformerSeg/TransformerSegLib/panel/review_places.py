"""Review: from one doubtful place to the next, and where the model was unsure."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from TransformerSegLib.scene.clicks import clicks_on
from TransformerSegLib.scene.confidence_volume import REFERENCE_ROLE, confidence_volume, has_confidence
from TransformerSegLib.scene.doubt_record import DoubtRecord, doubt_record
from TransformerSegLib.scene.slice_views import lay_over, look_at, take_off, to_world

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode


class ReviewPlaces:
    """The row of places, and the overlay.

    Args:
        ui: the section's widgets.
        on_choose: called with the id of the segment at the place that is shown.
    """

    def __init__(self, ui: SimpleNamespace, on_choose: Callable[[str], None]) -> None:
        self._ui, self._on_choose = ui, on_choose
        self._node: vtkMRMLSegmentationNode | None = None
        self._record: DoubtRecord | None = None
        self._number = 0
        ui.previousPlaceButton.connect("clicked(bool)", lambda checked: self.step(-1))
        ui.nextPlaceButton.connect("clicked(bool)", lambda checked: self.step(1))
        ui.confidenceCheckBox.connect("clicked(bool)", self._overlay)

    def show(self, node: vtkMRMLSegmentationNode | None) -> None:
        """Of which segmentation; None: of none."""
        record = doubt_record(node) if node is not None else None
        is_other = node is not self._node or _proposal(record) != _proposal(self._record)
        shown = self._ui.confidenceCheckBox.checked
        if is_other:
            self._number = 0
            self._hide_overlay()
        self._node, self._record = node, record
        if is_other and shown and node is not None:  # another run, or another frame
            self._ui.confidenceCheckBox.checked = True
            self._overlay(True)
        self._update()

    def step(self, by: int) -> None:
        """To the next, or a previous one; round at the ends."""
        places = self._record.places if self._record is not None else ()
        if not places:
            return
        if self._number == 0:
            self._number = 1 if by > 0 else len(places)
        else:
            self._number = (self._number - 1 + by) % len(places) + 1
        middle = places[self._number - 1].middle
        look_at(self._node.GetScene(), to_world(self._node, middle))
        segment_id = clicks_on(self._node).segment_near(middle)
        if segment_id is not None:
            self._on_choose(segment_id)
        self._update()

    def toggle_overlay(self) -> None:
        """Show it, or hide it."""
        if self._ui.confidenceCheckBox.enabled:
            self._ui.confidenceCheckBox.checked = not self._ui.confidenceCheckBox.checked
            self._overlay(self._ui.confidenceCheckBox.checked)

    def close(self) -> None:
        """Let go of the node."""
        self._hide_overlay()
        self._node = self._record = None

    def _update(self) -> None:
        places = self._record.places if self._record is not None else ()
        for button in (self._ui.previousPlaceButton, self._ui.nextPlaceButton):
            button.enabled = bool(places)
        known = self._node is not None and has_confidence(self._node)
        self._ui.confidenceCheckBox.enabled = known
        self._ui.placeLabel.text = self._words(len(places))

    def _words(self, count: int) -> str:
        if self._record is None:
            return _("Where the model was unsure is not known for this result.")
        if not count:
            return _("The model was sure everywhere.")
        if not self._number:
            return _("1 doubtful place") if count == 1 else _("{count} doubtful places").format(count=count)
        wrong = self._record.places[self._number - 1].wrong_ml
        amount = f"{wrong:.2f}" if wrong >= 0.095 else f"{wrong:.1g}"
        return _("Doubtful place {number} of {count}: about {amount} mL").format(
            number=self._number, count=count, amount=amount
        )

    def _overlay(self, shown: bool) -> None:
        if not shown:
            self._hide_overlay()
            return
        volume = confidence_volume(self._node) if self._node is not None else None
        if volume is None:
            self._ui.confidenceCheckBox.checked = False
        else:
            lay_over(self._node.GetScene(), volume)

    def _hide_overlay(self) -> None:
        self._ui.confidenceCheckBox.checked = False
        volume = self._node.GetNodeReference(REFERENCE_ROLE) if self._node is not None else None
        if volume is not None and isinstance(volume, slicer.vtkMRMLScalarVolumeNode) and self._node.GetScene():
            take_off(self._node.GetScene(), volume)


def _proposal(record: DoubtRecord | None) -> str:
    return record.proposal if record is not None else ""
