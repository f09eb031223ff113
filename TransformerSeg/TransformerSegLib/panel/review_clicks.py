"""Review: clicks that say what belongs to a segment, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.panel.phrases import escaped
from TransformerSegLib.panel.single_shot import single_shot
from TransformerSegLib.scene.click_points import Said, ensured_points_node, points_node
from TransformerSegLib.scene.clicks import Clicks, clicks_on
from TransformerSegLib.scene.slice_views import from_world, is_placing, place_with_mouse, pointed_at

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode

DRAGGING_MS = 250
"""A point that was moved for so long no more is where it was dragged to."""

SURFACES_MS = 600
"""After the last click the surfaces follow."""


class ReviewClicks:
    """The buttons of clicks, and the points in the views.

    Args:
        ui: the section's widgets.
        tell: shows an error, or None.
    """

    def __init__(self, ui: SimpleNamespace, tell: Callable[[TransformerSegError | None], None]) -> None:
        self._ui, self._tell = ui, tell
        self._node: vtkMRMLSegmentationNode | None = None
        self._segment_id = ""
        self._belongs = True
        self._observed = VTKObservationMixin()
        self._watched: slicer.vtkMRMLMarkupsFiducialNode | None = None
        self._soon, self._dragged = single_shot(0, self._follow), single_shot(DRAGGING_MS, self._follow)
        self._surfaces = single_shot(SURFACES_MS, self._renew_surfaces)
        ui.belongsButton.connect("clicked(bool)", lambda checked: self._place(True, checked))
        ui.belongsNotButton.connect("clicked(bool)", lambda checked: self._place(False, checked))
        ui.undoClickButton.connect("clicked(bool)", lambda checked: self.undo())
        ui.redoClickButton.connect("clicked(bool)", lambda checked: self.redo())

    def show(self, node: vtkMRMLSegmentationNode | None, segment_id: str) -> None:
        """Which segment of which segmentation is corrected; None: none."""
        if node is not self._node:
            self.stop_placing()
        self._node, self._segment_id = node, segment_id
        self._watch()
        if node is not None:
            self._act(lambda: self._clicks.follow())
        self.update()

    def click(self, belongs: bool) -> None:
        """At the mouse, or at the crosshair; where neither is in a view, the next click of the mouse counts."""
        if self._node is None or not self._segment_id:
            return
        place = pointed_at(self._node.GetScene())
        if place is None:
            self._place(belongs, True)
            return
        self._act(lambda: self._clicks.click(self._segment_id, from_world(self._node, place), belongs))

    def undo(self) -> None:
        if self._node is not None:
            self._act(self._clicks.undo)

    def redo(self) -> None:
        if self._node is not None:
            self._act(self._clicks.redo)

    def stop_placing(self) -> None:
        """The mouse is for looking again."""
        if self._node is not None and self._node.GetScene() is not None:
            points = points_node(self._node)
            if is_placing(self._node.GetScene(), points):
                place_with_mouse(self._node.GetScene(), None)
        self._update_buttons()

    def close(self) -> None:
        """Let go of the nodes."""
        for timer in (self._soon, self._dragged, self._surfaces):
            timer.stop()
        self.stop_placing()
        self._observed.removeObservers()
        self._node = self._watched = None

    def update(self) -> None:
        """Bring the buttons in line with the scene."""
        clicks = self._clicks if self._node is not None else None
        self._ui.undoClickButton.enabled = clicks is not None and clicks.can_undo
        self._ui.redoClickButton.enabled = clicks is not None and clicks.can_redo
        number = clicks.number if clicks is not None else 0
        words = _("1 click") if number == 1 else _("{number} clicks").format(number=number)
        self._ui.clicksLabel.text = words if number else ""
        segment = self._node.GetSegmentation().GetSegment(self._segment_id) if self._node is not None else None
        self._ui.chosenLabel.text = (
            _("Segment: <b>{name}</b>").format(name=escaped(segment.GetName()))
            if segment is not None
            else _("Choose a segment in the table.")
        )
        for button in (self._ui.belongsButton, self._ui.belongsNotButton):
            button.enabled = segment is not None
        self._update_buttons()

    @property
    def _clicks(self) -> Clicks:
        return clicks_on(self._node)

    def _place(self, belongs: bool, wanted: bool) -> None:
        if self._node is None or not wanted:
            self.stop_placing()
            return
        self._belongs = belongs
        place_with_mouse(self._node.GetScene(), ensured_points_node(self._node))
        self._watch()
        self._update_buttons()

    def _update_buttons(self) -> None:
        scene = self._node.GetScene() if self._node is not None else None  # none where it was deleted a moment ago
        placing = scene is not None and is_placing(scene, points_node(self._node))
        self._ui.belongsButton.checked = placing and self._belongs
        self._ui.belongsNotButton.checked = placing and not self._belongs

    def _watch(self) -> None:
        points = points_node(self._node) if self._node is not None else None
        if points is self._watched:
            return
        self._observed.removeObservers()
        self._watched = points
        if points is not None:
            for event in (points.PointPositionDefinedEvent, points.PointRemovedEvent, points.PointEndInteractionEvent):
                self._observed.addObserver(points, event, self._on_points)
            self._observed.addObserver(points, points.PointModifiedEvent, self._on_moved)

    def _on_points(self, caller: object, event: str) -> None:
        """Not from within what changes them: a point that is refused is removed."""
        self._soon.start()

    def _on_moved(self, caller: object, event: str) -> None:
        self._dragged.start()

    def _follow(self) -> None:
        if self._node is None:
            return
        fresh = Said(self._segment_id, self._belongs) if self._segment_id else None
        self._act(lambda: self._clicks.follow(fresh), quiet=True)

    def _act(self, act: Callable[[], object], quiet: bool = False) -> None:
        try:
            done = act()
            if not quiet or done:
                self._tell(None)
        except TransformerSegError as error:
            self._tell(error)
        self._watch()
        self.update()
        if self._clicks.surfaces_lag:
            self._surfaces.start()

    def _renew_surfaces(self) -> None:
        if self._node is not None and self._node.GetScene() is not None:
            self._clicks.renew_surfaces()
