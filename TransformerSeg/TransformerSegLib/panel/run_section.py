"""Segment: the button, what it will take, how far it is, what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from TransformerSegLib.inference.parts import Part
from TransformerSegLib.inference.progress import Stage
from TransformerSegLib.panel.loading import load_section
from TransformerSegLib.panel.phrases import DOUBTFUL, GOOD, duration, escaped, explained, sign
from TransformerSegLib.panel.run import Run, RunState

_DOUBLE_CLICK_S = 0.25

_SHORT = 30
"""Letters of what is said of a run in which all was found."""


class RunSection:
    """What a person presses, and reads while waiting.

    Args:
        on_segment: Segment was pressed, or "Add to the queue".
        on_cancel: called with the run to be cancelled.
        on_copy_report: called with the failed run.
        on_undo: the last run is to be taken back.
    """

    def __init__(
        self,
        on_segment: Callable[[], None],
        on_cancel: Callable[[Run], None],
        on_copy_report: Callable[[Run], None],
        on_undo: Callable[[], None],
    ) -> None:
        self.widget, self._ui = load_section("Run")
        self._on_segment, self._on_cancel, self._on_copy_report = on_segment, on_cancel, on_copy_report
        self._running: Run | None = None
        self._failed: Run | None = None
        self._reason = ""
        self._pressed = 0.0
        self._waiting: dict[Run, object] = {}
        self._ui.segmentButton.connect("clicked(bool)", lambda checked: self._press())
        self._ui.queueButton.connect("clicked(bool)", lambda checked: self._on_segment())
        self._ui.packagesButton.connect("toggled(bool)", self._unfold_packages)
        self._ui.copyReportButton.connect("clicked(bool)", lambda checked: self._copy_report())
        self._ui.dismissButton.connect("clicked(bool)", lambda checked: self.show_error(None))
        self._ui.undoButton.connect("clicked(bool)", lambda checked: on_undo())
        self.show_packages("", "")
        self._unfold_packages(False)
        self.show_notes(())
        self.show_error(None)
        self.show_done("", can_undo=False)
        self.show_runs((), can_queue=False)

    def show_packages(self, summary: str, details: str) -> None:
        """What Segment will install first, its last line saying what to do; "": nothing is missing.

        Args:
            details: each package, with its version, its size and its source; on demand.
        """
        self._ui.packagesBox.visible = bool(summary)
        *lines, what_next = escaped(summary).split("<br>")
        self._ui.packagesLabel.text = "<br>".join([*lines, f"<b>{what_next}</b>"])
        self._ui.packagesDetails.text = escaped(details)

    def _unfold_packages(self, shown: bool) -> None:
        self._ui.packagesDetails.visible = shown
        self._ui.packagesButton.arrowType = qt.Qt.DownArrow if shown else qt.Qt.RightArrow

    def show_ready(self, reason: str, forecast: str) -> None:
        """Why Segment cannot be pressed ("": it can), and what it will take."""
        self._reason = reason
        self._ui.forecastLabel.text = escaped(forecast)
        self._update_button()

    def show_runs(self, runs: Sequence[Run], can_queue: bool) -> None:
        """The runs that are not finished, the running one first; whether what is chosen may be added to them."""
        self._running = runs[0] if runs else None
        self._ui.queueButton.visible = bool(runs) and can_queue
        self._update_button()
        self._update_progress()
        self._update_waiting(runs[1:])

    def announce(self, words: str) -> None:
        """Show at once what is about to block the window."""
        self._ui.segmentButton.enabled = False
        self._ui.segmentButton.text = _("Getting ready …")
        self._ui.reasonLabel.text = escaped(words)
        self._ui.forecastLabel.visible = False
        self._ui.reasonLabel.visible = True
        self.widget.layout().activate()
        self.widget.repaint()

    def show_error(self, run: Run | None) -> None:
        """Why a run failed; None: nothing to say."""
        self._failed = run
        self._ui.errorBox.visible = run is not None
        self._ui.copyReportButton.text = _("Copy report")
        if run is not None:
            self._ui.errorLabel.text = explained(run.error)

    def show_done(
        self, words: str, can_undo: bool, good: bool = True, what_next: str = "", time_taken: str = ""
    ) -> None:
        """What came of the last run; whether it can be taken back; what to do now; and how long its stages took, which
        where more is to be said is left to the tooltip."""
        self._ui.doneBox.visible = bool(words)
        time_line = time_taken if len(words) <= _SHORT else ""
        lines = [
            f"{sign(GOOD if good else DOUBTFUL)} {escaped(words)}",
            *map(escaped, filter(None, [time_line, what_next])),
        ]
        self._ui.doneLabel.text = "<br>".join(lines)
        self._ui.doneLabel.toolTip = time_taken
        self._ui.undoButton.visible = can_undo

    def show_notes(self, notes: Sequence[str]) -> None:
        """Sentences of a run that should be read once."""
        self._ui.notesLabel.visible = bool(notes)
        self._ui.notesLabel.text = "<br>".join(f"{sign(DOUBTFUL)} {escaped(note)}" for note in notes)

    def _press(self) -> None:
        if self._running is None:
            self._on_segment()
            self._pressed = time.monotonic()
        elif not self._is_second_half_of_double_click():
            self._on_cancel(self._running)

    def _is_second_half_of_double_click(self) -> bool:
        """Whoever double-clicks Segment does not mean to cancel what has not begun to segment."""
        progress = self._running.progress
        begun = progress is not None and progress.stage is Stage.SEGMENT
        return not begun and time.monotonic() - self._pressed < _DOUBLE_CLICK_S

    def _copy_report(self) -> None:
        self._on_copy_report(self._failed)
        self._ui.copyReportButton.text = _("Copied")

    def _update_button(self) -> None:
        button, run = self._ui.segmentButton, self._running
        if run is None:
            button.text, button.enabled = _("Segment"), not self._reason
            button.toolTip = self._reason or _("Segment what is chosen above.")
        elif run.state is RunState.CANCELLING:
            button.text, button.enabled = _("Cancelling …"), False
            button.toolTip = _("The run stops within one window or slice.")
        else:
            button.text, button.enabled = _("Cancel"), True
            button.toolTip = _("Stop this run; the scene stays as it is.")
        idle = run is None
        self._ui.reasonLabel.text = escaped(self._reason)
        self._ui.reasonLabel.visible = idle and bool(self._reason)
        self._ui.forecastLabel.visible = idle and not self._reason and bool(self._ui.forecastLabel.text)

    def _update_progress(self) -> None:
        run = self._running
        for widget in (self._ui.progressBar, self._ui.statusLabel):
            widget.visible = run is not None
        if run is None:
            return
        self._ui.statusLabel.text = f"<b>{escaped(run.title)}</b><br>{escaped(_status(run))}"
        bar, progress = self._ui.progressBar, run.progress
        counted = progress is not None and progress.stage is Stage.SEGMENT and progress.total > 0
        bar.maximum = progress.total if counted else 0
        bar.value = progress.done if counted else 0
        slices = progress is not None and progress.part is Part.SLICE
        bar.format = _("%v of %m slices") if slices else _("%v of %m windows")
        self.show_notes(run.notes)

    def _update_waiting(self, runs: Sequence[Run]) -> None:
        """A row for each run that waits, with a button that takes it out."""
        self._ui.queueArea.visible = bool(runs)
        if list(self._waiting) == list(runs):
            return
        for row in self._waiting.values():
            self._ui.queueLayout.removeWidget(row)
            row.deleteLater()
        self._waiting = {run: self._waiting_row(run) for run in runs}
        for row in self._waiting.values():
            self._ui.queueLayout.addWidget(row)

    def _waiting_row(self, run: Run) -> qt.QWidget:
        row = qt.QWidget()
        layout = qt.QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        label = qt.QLabel(_("Waiting: {title}").format(title=escaped(run.title)))
        label.wordWrap = True
        button = qt.QToolButton()
        button.text = "✕"
        button.toolTip = _("Take it out of the queue")
        button.connect("clicked(bool)", lambda checked: self._on_cancel(run))
        layout.addWidget(label, 1)
        layout.addWidget(button, 0)
        return row


def _status(run: Run) -> str:
    """What is going on, and for how long still."""
    parts = []
    if run.frames > 1:
        parts.append(_("Frame {number} of {count}").format(number=run.frame, count=run.frames))
    progress = run.progress
    if progress is not None and progress.stage is Stage.SEGMENT and run.state is RunState.RUNNING:
        if progress.seconds_left is not None:
            parts.append(_("about {time} left").format(time=duration(progress.seconds_left)))
        else:
            parts.append(_("segmenting"))
    else:
        parts.append(run.words)
    return ", ".join(part for part in parts if part)
