"""One change of the models on this computer, as a row that is seen while it goes on, and afterwards where there is
something to say."""

from __future__ import annotations

import time
from collections.abc import Callable

from slicer.i18n import tr as _

from TransformerSegLib.inference.data_size import data_size
from TransformerSegLib.jobs.job import JobState
from TransformerSegLib.panel.library_work import Change, Kind
from TransformerSegLib.panel.loading import load_section
from TransformerSegLib.panel.phrases import BAD, GOOD, breakable, escaped, explained, sign, what_why_remedy

BAR_STEPS = 1000
"""Of the bar: bytes would not fit into Qt's whole numbers."""

STOPPABLE = (Kind.DOWNLOAD, Kind.IMPORT, Kind.EXPORT, Kind.MOVE)


class ChangeRow:
    """What goes on, how far it is, and what can be done about it.

    Args:
        change: is shown.
        on_cancel, on_again, on_close: called with the change when a person presses Cancel, Try again or Close.
    """

    def __init__(
        self,
        change: Change,
        on_cancel: Callable[[Change], None],
        on_again: Callable[[Change], None],
        on_close: Callable[[Change], None],
    ) -> None:
        self.widget, self._ui = load_section("Change")
        self.change = change
        self._ui.changeCancelButton.connect("clicked(bool)", lambda checked: on_cancel(change))
        self._ui.changeAgainButton.connect("clicked(bool)", lambda checked: on_again(change))
        self._ui.changeCloseButton.connect("clicked(bool)", lambda checked: on_close(change))
        if change.kind is Kind.DOWNLOAD:
            self._ui.changeCancelButton.toolTip = _("Stop. What came so far is kept, and gone on with another time.")
        self.update()

    def update(self) -> None:
        """Show how the change stands now."""
        change = self.change
        self._ui.changeLabel.text = _words(change)
        self._ui.changeBar.visible = not change.finished
        self._ui.changeCancelButton.visible = not change.finished and change.kind in STOPPABLE
        self._ui.changeCancelButton.enabled = change.state is not JobState.CANCELLING
        self._ui.changeCloseButton.visible = change.finished
        self._ui.changeAgainButton.visible = change.state is JobState.FAILED and change.kind is Kind.DOWNLOAD
        done, total = change.transfer.done, change.transfer.total
        self._ui.changeBar.maximum = BAR_STEPS if total else 0  # 0: the bar only shows that something goes on
        self._ui.changeBar.value = int(BAR_STEPS * min(done / total, 1)) if total else 0


def is_worth_reading(change: Change) -> bool:
    """Whether a finished change has something to say that the list of models does not show."""
    said = (Kind.EXPORT, Kind.MOVE, Kind.EMPTY)
    return change.state is JobState.FAILED or (change.state is JobState.DONE and change.kind in said)


def _words(change: Change) -> str:
    match change.state:
        case JobState.FAILED:
            return _failed(change)
        case JobState.DONE:
            return f"{sign(GOOD)} {breakable(escaped(_done(change)))}"
        case JobState.QUEUED:
            status = _("Waiting for its turn")
        case JobState.CANCELLING:
            status = _("Cancelling …")
        case _:
            status = change.transfer.words(time.monotonic())
    return "<br>".join(part for part in (f"<b>{breakable(escaped(_title(change)))}</b>", escaped(status)) if part)


def _title(change: Change) -> str:
    titles = {
        Kind.DOWNLOAD: _("Downloading “{subject}”"),
        Kind.IMPORT: _("Importing “{subject}”"),
        Kind.EXPORT: _("Packing “{subject}”"),
        Kind.REMOVE: _("Removing “{subject}”"),
        Kind.MOVE: _("Moving the models to {subject}"),
        Kind.EMPTY: _("Deleting the downloaded models"),
    }
    return titles[change.kind].format(subject=change.subject)


def _failed(change: Change) -> str:
    """Of a download with the model's title: another may be selected by then, and a server's answer names none."""
    if change.kind is not Kind.DOWNLOAD:
        return explained(change.error)
    title = _("“{subject}” was not downloaded").format(subject=change.subject)
    return f"{sign(BAD)} {breakable(escaped(title))}<br>{what_why_remedy(change.error)}"


def _done(change: Change) -> str:
    match change.kind:
        case Kind.EXPORT:
            return _("“{subject}” is packed into {file}").format(subject=change.subject, file=change.result.name)
        case Kind.MOVE:
            return _("The models are in {subject} now").format(subject=change.subject)
        case Kind.EMPTY:
            return _("{size} are free again").format(size=data_size(change.result))
    return ""
