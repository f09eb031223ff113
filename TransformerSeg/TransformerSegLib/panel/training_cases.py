"""Which cases a training takes: chosen on disk, or written there from what was corrected in the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from TransformerSegLib.errors import TrainingDataRejected, TransformerSegError
from TransformerSegLib.panel.phrases import breakable, escaped, explained
from TransformerSegLib.scene.corrected_cases import completed_cases, write_cases

if TYPE_CHECKING:
    from TransformerSegLib.training.data_list import DataList


class TrainingCases:
    """The button “Choose …” with its menu, and what it says of the chosen cases.

    Args:
        button: gets the menu.
        label: says what was chosen.
        on_chosen: called when something was chosen.

    Attributes:
        path: a folder or a data list; None where nothing that can be used is chosen.
    """

    def __init__(self, button: qt.QPushButton, label: qt.QLabel, on_chosen: Callable[[], None]) -> None:
        self.path: Path | None = None
        self._label, self._on_chosen = label, on_chosen
        label.visible = False
        menu = qt.QMenu(button)
        for text, choose in (
            (_("A folder …"), self._choose_folder),
            (_("A data list (JSON) …"), self._choose_list),
            (_("Those completed in this scene …"), self._write_completed),
        ):
            action = qt.QAction(text, menu)
            action.connect("triggered(bool)", lambda checked, choose=choose: choose())
            menu.addAction(action)
        button.setMenu(menu)

    def choose(self, path: Path) -> None:
        """Take these cases, if they can be read."""
        try:
            data = _read(path)
        except TransformerSegError as error:
            self._refuse(error)
            return
        self.path = path
        told = _described(data) if data else [_("They are looked at once Python packages are installed.")]
        self._say("<br>".join([f"<b>{breakable(escaped(path))}</b>", *map(escaped, told)]))

    def _choose_folder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of cases"), self._last)
        if path:
            self.choose(Path(path))

    def _choose_list(self) -> None:
        title, files = _("Data list"), _("Data lists (*.json)")
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, self._last, files)
        if path:
            self.choose(Path(path))

    def _write_completed(self) -> None:
        """Add them to a folder, which may hold those of other scenes."""
        cases = completed_cases(slicer.mrmlScene)
        if not cases:
            self._refuse(
                TrainingDataRejected(
                    _("No segmentation in this scene is completed"),
                    why=_("only what a person has looked at is trained on"),
                    remedy=_("Set the status of each of its segments to “completed”, under Correct"),
                )
            )
            return
        title = _("Folder to which {number} completed cases are added").format(number=len(cases))
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, self._last)
        if not path:
            return
        try:
            write_cases(cases, Path(path))
        except TransformerSegError as error:
            self._refuse(error)
            return
        self.choose(Path(path))

    @property
    def _last(self) -> str:
        return str(self.path) if self.path else ""

    def _refuse(self, error: TransformerSegError) -> None:
        self.path = None
        self._say(explained(error))

    def _say(self, text: str) -> None:
        self._label.text = text
        self._label.visible = True
        self._on_chosen()


def _read(path: Path) -> DataList | None:
    """None while packages to read them are missing; the training looks at them itself."""
    try:
        from TransformerSegLib.training.data_list import read_data
    except ModuleNotFoundError:
        return None
    return read_data(path)


def _described(data: DataList) -> Sequence[str]:
    """How many, and what a person should know of them."""
    number = len(data.cases)
    return (_("1 case") if number == 1 else _("{number} cases").format(number=number), *data.notes)
