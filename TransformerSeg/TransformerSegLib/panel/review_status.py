"""Review: which segments are right, and that all of them are."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.panel.phrases import GOOD, escaped, sign
from TransformerSegLib.panel.settings import Settings, remember_reviewer, remembered_reviewer
from TransformerSegLib.scene.sign_off import (
    Review,
    Status,
    missing_for_review,
    refresh_review,
    set_status,
    sign_off,
    status_of,
)

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode


class ReviewStatus:
    """Statuses of segments, by button and by key, and what is said when all are completed.

    Args:
        ui: the section's widgets.
        settings: where it is remembered who reviews.
        tell: shows an error, or None.
        on_choose: called with the id of the segment that is next.
        on_changed: called when a status was set.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        settings: Settings,
        tell: Callable[[TransformerSegError | None], None],
        on_choose: Callable[[str], None],
        on_changed: Callable[[], None],
    ) -> None:
        self._ui, self._settings, self._tell = ui, settings, tell
        self._on_choose, self._on_changed = on_choose, on_changed
        self._node: vtkMRMLSegmentationNode | None = None
        self._segment_id = ""
        self._changed: set[str] | None = None  # since the review was last looked at; None: nobody knows
        ui.completedButton.connect("clicked(bool)", lambda checked: self.toggle(Status.COMPLETED))
        ui.flaggedButton.connect("clicked(bool)", lambda checked: self.toggle(Status.FLAGGED))

    def show(self, node: vtkMRMLSegmentationNode | None, segment_id: str) -> None:
        """Of which segment of which segmentation; None: none."""
        if node is not self._node:
            self._changed = None
        self._node, self._segment_id = node, segment_id
        self.update()

    def segments_changed(self, segment_ids: Collection[str]) -> None:
        """These may be others than before; it counts when ``update`` is called next."""
        if self._changed is not None:
            self._changed.update(segment_ids)

    def toggle(self, status: Status) -> None:
        """Set it; where it is set already, back to in progress."""
        if self._chosen():
            now = status_of(self._node, self._segment_id)
            self.set(Status.IN_PROGRESS if now is status else status)

    def set(self, status: Status) -> None:
        """Of the chosen segment. When it is completed the next one is chosen; when all are, that is signed off."""
        if not self._chosen():
            return
        set_status(self._node, self._segment_id, status)
        self._tell(None)
        if status is Status.COMPLETED:
            missing = missing_for_review(self._node)
            if missing:
                self._on_choose(self._following(missing))
            else:
                self._sign_off()
        self._on_changed()
        self.update()

    def step(self, by: int) -> None:
        """Choose the next segment, or a previous one; round at the ends."""
        ids = list(self._node.GetSegmentation().GetSegmentIDs()) if self._node is not None else []
        if ids:
            place = ids.index(self._segment_id) + by if self._segment_id in ids else 0
            self._on_choose(ids[place % len(ids)])

    def update(self) -> None:
        """Bring it in line with the scene."""
        chosen = self._chosen()
        status = status_of(self._node, self._segment_id) if chosen else None
        for button, wanted in (
            (self._ui.completedButton, Status.COMPLETED),
            (self._ui.flaggedButton, Status.FLAGGED),
        ):
            button.enabled = chosen
            button.checked = status is wanted
        self._ui.reviewedLabel.text = self._words() if self._node is not None else ""
        self._ui.reviewedLabel.visible = bool(self._ui.reviewedLabel.text)

    def close(self) -> None:
        self._node = None

    def _chosen(self) -> bool:
        return self._node is not None and self._node.GetSegmentation().GetSegment(self._segment_id) is not None

    def _following(self, missing: list[str]) -> str:
        """The first of them after the chosen segment, or before it where none is after."""
        ids = list(self._node.GetSegmentation().GetSegmentIDs())
        after = [name for name in missing if ids.index(name) > ids.index(self._segment_id)]
        return (after or missing)[0]

    def _sign_off(self) -> None:
        try:
            sign_off(self._node, self._reviewer())
        except TransformerSegError as error:
            self._tell(error)

    def _reviewer(self) -> str:
        """Asked once, and remembered; "" where the person would not be named."""
        known = remembered_reviewer(self._settings)
        if known is None:
            title = _("Who reviews?")
            words = _("Your name is kept with what you review and export. It may be empty.")
            known = qt.QInputDialog.getText(slicer.util.mainWindow(), title, words) or ""
            remember_reviewer(self._settings, known)
        return known

    def _words(self) -> str:
        review = refresh_review(self._node, self._changed)
        self._changed = set()
        if review is not None:
            return f"{sign(GOOD)} {escaped(_told(review))}"
        count = self._node.GetSegmentation().GetNumberOfSegments()
        done = count - len(missing_for_review(self._node))
        return _("{done} of {count} segments completed").format(done=done, count=count) if count else ""


def _told(review: Review) -> str:
    when = datetime.fromisoformat(review.time).astimezone().strftime("%Y-%m-%d %H:%M")
    by = (
        _("Reviewed by {name}, {when}").format(name=review.by, when=when)
        if review.by
        else (_("Reviewed {when}").format(when=when))
    )
    if review.by_clicks is None or review.by_hand is None:
        return by
    return _("{reviewed}. Changed: {clicks} voxels by clicks, {hand} by hand").format(
        reviewed=by, clicks=review.by_clicks, hand=review.by_hand
    )
