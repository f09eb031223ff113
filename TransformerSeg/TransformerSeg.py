"""The Slicer module TransformerSeg: what Slicer looks for, each handing over to the library beside it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import slicer
from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from TransformerSegLib.jobs.queue import JobQueue
    from TransformerSegLib.panel.library_work import LibraryWork
    from TransformerSegLib.panel.pump import Pump
    from TransformerSegLib.panel.request import Request
    from TransformerSegLib.panel.run import Run
    from TransformerSegLib.panel.session import Session

DEFAULT_MODEL = "hippocampus_swin_unetr"


class TransformerSeg(ScriptedLoadableModule):
    """What Slicer's module selector shows."""

    def __init__(self, parent) -> None:
        super().__init__(parent)
        parent.title = _("TransformerSeg")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["SegmentEditor", "Markups", "Sequences"]
        parent.contributors = ["TransformerSeg contributors"]
        parent.helpText = _(
            "Segments CT and MR volumes with transformers (Swin UNETR, UNETR, Swin-Unet, TransUNet, UNesT) on this "
            "computer: choose a volume and a model, and press Segment. For research use, not for diagnosis."
        )
        parent.acknowledgementText = _(
            "The embedded model derives from the Medical Segmentation Decathlon (Antonelli et al., arXiv:2106.05735). "
            "Swin UNETR: Hatamizadeh et al., arXiv:2201.01266. UNETR: Hatamizadeh et al., arXiv:2103.10504. "
            "Swin-Unet: Cao et al., arXiv:2105.05537. TransUNet: Chen et al., arXiv:2102.04306. UNesT: Yu et al., "
            "arXiv:2209.14378."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:  # noqa: N802
    """Put the sample volumes into Slicer's Sample Data."""
    from TransformerSegLib.panel.sample_data import register_sample_data

    register_sample_data()


@parameterNodeWrapper
class TransformerSegParameterNode:
    """The panel's choices, saved with the scene.

    Attributes:
        inputs: name of the model's input → volume.
        region: only inside it.
        model: its name in the library.
        segmentation: to run into; none: a new one.
        unwantedClasses: names of the classes that were unticked.
        device, preset: as ``Request`` has them.
        smoothing: of the surfaces, 0…1.
        surfaces: show the result in 3D.
        allFrames: all frames of a sequence, not only the current one.
    """

    inputs: dict[str, vtkMRMLScalarVolumeNode]
    region: vtkMRMLMarkupsROINode
    model: str = DEFAULT_MODEL
    segmentation: vtkMRMLSegmentationNode
    unwantedClasses: list[str]  # noqa: N815
    device: str = "auto"
    preset: str = "standard"
    smoothing: Annotated[float, WithinRange(0, 1)] = 0.5
    surfaces: bool = False
    allFrames: bool = False  # noqa: N815


class TransformerSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Puts the panel into Slicer's module panel, and tells it what Slicer tells a module."""

    def __init__(self, parent=None) -> None:
        self.logic = None
        self.panel = None
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)  # without a parent, this calls setup

    def setup(self) -> None:
        from TransformerSegLib.panel.panel import Panel

        super().setup()
        self.logic = TransformerSegLogic()
        self.panel = Panel(self.logic.session, self.logic.libraryWork, slicer.app.userSettings())
        self.layout.addWidget(self.panel.widget)
        for event, called in (
            (slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose),
            (slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose),
            (slicer.mrmlScene.EndImportEvent, self.onSceneEndClose),
        ):
            self.addObserver(slicer.mrmlScene, event, called)
        if self.isShown:  # Slicer's Reload button sets a module up anew, but does not enter it again
            self.enter()

    @property
    def isShown(self) -> bool:  # noqa: N802
        """A widget that was made without Slicer's module panel is a window of its own."""
        return getattr(self.parent, "isEntered", True)

    def enter(self) -> None:
        self.showParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        self.panel.exit()

    def cleanup(self) -> None:
        self.removeObservers()
        if self.panel is not None:
            self.panel.set_parameter_node(None)
            self.panel.close()
        if self.logic is not None:
            self.logic.close()

    def onSceneStartClose(self, caller, event) -> None:  # noqa: N802
        self.panel.set_parameter_node(None)

    def onSceneEndClose(self, caller, event) -> None:  # noqa: N802
        if self.isShown:
            self.showParameterNode()

    def showParameterNode(self) -> None:  # noqa: N802
        self.panel.set_parameter_node(self.logic.getParameterNode())


