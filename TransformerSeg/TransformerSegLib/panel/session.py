"""The session: what the panel and the scripting interface do with the engine and the scene."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from TransformerSegLib.errors import Cancelled, InputMismatch, TransformerSegError
from TransformerSegLib.inference.offering import is_known, why_not
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.panel.checking import InputCheck, Verdict, check_classes, check_inputs, refused, unchecked
from TransformerSegLib.panel.forecasting import Forecast, expected_device, forecast_run
from TransformerSegLib.panel.redaction import Redaction
from TransformerSegLib.panel.report import facts_of, report_text
from TransformerSegLib.panel.request import Request
from TransformerSegLib.panel.run import OnRun, Run
from TransformerSegLib.panel.runner import Runner
from TransformerSegLib.panel.settings import Settings
from TransformerSegLib.panel.undertaking import Undertaking

if TYPE_CHECKING:
    import slicer

    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.bundles.library import ModelLibrary
    from TransformerSegLib.inference.devices import Device
    from TransformerSegLib.jobs.queue import JobQueue
    from TransformerSegLib.panel.packages import Packages

HEAVY_PACKAGES = ("torch", "monai")
WORKERS_MODULES = (
    *(f"TransformerSegLib.inference.{name}" for name in ("segmenter", "proposal", "statistics")),
    *(
        f"TransformerSegLib.interaction.{name}"
        for name in ("doubt", "score_keeper", "trained_refiner", "refiner_card", "refiner_module", "refining")
    ),
)


class Session:
    """Runs over the nodes of one scene. Everything is called on the main thread, and calls back on it.

    Args:
        scene: whose nodes are segmented.
        queue: of background jobs; the session closes it.
        models: the library.
        packages: what has to be installed, and its installer.
        settings: ``value(key, default)`` and ``setValue(key, value)``, as QSettings has them.
        keep_pumping: called whenever there is something to pump: starts what calls ``queue.pump()`` while the queue
            is busy (``Pump.start``). Nothing for a script that only ever blocks.

    Attributes:
        models, packages: as given.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        queue: JobQueue,
        models: ModelLibrary,
        packages: Packages,
        settings: Settings,
        keep_pumping: Callable[[], None] = lambda: None,
    ) -> None:
        self.models = models
        self.packages = packages
        self._scene = scene
        self._settings = settings
        self._bundles: dict[str, tuple[object, Bundle]] = {}
        self._mismatches: dict[tuple[object, ...], InputMismatch] = {}
        self._runner = Runner(scene, queue, settings, keep_pumping)

    # Before the run

    def bundle(self, model: str) -> Bundle | None:
        """The model, read once and kept until its files change; None while packages to read it are missing.

        Raises:
            BundleRejected: there is none of that name, or it cannot be used.
        """
        kept = self._bundles.get(model)
        if kept is not None and kept[0] == _stamp(kept[1]):
            return kept[1]
        try:
            bundle = self.models.bundle(model)
        except ModuleNotFoundError:
            return None
        self._bundles[model] = (_stamp(bundle), bundle)
        return bundle

    def refused_presets(self, model: str, device: str) -> dict[Preset, str]:
        """The presets that the model cannot be run with on that device, and why; as long as nothing has read the model
        yet, only what the device says."""
        _, bundle = self._bundles.get(model, (None, None))
        expected = expected_device(device, self._settings) or device
        reasons = {preset: why_not(preset, bundle, expected) for preset in Preset}
        return {preset: reason for preset, reason in reasons.items() if reason is not None}

    def knows_of(self, preset: Preset, device: str) -> bool:
        """Whether it is known yet that the preset can be had on that device, or not."""
        return is_known(preset, expected_device(device, self._settings) or device)

    def propose_inputs(
        self, model: str, shown: slicer.vtkMRMLScalarVolumeNode | None
    ) -> dict[str, slicer.vtkMRMLScalarVolumeNode | None]:
        """Which nodes to pre-fill the selectors with: input name → node. Empty while packages are missing.

        Raises:
            BundleRejected: the model cannot be used.
        """
        bundle = self.bundle(model)
        if bundle is None:
            return {}
        from TransformerSegLib.scene.inputs import propose_inputs

        return propose_inputs(self._scene, bundle.card, shown)

    def check(self, request: Request) -> InputCheck:
        """Whether the input suits the model, at once: looks at headers and at a sample of the voxels. Never raises
        what a person can bring about."""
        try:
            bundle = self.bundle(request.model)
        except TransformerSegError as error:
            return refused(error)
        if bundle is None:
            return unchecked()
        check = check_inputs(request, bundle.card)
        mismatch = self._mismatches.get(_key(request))
        if check.verdict is Verdict.FITS and mismatch is not None:
            return InputCheck(mismatch.what, Verdict.CONFIRM, mismatch)
        return check

    def forecast(self, request: Request) -> Forecast | None:
        """What the run will take; None where the input is refused, or packages are missing."""
        if self.check(request).verdict not in (Verdict.FITS, Verdict.CONFIRM):
            return None
        try:
            return forecast_run(request, self.bundle(request.model), _frames(request), self._settings)
        except TransformerSegError:
            return None

    def place_region(self, request: Request) -> slicer.vtkMRMLMarkupsROINode:
        """Add a region of the size that the model was trained on, in the middle of the volume, to be dragged; where
        the model takes any size, half as long as the volume.

        Raises:
            TransformerSegError: the model cannot be used, or the volume has no voxels.
        """
        from TransformerSegLib.scene.inputs import glance
        from TransformerSegLib.scene.regions import place_region, suggested_size

        node = request.volumes[0]
        size = suggested_size(self.bundle(request.model).card) or [length / 2 for length in glance(node).extent]
        return place_region(self._scene, node, size)

    def devices(self) -> list[Device]:
        """What can be chosen. Before PyTorch is loaded: the CPU alone (nothing is imported to find out)."""
        from TransformerSegLib.inference.devices import CPU, Device, available_devices, computer_memory

        if "torch" not in sys.modules:
            return [Device(CPU, "CPU", *computer_memory())]
        return available_devices()

    def load_engine(self, announce: Callable[[str], None]) -> None:
        """PyTorch, MONAI and all that workers import with them, on the main thread, where importing is safe in Slicer.
        What is missing is installed first, after asking.

        Args:
            announce: is told beforehand what blocks for some seconds, and has to paint before it returns.

        Raises:
            PackagesMissing: they are not installed, and could not be.
        """
        if self.packages.missing():
            announce(_("Installing Python packages …"))
            self.packages.install()
        first_time = any(name not in sys.modules for name in HEAVY_PACKAGES)
        if first_time:
            announce(_("Loading PyTorch (once per session) …"))
        for name in (*HEAVY_PACKAGES, *WORKERS_MODULES):
            importlib.import_module(name)
        if first_time:
            # Else each later search for garbage goes through all of PyTorch, and the window stands still for 0.2 s.
            gc.collect()
            gc.freeze()

    # The run

    def submit(self, request: Request, on_change: OnRun = lambda run: None) -> Run:
        """Prepare a run and queue it. What prevents it is told by the run (FAILED, with its error), never raised.

        Installs missing packages (after asking), loads PyTorch the first time, copies the voxels. Before PyTorch is
        loaded, which blocks for some seconds, ``on_change`` is called with PREPARING and words that announce it; it
        has to paint before it returns (``QWidget.repaint``).

        Args:
            request: what to do.
            on_change: called on the main thread whenever something of the run changed; the last time when it is
                finished.
        """
        key = _key(request)

        def remember_mismatch(run: Run) -> None:
            """The run looked at every voxel, the check at a sample; what only the run found is to be confirmed too."""
            if isinstance(run.error, InputMismatch):
                self._mismatches[key] = run.error
            on_change(run)

        run = Run(_title(request, None), scene=self._scene)
        self._runner.start(Undertaking(run, request, remember_mismatch, self._scene), self._prepare)
        return run

    def segment(self, request: Request) -> slicer.vtkMRMLSegmentationNode:
        """Blocking: submit, wait, and return the segmentation.

        Raises:
            TransformerSegError: why it failed.
            Cancelled: it was cancelled meanwhile, by the scene being closed for instance.
        """
        run = self.submit(request)
        try:
            self._runner.wait(run)
        except BaseException:
            self.cancel(run)
            raise
        if run.error is not None:
            raise run.error
        if run.node is None:
            raise Cancelled(run.words)
        return run.node

    def cancel(self, run: Run) -> None:
        """Ask for an end; nothing of the run goes into the scene. Nothing for a finished one."""
        self._runner.cancel(run)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Those not finished: the running one first, then the waiting ones in their order."""
        return self._runner.runs

    # After the run

    def made(self, node: slicer.vtkMRMLSegmentationNode, request: Request) -> bool:
        """Whether the model of a request is the one that made a segmentation last."""
        from TransformerSegLib.scene.run_records import run_records

        try:
            bundle = self.bundle(request.model)
        except TransformerSegError:
            return False
        records = run_records(node)
        return bundle is not None and bool(records) and records[-1].get("model") == bundle.card.name

    def undo(self, node: slicer.vtkMRMLSegmentationNode) -> str:
        """Take the last run back; returns what was done, in words."""
        from TransformerSegLib.scene.undoing import undo_run

        return undo_run(node)

    def can_undo(self, node: slicer.vtkMRMLSegmentationNode | None) -> bool:
        """Whether there is a run to take back."""
        if node is None:
            return False
        from TransformerSegLib.scene.undoing import can_undo

        return can_undo(node)

    def report(self, subject: Run | BaseException) -> str:
        """What "Copy report" copies: versions, device, model, geometry, error, traceback; and no name of a patient,
        node, file or user."""
        if isinstance(subject, Run):
            return subject.report or report_text(subject.error, (), "", Redaction(self._scene))
        return report_text(subject, (), "", Redaction(self._scene))

    def close(self) -> None:
        """Cancel all, end the worker, let go of the scene. Safe to call twice."""
        self._runner.close()
        self._bundles.clear()

    # What comes before the queue

    def _prepare(self, undertaking: Undertaking) -> None:
        """Packages, checks, PyTorch; what is asked for is then known without the nodes.

        Raises:
            TransformerSegError: the run cannot be made.
        """
        request = undertaking.request
        self.load_engine(lambda words: self._announce(undertaking, words))
        check = self.check(request)
        bundle = undertaking.bundle = self.bundle(request.model)
        undertaking.run.title = _title(request, bundle)
        undertaking.facts = facts_of(request, bundle)
        to_be_confirmed = check.verdict is Verdict.CONFIRM and not request.accept_mismatch
        if check.verdict is Verdict.REFUSED or to_be_confirmed:
            raise check.error
        check_classes(request, bundle.card)
        undertaking.take_over()

    def _announce(self, undertaking: Undertaking, words: str) -> None:
        undertaking.run.words = words
        undertaking.tell()


def _title(request: Request, bundle: Bundle | None) -> str:
    """ "MR head: Hippocampus, Swin UNETR": what is segmented by what."""
    model = request.model if bundle is None else bundle.card.title
    names = [node.GetName() for node in request.volumes if node is not None]
    return f"{names[0]}: {model}" if names else model


def _key(request: Request) -> tuple[object, ...]:
    """Which voxels of which volumes by which model. (Another scene gives the same ids again.)"""
    return (request.model, *((node.GetID(), _changed_at(node)) for node in request.volumes if node is not None))


def _changed_at(node: slicer.vtkMRMLScalarVolumeNode) -> int | None:
    """When its voxels were last changed, on VTK's clock."""
    image = node.GetImageData()
    return None if image is None else image.GetMTime()


def _frames(request: Request) -> int:
    """How many volumes are segmented, one after the other."""
    if not request.all_frames:
        return 1
    from TransformerSegLib.scene.sequences import frames_of

    frames = frames_of(request.volumes[0])
    return 1 if frames is None else frames.count


def _stamp(bundle: Bundle) -> object:
    """Changes with the bundle's files."""
    files = (bundle.weights, bundle.folder / "configs" / "metadata.json", bundle.folder / "configs" / "inference.json")
    try:
        return tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    except OSError:
        return None
