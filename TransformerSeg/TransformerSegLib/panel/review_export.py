"""Review: what was reviewed, to files."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.jobs.job import Job, JobState
from TransformerSegLib.panel.background import Background
from TransformerSegLib.panel.packages import EXPORT_REQUIREMENTS, Packages
from TransformerSegLib.panel.remedies import for_panel

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

WRITERS_MODULES = (
    *("highdicom", "highdicom.seg", "highdicom.color", "highdicom.sr", "pydicom.sr.codedict"),
    *(f"TransformerSegLib.export.{name}" for name in ("dicom_seg", "dicom_source", "dicom_segment")),
)
"""What the worker would import: that is done on the main thread, where importing is safe in Slicer."""


class ReviewExport:
    """The button with its menu, and what it says meanwhile.

    A DICOM segmentation takes seconds, and is written in the background, from copies: the review may go on, and a scene
    that is closed takes nothing away. Surfaces are VTK's and Slicer's work, which only the main thread may do.

    Args:
        ui: the section's widgets.
        tell: shows an error, or None.
        say: shows what was done; and whether it is a success.
    """

    def __init__(
        self,
        ui: SimpleNamespace,
        tell: Callable[[TransformerSegError | None], None],
        say: Callable[[str, bool], None],
    ) -> None:
        self._ui, self._tell, self._say = ui, tell, say
        self._node: vtkMRMLSegmentationNode | None = None
        self._volume: vtkMRMLScalarVolumeNode | None = None
        self._packages = Packages(EXPORT_REQUIREMENTS, button="Export")
        self._background = Background()
        self._menu = qt.QMenu(ui.exportReviewButton)
        for title, export in (
            (_("DICOM segmentation …"), self.dicom),
            (_("Surfaces (STL) …"), self.surfaces),
            (_("Volumes and changes (CSV) …"), self.volumes),
        ):
            action = qt.QAction(title, self._menu)
            action.connect("triggered(bool)", lambda checked, export=export: self._tried(export))
            self._menu.addAction(action)
        ui.exportReviewButton.setMenu(self._menu)
        ui.cancelExportButton.connect("clicked(bool)", lambda checked: self._cancel())
        self._update()

    def show(self, node: vtkMRMLSegmentationNode | None, volume: vtkMRMLScalarVolumeNode | None) -> None:
        """Which segmentation, of which volume; None: there is none."""
        self._node, self._volume = node, volume
        self._update()

    def dicom(self) -> None:
        from TransformerSegLib.scene.dicom_export import dicom_export

        path = self._asked(_("Export as DICOM segmentation"), ".dcm", _("DICOM files (*.dcm)"))
        if path is None:
            return
        if self._packages.missing():
            self._packages.install()
        self._announce(_("Writing {file} …").format(file=path.name))
        for name in WRITERS_MODULES:
            importlib.import_module(name)
        export = dicom_export(self._node, self._volume)
        write = partial(export.write, path, overwrite=True)  # the dialog has asked
        self._background.start(path.name, lambda cancel: write(cancel=cancel), self._on_end)
        self._update()

    def surfaces(self) -> None:
        from TransformerSegLib.scene.surfaces import write_surfaces

        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the surfaces"))
        if folder:
            self._announce(_("Making surfaces: Slicer waits for them …"))
            written = write_surfaces(self._node, Path(folder))
            number = len(written)
            words = _("1 file is in {folder}.") if number == 1 else _("{number} files are in {folder}.")
            self._say(words.format(number=number, folder=Path(folder).name), True)

    def volumes(self) -> None:
        from TransformerSegLib.export.volume_table import write_volumes
        from TransformerSegLib.scene.volume_rows import volume_rows

        path = self._asked(_("Export volumes and changes"), ".csv", _("Tables (*.csv)"))
        if path is not None:
            write_volumes(path, volume_rows(self._node))
            self._say(_("Exported to {file}.").format(file=path.name), True)

    def close(self) -> None:
        """Let go of the nodes; what is being written is copies of them, and goes on."""
        self._node = self._volume = None

    def end(self) -> None:
        """The panel is left for good."""
        self._background.close()

    def _update(self) -> None:
        busy = self._background.busy
        self._ui.exportReviewButton.enabled = self._node is not None and not busy
        self._ui.cancelExportButton.visible = busy
        self._menu.actions()[0].setEnabled(self._volume is not None)

    def _announce(self, words: str) -> None:
        """Before the window stands still for a moment."""
        self._say(words, False)
        self._ui.reviewArea.layout().activate()
        self._ui.reviewArea.repaint()

    def _cancel(self) -> None:
        self._background.cancel()
        self._say(_("Cancelling …"), False)

    def _on_end(self, job: Job) -> None:
        self._update()
        match job.state:
            case JobState.DONE:
                self._say(_("Exported to {file}.").format(file=job.title), True)
            case JobState.CANCELLED:
                self._say(_("Cancelled: nothing was written."), False)
            case _:
                self._tell(for_panel(job.error))

    def _tried(self, export: Callable[[], None]) -> None:
        self._tell(None)
        try:
            export()
        except TransformerSegError as error:
            self._tell(error)

    def _asked(self, title: str, suffix: str, kinds: str) -> Path | None:
        suggestion = re.sub(r'[\\/:*?"<>|]', "_", f"{self._node.GetName()}{suffix}")
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, suggestion, kinds)
        return Path(path) if path else None
