"""A person at the panel: finds things by what they are called, clicks, waits, reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import slicer
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QShortcut
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from TransformerSegLib.resources import resources_folder

from host import Host

MODULE = resources_folder().parent / "TransformerSeg.py"
SAMPLE = resources_folder() / "SampleData" / "hippocampus_297.nii.gz"

LONGEST_RUN = 120
"""Seconds that a person waits for a small volume on a slow computer."""


class PanelUser:
    """Opens the module in a host, and does with its panel what a mouse and two eyes can do.

    Args:
        host: is opened and closed by the caller.
        catalogue: of models to be downloaded, in the place of the one that ships with the library.
        models_folder: chosen in an earlier session.
    """

    def __init__(self, host: Host, catalogue: Path | None = None, models_folder: Path | None = None) -> None:
        self.host = host
        if models_folder is not None:
            slicer.app.userSettings().setValue("TransformerSeg/ModelsFolder", str(models_folder))
        self.opened = host.open_module(MODULE)
        if catalogue is not None:
            self.list_catalogue(catalogue)
        self.wait()

    @property
    def panel(self):
        """The panel's Python object, for what has no widget."""
        return self.opened.widget.panel

    @property
    def ui(self) -> SimpleNamespace:
        """Every widget, by its name."""
        return slicer.util.childWidgetVariables(self.opened.panel)

    # Waiting

    def wait(self, seconds: float = 0.15) -> None:
        """As long as the panel needs to take up what changed."""
        self.host.process_events(seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float = LONGEST_RUN) -> None:
        self.host.wait_until(condition, seconds)

    def wait_for_end(self) -> None:
        """Until nothing runs, and the panel has taken up what came of it, which a busy computer puts off."""
        self.wait_until(lambda: not self.opened.logic.session.runs)
        self.wait()
        self.wait_until(self._has_settled)

    def wait_for_models(self) -> None:
        """Until no model is downloaded, imported, packed, removed or moved any more."""
        self.wait_until(lambda: not self.opened.logic.libraryWork.changes)
        self.wait()

    def _has_settled(self) -> bool:
        panel = self.panel
        return panel is None or not any(timer.isActive() for timer in (panel._soon, panel._taking_up, panel._opening))

    def list_catalogue(self, catalogue: Path) -> None:
        """Have the models of another catalogue listed."""
        self.opened.logic.session.models.catalogue = catalogue
        self.panel.list_models()
        self.wait()

    # Looking

    def sees(self, name: str) -> bool:
        return getattr(self.ui, name).isVisible()

    def reads(self, name: str) -> str:
        """The text of a widget that can be seen, without its markup."""
        widget = getattr(self.ui, name)
        assert widget.isVisible(), f"{name} cannot be seen"
        return plain(widget.text)

    def table(self) -> list[list[str]]:
        """The texts of the table of segments, row by row."""
        table = self.ui.segmentTable
        return [[table.item(row, column).text() for column in (1, 2, 3)] for row in range(table.rowCount)]

    def models(self) -> list[str]:
        """The titles that the list of models shows."""
        items = [self.ui.modelList.item(row) for row in range(self.ui.modelList.count)]
        return [item.text().splitlines()[0] for item in items if not item.isHidden()]

    def model_row(self, title: str) -> str:
        """What the list says of a model."""
        items = (self.ui.modelList.item(row) for row in range(self.ui.modelList.count))
        [row] = (rest for first, rest in (item.text().splitlines() for item in items) if first == title)
        return row

    def models_folder(self) -> Path:
        return self.opened.logic.session.models.folder

    def changes(self) -> list[str]:
        """What is said of downloads, imports, … that go on, or that have ended and have something to say."""
        labels = slicer.util.findChildren(self.ui.changesArea, name="changeLabel")
        return [plain(label.text) for label in labels if label.isVisible()]

    def panel_model(self) -> str:
        """The title of the chosen model."""
        return self.ui.modelList.currentItem().text().splitlines()[0]

    def result(self) -> slicer.vtkMRMLSegmentationNode:
        """The only segmentation in the scene."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", self.host.scene)
        assert len(nodes) == 1
        return nodes[0]

    # Doing

    def load(self, path: Path = SAMPLE, name: str | None = None, **dicom: str) -> slicer.vtkMRMLScalarVolumeNode:
        """Load a volume; it is shown in the slice views, as whatever Slicer loads."""
        node = self.host.load_volume_node(path, **dicom)
        if name is not None:
            node.SetName(name)
        self.show(node)
        return node

    def show(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """In the slice views."""
        slicer.util.setSliceViewerLayers(background=node)
        self.wait()

    def click(self, name: str) -> None:
        """Press a button or a checkbox, if a person could."""
        widget = getattr(self.ui, name)
        assert widget.isVisible(), f"{name} cannot be seen"
        assert widget.enabled, f"{name} is disabled: {widget.toolTip}"
        widget.click()
        self.wait()

    def press(self, key: str) -> None:
        """A key, in Slicer's main window; it must be some shortcut's."""
        shortcuts = slicer.util.mainWindow().findChildren(QShortcut)
        [shortcut] = [each for each in shortcuts if each.property("key").toString() == key]
        shortcut.activated.emit()
        self.wait()

    def keys(self) -> list[str]:
        """All that have a shortcut now."""
        return [each.property("key").toString() for each in slicer.util.mainWindow().findChildren(QShortcut)]

    def point_at(self, world) -> None:
        """With the mouse, in a slice view; None: out of the views."""
        crosshair = self.host.scene.GetSingletonNode("default", "vtkMRMLCrosshairNode")
        if world is None:
            crosshair.SetCursorPositionInvalid()
        else:
            crosshair.SetCursorPositionRAS(list(world))

    def segment(self) -> None:
        """Press Segment, and wait for what comes of it."""
        self.click("segmentButton")
        self.wait_for_end()

    def choose_model(self, title: str) -> None:
        row = self.models().index(title)
        self.ui.modelList.setCurrentRow(row)
        self.wait()

    def choose_cases(self, path: Path | str) -> None:
        """To train on, from the menu: a folder, or a data list; "": closes the dialog."""
        self._press_in(self.ui.casesButton, 1 if Path(path).suffix == ".json" else 0, path)
        self.wait()

    def add_completed_cases(self, folder: Path | str) -> None:
        """Write what is completed in the scene to a folder, and choose that; "": closes the dialog."""
        self._press_in(self.ui.casesButton, 2, folder)
        self.wait()

    def stop_training(self) -> None:
        """Cancel it, if one goes on, and wait for its end."""
        if self.ui.cancelTrainingButton.isHidden():
            return
        self.ui.cancelTrainingButton.click()
        self.wait_until(self.ui.cancelTrainingButton.isHidden)

    def import_folder(self, folder: Path | str) -> None:
        """From the menu; "": closes the dialog."""
        self._import(0, folder)

    def import_zip(self, file: Path | str) -> None:
        self._import(1, file)

    def _import(self, entry: int, path: Path | str) -> None:
        self._press_in(self.ui.importButton, entry, path)
        self.wait_for_models()

    def _press_in(self, button, entry: int, path: Path | str) -> None:
        """An entry of a button's menu, and answer the dialog that it opens."""
        self.host.dialogs.answer(str(path))
        button.menu().actions()[entry].trigger()

    def drop(self, *paths: Path) -> bool:
        """Drag files from the system's file manager onto the list of models; whether they were taken."""
        dragged = QMimeData()
        dragged.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        target = self.ui.modelList.viewport()
        how = (Qt.DropAction.CopyAction, dragged, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
        events = (QDragEnterEvent(QPoint(5, 5), *how), QDropEvent(QPointF(5, 5), *how))
        for event in events:
            event.ignore()  # as it comes from the system
            QApplication.sendEvent(target, event)
        self.wait()
        return all(event.isAccepted() for event in events)

    def choose_input(self, channel: str, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        self.panel_input(channel).setCurrentNode(node)
        self.wait()

    def panel_input(self, channel: str):
        return getattr(self.ui, f"inputSelector_{channel}")

    def choose(self, selector: str, node: slicer.vtkMRMLNode | None) -> None:
        getattr(self.ui, selector).setCurrentNode(node)
        self.wait()

    def tick_structure(self, name: str, ticked: bool) -> None:
        if not self.sees("structuresList"):
            self.click("structuresButton")
        [item] = self.ui.structuresList.findItems(name, Qt.MatchFlag.MatchExactly)
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        self.wait()

    def click_segment(self, row: int, column: int = 1) -> None:
        """With the mouse, in the table of segments."""
        table = self.ui.segmentTable
        place: QPoint = table.visualItemRect(table.item(row, column)).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        self.wait()

    def fold(self, section: str, collapsed: bool) -> None:
        getattr(self.ui, section).collapsed = collapsed
        self.wait()


def plain(rich: str) -> str:
    """The text of rich text, without the places where its words may break."""
    from PySide6.QtGui import QTextDocument

    rich = rich.replace("\u200b", "")
    if not rich.lstrip().startswith("<") and "<" not in rich:
        return rich
    document = QTextDocument()
    document.setHtml(rich)
    return document.toPlainText()
