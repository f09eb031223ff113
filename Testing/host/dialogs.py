"""Who answers modal dialogs: the test, beforehand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

Answer = bool | int | str | Path | list | None | Callable


class UnansweredDialog(AssertionError):
    """A dialog was opened that the test had no answer for. In Slicer it would wait for a person."""


class Dialogs:
    """What dialogs asked, and what they are told."""

    def __init__(self):
        self.asked: list[str] = []
        """The text of each dialog, in order: title, text, details, or what a file dialog is titled."""
        self._answers: deque[Answer] = deque()

    def answer(self, *answers: Answer) -> None:
        """Queue answers, one for each dialog to come.

        - A message: True presses its accepting button (OK, Yes, …), False its rejecting one; a number, or a text, the
          button that it names.
        - A file dialog: the path; a list of paths where several may be chosen; "" cancels.
        - An input dialog: the text or number; None cancels.
        - Any other dialog: True accepts, False rejects; a function is called with it, and may press its buttons.
        - A menu: the text of its entry; "" closes it.
        """
        self._answers.extend(answers)

    @property
    def unused(self) -> list[Answer]:
        """Answers to dialogs that never came."""
        return list(self._answers)

    def ask(self, *texts: str) -> Answer:
        """Called by the stand-ins in place of showing a dialog. Raises UnansweredDialog."""
        question = "\n".join(text.strip() for text in texts if text and text.strip())
        self.asked.append(question)
        if not self._answers:
            raise UnansweredDialog(f"A dialog asked, and the test has no answer for it:\n{question}")
        return self._answers.popleft()


_current: list[Dialogs] = []


def answered_by(dialogs: Dialogs | None) -> None:
    """Name who answers from now on."""
    _current[:] = [] if dialogs is None else [dialogs]


def ask(*texts: str) -> Answer:
    if not _current:
        raise UnansweredDialog(f"A dialog asked while no Host was open: {texts}")
    return _current[0].ask(*texts)
