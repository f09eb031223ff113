"""Train: a model from one's own cases. Closed until somebody needs it.

The training is a process of its own; the section starts it, looks into its run folder now and then, and brings what
comes of it into the list of models.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from TransformerSegLib.bundles.bundle_copy import folder_name
from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.panel.curve_picture import CurvePicture
from TransformerSegLib.panel.loading import load_section
from TransformerSegLib.panel.phrases import explained
from TransformerSegLib.panel.settings import remember_training, remembered_training
from TransformerSegLib.panel.training_cases import TrainingCases
from TransformerSegLib.panel.training_plan import TrainingPlan
from TransformerSegLib.panel.training_progress import share_done
from TransformerSegLib.panel.training_run import TrainingRun, TrainingState
from TransformerSegLib.panel.training_words import heading, training_words
from TransformerSegLib.training.run_files import CHECKPOINT, run_folder

if TYPE_CHECKING:
    from TransformerSegLib.bundles.library import ModelSummary
    from TransformerSegLib.panel.packages import Packages
    from TransformerSegLib.panel.settings import Settings

NEW_NETWORKS = {
    "swin-unetr": "Swin UNETR",
    "unetr": "UNETR",
    "unest": "UNesT",
    "swin-unet": "Swin-Unet",
    "transunet": "TransUNet",
}
"""Of those that the command trains from random weights: its name → for people."""

LOOK_EVERY_MS = 1000

BAR_STEPS = 1000


class TrainingSection:
    """What is trained, from what, and how far it is.

    Args:
        folder: in which run folders and trained models lie.
        packages: that the process needs.
        settings: where the run folder is remembered.
        device: gives the one that is chosen.
        use: brings the bundle in a folder into the list of models, and chooses it.
    """

    def __init__(
        self,
        folder: Path,
        packages: Packages,
        settings: Settings,
        device: Callable[[], str],
        use: Callable[[Path], None],
    ) -> None:
        self.widget, self._ui = load_section("Training")
        self._folder, self._packages, self._settings = folder, packages, settings
        self._device, self._use = device, use
        self._model: ModelSummary | None = None
        self._licence_accepted = False
        self._curve = CurvePicture()
        self._ui.curveLayout.addWidget(self._curve)
        self._cases = TrainingCases(self._ui.casesButton, self._ui.casesLabel, self._show_ready)
        self._fill_starts()
        self._ui.trainingError.visible = False
        self._ui.trainingBar.maximum = BAR_STEPS
        self._ui.trainingStartBox.connect("currentIndexChanged(int)", lambda index: self._show_ready())
        self._ui.trainingNameEdit.connect("textChanged(QString)", lambda text: self._show_ready())
        for button, pressed in (
            (self._ui.trainButton, self._train),
            (self._ui.cancelTrainingButton, self._cancel),
            (self._ui.continueTrainingButton, self._continue),
            (self._ui.useTrainedButton, self._use_trained),
            (self._ui.trainingFolderButton, self._show_folder),
            (self._ui.closeTrainingButton, self._close_run),
        ):
            button.connect("clicked(bool)", lambda checked, pressed=pressed: pressed())
        self._clock = qt.QTimer()
        self._clock.setInterval(LOOK_EVERY_MS)
        self._clock.connect("timeout()", self._look)
        self.run = self._remembered()
        slicer.app.connect("aboutToQuit()", self._end)
        self._listens = True
        self._show()

    def show_model(self, model: ModelSummary | None, licence_accepted: bool) -> None:
        """Which model is chosen, to be started from."""
        self._model, self._licence_accepted = model, licence_accepted
        title = model.title if model else _("the chosen model")
        self._ui.trainingStartBox.setItemText(0, title)
        self._show_ready()

    def close(self) -> None:
        """Look no more. The training goes on: a module that is set up anew finds it again. Safe to call twice."""
        self._clock.stop()
        if self._listens:
            self._listens = False
            slicer.app.disconnect("aboutToQuit()", self._end)

    # What is to be trained

    def _fill_starts(self) -> None:
        self._ui.trainingStartBox.addItem("", "")
        for name, title in NEW_NETWORKS.items():
            self._ui.trainingStartBox.addItem(_("A new {network}").format(network=title), name)

    @property
    def _network(self) -> str:
        """Of a new one; "": the chosen model is started from."""
        return str(self._ui.trainingStartBox.currentData or "")

    @property
    def _name(self) -> str:
        return str(self._ui.trainingNameEdit.text).strip()

    @property
    def _output(self) -> Path:
        return self._folder / folder_name(self._name)

    def _plan(self) -> TrainingPlan:
        return TrainingPlan(
            title=self._name,
            data=str(self._cases.path),
            output=str(self._output),
            start="" if self._network else str(self._model.folder),
            network=self._network,
            epochs=int(self._ui.trainingEpochsBox.value),
            device=self._device(),
        )

    @property
    def _earlier(self) -> TrainingPlan | None:
        """Of a training of this name that was put aside, and has got somewhere."""
        folder = run_folder(self._output)
        is_there = self._name and (self._output.exists() or (folder / CHECKPOINT).exists())
        return TrainingPlan.kept_in(folder) if is_there else None

    def _show_ready(self) -> None:
        is_there = self._earlier is not None
        reason = "" if is_there else self._reason()
        self._ui.trainingReason.text = _("There is a training of this name already.") if is_there else reason
        self._ui.trainingReason.visible = bool(self._ui.trainingReason.text)
        self._ui.trainButton.text = _("Show it") if is_there else _("Train")
        self._ui.trainButton.enabled = not reason
        self._ui.trainButton.toolTip = reason

    def _reason(self) -> str:
        """Why nothing can be trained yet; "": it can."""
        if self._cases.path is None:
            return _("Choose the cases to train on.")
        if not self._network and (self._model is None or self._model.fault or not self._model.on_disk):
            return _("Choose a model that is on this computer, or start from a new network.")
        if not self._network and not self._licence_accepted:
            return _("Acknowledge the licence of the chosen model first.")
        if not self._name:
            return _("Give the new model a name.")
        plan = self._plan()
        if not plan.is_free:
            return _("There is a training of this name already: choose another.")
        return ""

    # What a person does

    def _train(self) -> None:
        earlier = self._earlier
        try:
            run = TrainingRun(earlier) if earlier else self._begun()
        except TransformerSegError as error:
            self._ui.trainingError.text = explained(error)
            self._ui.trainingError.visible = True
            return
        self._ui.trainingError.visible = False
        self.run = run
        remember_training(self._settings, run.folder)
        self._show()

    def _begun(self) -> TrainingRun:
        self._packages.install()
        plan = self._plan()
        plan.clear()
        run = TrainingRun(plan)
        run.start()
        return run

    def _cancel(self) -> None:
        self.run.stop()
        self._show()

    def _continue(self) -> None:
        try:
            self.run.start()
        except TransformerSegError as error:
            self._ui.trainingLabel.text = explained(error)
            return
        self._show()

    def _end(self) -> None:
        """Slicer is closed."""
        if self.run is not None:
            self.run.end()

    def _use_trained(self) -> None:
        self._use(Path(self.run.plan.output))

    def _show_folder(self) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.run.folder)))

    def _close_run(self) -> None:
        self.run = None
        remember_training(self._settings, None)
        self._show()

    # The run

    def _remembered(self) -> TrainingRun | None:
        folder = remembered_training(self._settings)
        plan = TrainingPlan.kept_in(folder) if folder else None
        return TrainingRun(plan) if plan else None

    def _look(self) -> None:
        self.run.look()
        self._show()

    def _show(self) -> None:
        run = self.run
        self._ui.trainingCollapsibleButton.text = heading(run)
        self._ui.trainingForm.visible = run is None
        self._ui.trainingFrame.visible = run is not None
        self._ui.cancelTrainingButton.visible = run is not None and not run.state.finished
        if run is None:
            self._clock.stop()
            self._show_ready()
            return
        state = run.state
        self._ui.trainingLabel.text = training_words(run)
        self._ui.trainingBar.visible = not state.finished
        self._ui.trainingBar.maximum = BAR_STEPS if run.told and run.told.steps else 0
        self._ui.trainingBar.value = int(BAR_STEPS * share_done(run.told)) if run.told else 0
        self._ui.cancelTrainingButton.enabled = state is not TrainingState.STOPPING
        can_go_on = state in (TrainingState.STOPPED, TrainingState.FAILED) and not run.has_model
        self._ui.continueTrainingButton.visible = can_go_on
        self._ui.continueTrainingButton.text = _("Continue") if state is TrainingState.STOPPED else _("Try again")
        self._ui.useTrainedButton.visible = state.finished and run.has_model
        self._ui.closeTrainingButton.visible = state.finished
        self._curve.show_file(run.curve)
        if state.finished:
            self._clock.stop()
        else:
            self._clock.start()