class TransformerSegLogic(ScriptedLoadableModuleLogic):
    """The scripting interface.

    Example:
        >>> logic = slicer.util.getModuleLogic("TransformerSeg")  # doctest: +SKIP
        >>> node = logic.segment(slicer.util.getNode("MRHead"), acceptMismatch=True)  # doctest: +SKIP
        >>> logic.runRecords(node)[-1]["model"]  # doctest: +SKIP
        'hippocampus_swin_unetr'
    """

    def __init__(self) -> None:
        super().__init__()
        self._session: Session | None = None
        self._library_work: LibraryWork | None = None
        self._pumps: list[Pump] = []

    def getParameterNode(self) -> TransformerSegParameterNode:  # noqa: N802
        return TransformerSegParameterNode(super().getParameterNode())

    @property
    def session(self) -> "Session":
        """What does the work; made when it is first needed."""
        if self._session is None:
            from TransformerSegLib.bundles.library import ModelLibrary
            from TransformerSegLib.panel.packages import Packages
            from TransformerSegLib.panel.session import Session
            from TransformerSegLib.panel.settings import models_folder

            settings = slicer.app.userSettings()
            usual = Path(slicer.app.slicerUserSettingsFilePath).parent / "TransformerSeg" / "Models"
            models = ModelLibrary(models_folder(settings, usual))
            queue, pump = self._workersQueue()
            self._session = Session(slicer.mrmlScene, queue, models, Packages(), settings, pump.start)
        return self._session

    @property
    def libraryWork(self) -> "LibraryWork":  # noqa: N802
        """What downloads, imports and moves models; made when it is first needed."""
        if self._library_work is None:
            from TransformerSegLib.panel.library_work import LibraryWork

            queue, pump = self._workersQueue()
            self._library_work = LibraryWork(self.session.models, queue, pump.start)
        return self._library_work

    def _workersQueue(self) -> "tuple[JobQueue, Pump]":  # noqa: N802
        """A worker with its queue, and what lets it run while Slicer's window waits for its user."""
        from TransformerSegLib.jobs.queue import JobQueue
        from TransformerSegLib.panel.pump import Pump

        queue = JobQueue()
        self._pumps.append(Pump(queue))
        return queue, self._pumps[-1]

    def segment(
        self,
        volumeNode: vtkMRMLScalarVolumeNode | Sequence[vtkMRMLScalarVolumeNode],  # noqa: N803
        model: str = DEFAULT_MODEL,
        segmentationNode: vtkMRMLSegmentationNode | None = None,  # noqa: N803
        region: vtkMRMLMarkupsROINode | None = None,
        classes: Sequence[str] | None = None,
        device: str = "auto",
        acceptMismatch: bool = False,  # noqa: N803
        **options,
    ) -> vtkMRMLSegmentationNode:
        """Segment, and return when it is done.

        Args:
            volumeNode: the volume, or a list with one volume per input of the model, in its order.
            model: its name in the library.
            segmentationNode: to run into: what a person edited in it is kept; none: a new one.
            region: segment only inside it.
            classes: names of those that are wanted; none: all.
            device: "auto", "cuda:0", "mps" or "cpu".
            acceptMismatch: segment although the volume is unlike what the model was trained on.
            **options: more fields of ``TransformerSegLib.panel.request.Request``: ``preset``, ``surfaces``,
                ``smoothing``, ``all_frames``.

        Raises:
            TransformerSegError: it cannot be done; the message says why, and what to do.
            Cancelled: the volume was deleted, or the scene closed, meanwhile.
        """
        return self.session.segment(
            _request(volumeNode, model, segmentationNode, region, classes, device, acceptMismatch, options)
        )

    def segmentInBackground(  # noqa: N802
        self,
        volumeNode: vtkMRMLScalarVolumeNode | Sequence[vtkMRMLScalarVolumeNode],  # noqa: N803
        model: str = DEFAULT_MODEL,
        segmentationNode: vtkMRMLSegmentationNode | None = None,  # noqa: N803
        region: vtkMRMLMarkupsROINode | None = None,
        classes: Sequence[str] | None = None,
        device: str = "auto",
        acceptMismatch: bool = False,  # noqa: N803
        onFinished: Callable[["Run"], None] | None = None,  # noqa: N803
        **options,
    ) -> "Run":
        """Segment while Slicer goes on; arguments as for ``segment``.

        Args:
            onFinished: called with the run when it is done, failed or cancelled: ``run.node`` is the segmentation,
                ``run.error`` says why it failed.

        Returns:
            the run: ``run.state``, ``run.words``; ``logic.cancel(run)`` stops it.
        """

        def on_change(run: "Run") -> None:
            if run.finished and onFinished is not None:
                onFinished(run)

        return self.session.submit(
            _request(volumeNode, model, segmentationNode, region, classes, device, acceptMismatch, options), on_change
        )

    def cancel(self, run: "Run") -> None:
        """Stop a run; nothing of it goes into the scene."""
        self.session.cancel(run)

    def undo(self, node: vtkMRMLSegmentationNode) -> str:
        """Take the last run back, and keep what a person drew since; returns what was done, in words."""
        return self.session.undo(node)

    def runRecords(self, node: vtkMRMLSegmentationNode) -> list[dict]:  # noqa: N802
        """Of each run into a segmentation: model, version, weights_sha256, options, device, time, seconds."""
        from TransformerSegLib.scene.run_records import run_records

        return run_records(node)

    def close(self) -> None:
        """Cancel what runs, and end the workers."""
        for each in (self._library_work, self._session, *self._pumps):
            if each is not None:
                each.close()
        self._session = self._library_work = None
        self._pumps = []


def _request(volumes, model, target, region, classes, device, accept_mismatch, options) -> "Request":
    from TransformerSegLib.inference.presets import Preset
    from TransformerSegLib.panel.request import Request

    nodes = (volumes,) if isinstance(volumes, vtkMRMLScalarVolumeNode) else tuple(volumes)
    wanted = None if classes is None else tuple(classes)
    options = {"surfaces": False, **options, "preset": Preset(options.get("preset", Preset.STANDARD))}
    return Request(nodes, model, region, target, wanted, device, accept_mismatch=accept_mismatch, **options)


class TransformerSegTest(ScriptedLoadableModuleTest):
    """Slicer's own test of the module: the sample volume, segmented by the embedded model."""

    def runTest(self) -> None:  # noqa: N802
        slicer.mrmlScene.Clear()
        self.test_sample_volume_is_segmented()

    def test_sample_volume_is_segmented(self) -> None:
        """Where the Python packages are not installed, as on Slicer's build machines, there is nothing to run."""
        logic = TransformerSegLogic()
        try:
            if logic.session.packages.missing():
                self.delayDisplay(_("Skipped: Python packages are missing"))
                return
            from TransformerSegLib.panel.sample_data import load_sample

            node = logic.segment(load_sample())
            self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 2)  # noqa: PT009
        finally:
            logic.close()
        self.delayDisplay(_("Test passed"))
