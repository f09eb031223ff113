"""Review: where the model was unsure, clicks that put it right, and the word that it is right."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.panel.loading import load_section
from TransformerSegLib.panel.phrases import GOOD, escaped, explained, sign
from TransformerSegLib.panel.review_clicks import ReviewClicks
from TransformerSegLib.panel.review_export import ReviewExport
from TransformerSegLib.panel.review_keys import ReviewKeys
from TransformerSegLib.panel.review_places import ReviewPlaces
from TransformerSegLib.panel.review_status import ReviewStatus
from TransformerSegLib.panel.scene_events import SceneEvents
from TransformerSegLib.panel.settings import Settings
from TransformerSegLib.panel.single_shot import single_shot
from TransformerSegLib.scene.clicks import let_go_of_clicks
from TransformerSegLib.scene.regions import AGAIN_ROLE, place_region
from TransformerSegLib.scene.sign_off import Status
from TransformerSegLib.scene.slice_views import from_world, pointed_at

if TYPE_CHECKING:
    from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

AGAIN_MM = 30.0
"""Edge of the box that is offered for segmenting again."""


SETTLED_MS = 300
"""After the last change of a segment it is found out whether the review still counts."""


class ReviewSection:
    """What a radiologist does after Segment, with the mouse or by keys alone.

    Args:
        settings: where it is remembered who reviews.
        on_choose: called with the id of a segment that was chosen here.
        on_changed: called when statuses changed.
        on_again: called with the box that is to be segmented again.
    """

    def __init__(
        self,
        settings: Settings,
        on_choose: Callable[[str], None],
        on_changed: Callable[[], None],
        on_again: Callable[[vtkMRMLMarkupsROINode], None],
    ) -> None:
        self.widget, self._ui = load_section("Review")
        self._node: vtkMRMLSegmentationNode | None = None
        self._volume: vtkMRMLScalarVolumeNode | None = None
        self._segment_id = ""
        self._entered = False
        self._on_again = on_again
        self._not_again = ""
        self._places = ReviewPlaces(self._ui, on_choose)
        self._clicks = ReviewClicks(self._ui, self._tell)
        self._status = ReviewStatus(self._ui, settings, self._tell, on_choose, on_changed)
        self._export = ReviewExport(self._ui, self._tell, self._say)
        self._keys = ReviewKeys(self._acts())
        self._settling = single_shot(SETTLED_MS, self._status.update)
        self._events = SceneEvents(slicer.mrmlScene, let_go_of_clicks, let_go_of_clicks)
        self._ui.reviewCollapsibleButton.connect("contentsCollapsed(bool)", lambda collapsed: self._update())
        self._ui.againBoxButton.connect("clicked(bool)", lambda checked: self._place_box())
        self._ui.againButton.connect("clicked(bool)", lambda checked: self._segment_again())
        self._update()

    def show(self, node: vtkMRMLSegmentationNode | None, volume: vtkMRMLScalarVolumeNode | None) -> None:
        """Which segmentation is reviewed, over which volume; None: there is none."""
        if node is not self._node:
            ids = node.GetSegmentation().GetSegmentIDs() if node is not None else ()
            self._segment_id = ids[0] if ids else ""
            self._tell(None)
        self._node, self._volume = node, volume
        self._update()

    def choose(self, segment_id: str) -> None:
        """Which segment is corrected."""
        self._segment_id = segment_id
        self._update()

    def segments_changed(self, segment_ids: Collection[str]) -> None:
        """Somebody changed segments of what is shown: a review of them may count no longer."""
        self._status.segments_changed(segment_ids)
        self._settling.start()

    def allow_again(self, reason_not: str) -> None:
        """Whether a box can be segmented again: "", or what is to be done before."""
        self._not_again = reason_not
        self._update_again()

    def end_again(self) -> None:
        """The box was segmented again, and is no longer needed."""
        box = self._box()
        if box is not None:
            self._node.GetScene().RemoveNode(box)
        self._update_again()

    def refresh(self) -> None:
        """Something in the scene changed."""
        self._update()

    def open(self) -> None:
        """Unfold the section."""
        self._ui.reviewCollapsibleButton.collapsed = False

    def enter(self) -> None:
        """The panel is shown."""
        self._entered = True
        self._update()

    def exit(self) -> None:
        """Another module is shown: keys and mouse are its own again."""
        self._entered = False
        self._clicks.stop_placing()
        self._keys.remove()

    def close(self) -> None:
        """Let go of every node."""
        self._keys.remove()
        self._settling.stop()
        for part in (self._clicks, self._places, self._status, self._export):
            part.close()
        self._node = self._volume = None

    def end(self) -> None:
        """The panel is left for good."""
        self.close()
        self._export.end()
        self._events.close()
        let_go_of_clicks()

    def _acts(self) -> dict[str, Callable[[], None]]:
        return {
            "N": lambda: self._places.step(1),
            "P": lambda: self._places.step(-1),
            "M": self._places.toggle_overlay,
            "B": lambda: self._clicks.click(True),
            "D": lambda: self._clicks.click(False),
            "U": self._clicks.undo,
            "Shift+U": self._clicks.redo,
            "S": lambda: self._status.step(1),
            "Shift+S": lambda: self._status.step(-1),
            "C": lambda: self._status.toggle(Status.COMPLETED),
            "F": lambda: self._status.toggle(Status.FLAGGED),
            "I": lambda: self._status.set(Status.IN_PROGRESS),
            "O": lambda: self._status.set(Status.NOT_STARTED),
        }

    def _update(self) -> None:
        node = self._node
        if node is not None and node.GetSegmentation().GetSegment(self._segment_id) is None:
            self._segment_id = ""
        at_hand = node is not None and not self._ui.reviewCollapsibleButton.collapsed
        self._ui.reviewHint.visible = node is None
        self._ui.reviewArea.visible = node is not None
        shown = node if at_hand else None
        self._places.show(shown)
        self._clicks.show(shown, self._segment_id)
        self._status.show(shown, self._segment_id)
        self._export.show(shown, self._volume)
        self._update_again()
        if at_hand and self._entered:
            self._keys.install()
        else:
            self._keys.remove()
            self._clicks.stop_placing()

    def _update_again(self) -> None:
        self._ui.againBoxButton.enabled = self._node is not None and self._volume is not None and not self._not_again
        self._ui.againButton.enabled = self._ui.againBoxButton.enabled and self._box() is not None
        self._ui.againBoxButton.toolTip = self._not_again or _(
            "Place a box, to be dragged over what is to be segmented again."
        )

    def _box(self) -> vtkMRMLMarkupsROINode | None:
        return self._node.GetNodeReference(AGAIN_ROLE) if self._node is not None else None

    def _place_box(self) -> None:
        """Around where the person points; else in the middle of the volume. One that is there already is moved."""
        before, scene = self._box(), self._node.GetScene()
        if before is not None:
            scene.RemoveNode(before)
        place = pointed_at(scene)
        middle = None if place is None else from_world(self._volume, place)
        box = place_region(scene, self._volume, (AGAIN_MM,) * 3, middle)
        box.SetName(_("Segment again"))
        self._node.SetNodeReferenceID(AGAIN_ROLE, box.GetID())
        self._update_again()

    def _segment_again(self) -> None:
        box = self._box()
        if box is not None and not self._not_again:
            self._on_again(box)

    def _tell(self, error: TransformerSegError | None) -> None:
        self._ui.reviewMessage.text = explained(error) if error is not None else ""
        self._ui.reviewMessage.visible = error is not None

    def _say(self, words: str, good: bool) -> None:
        self._ui.reviewMessage.text = f"{sign(GOOD)} {escaped(words)}" if good else escaped(words)
        self._ui.reviewMessage.visible = True
