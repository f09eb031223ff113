"""The panel: its sections in the order in which a clinician reads, and what flows between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from TransformerSegLib.errors import TransformerSegError
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.panel.advanced_section import AdvancedSection
from TransformerSegLib.panel.checking import InputCheck
from TransformerSegLib.panel.correct_section import CorrectSection
from TransformerSegLib.panel.input_filling import InputFilling, has_volumes
from TransformerSegLib.panel.input_section import InputSection
from TransformerSegLib.panel.licences import Licences
from TransformerSegLib.panel.model_section import ModelSection
from TransformerSegLib.panel.packages import TRAINING_REQUIREMENTS, Packages
from TransformerSegLib.panel.panel_observers import PanelObservers
from TransformerSegLib.panel.parameters import Parameters
from TransformerSegLib.panel.readiness import Choices, reason_not_ready
from TransformerSegLib.panel.request import Request
from TransformerSegLib.panel.result_section import ResultSection
from TransformerSegLib.panel.results import figures_by_segment, last_run_words, latest_result, volume_of
from TransformerSegLib.panel.review_section import ReviewSection
from TransformerSegLib.panel.run import Run, RunState
from TransformerSegLib.panel.run_section import RunSection
from TransformerSegLib.panel.sample_data import load_sample
from TransformerSegLib.panel.settings import remember_models_folder
from TransformerSegLib.panel.single_shot import single_shot
from TransformerSegLib.panel.table_section import TableSection
from TransformerSegLib.panel.telling import time_words
from TransformerSegLib.panel.training_section import TrainingSection
from TransformerSegLib.scene.display import show_result
from TransformerSegLib.scene.sequences import frames_of

if TYPE_CHECKING:
    from TransformerSegLib.panel.library_work import LibraryWork
    from TransformerSegLib.panel.session import Session
    from TransformerSegLib.panel.settings import Settings

_REFRESH_MS = 50
"""Changes that come closer together than this are taken as one."""


class Panel:
    """All that is seen of the module.

    Args:
        session: what the panel asks to check, run and undo.
        work: what it asks to change the models on this computer. The panel closes neither.
        settings: where acknowledged licences, and the folder of models, are remembered (QSettings).

    Attributes:
        widget: to be added to the module's layout; a qMRMLWidget.
    """

    def __init__(self, session: Session, work: LibraryWork, settings: Settings) -> None:
        self._session, self._work, self._settings = session, work, settings
        self._parameters: Parameters | None = None
        self._filling: InputFilling | None = None
        self._request: Request | None = None
        self._reason = ""
        self._pending: dict[Run, tuple[object, ...]] = {}
        self._result_id = self._target_id = ""
        self._made: Run | None = None  # the result that is in the scene, and not in the table yet
        self._confirmed: tuple[object, ...] | None = None
        self._review_was_opened = False
        self._make_sections()
        self.widget = self._assembled()
        self._observers = PanelObservers(slicer.mrmlScene, self._refresh_soon, self._let_go_of_scene)
        self._soon = single_shot(_REFRESH_MS, self.refresh)
        self._taking_up = single_shot(0, self._take_up_result)
        self._opening = single_shot(0, self._open_what_follows)

    def set_parameter_node(self, parameter_node: object | None) -> None:
        """Show and change the choices that this wrapped parameter node holds; None: let go of the last one (the scene
        is closing, or the module is left for good)."""
        if self._parameters is not None:
            self._parameters.close()
        self._parameters = self._filling = None
        if parameter_node is not None:
            self._parameters = Parameters(parameter_node, self.widget, self._refresh_soon)
            self._filling = InputFilling(self._parameters, self._session)
        self._refresh_soon()

    def enter(self) -> None:
        """The module is shown: fill in what can be filled in, take up the editor's keyboard shortcuts."""
        self._correct.enter()
        self._review.enter()
        if self._filling is not None:
            self._filling.fill_again()
        self.refresh()

    def list_models(self) -> None:
        """Read the library of models again."""
        self._model.list_models()
        self._refresh_soon()

    def exit(self) -> None:
        """Another module is shown: let go of the editor's effect and shortcuts. Runs go on."""
        self._correct.exit()
        self._review.exit()

    def close(self) -> None:
        """Let go of every node, observer and timer. Safe to call twice."""
        self.set_parameter_node(None)
        for timer in (self._soon, self._taking_up, self._opening):
            timer.stop()
        self._model.close()
        self._advanced.close()
        self._training.close()
        self._observers.close()
        self._let_go_of_scene()
        self._review.end()

    # What is shown

    def refresh(self) -> None:
        """Bring all sections in line with the choices and the scene."""
        self._soon.stop()
        if self._parameters is None or slicer.mrmlScene.IsBatchProcessing():
            return
        self._model.choose(self._parameters.model)
        self._parameters.model = self._model.chosen.name if self._model.chosen else ""
        check = self._refresh_input()
        self._refresh_advanced()  # now that the model has been read
        self._refresh_result()
        self._refresh_ready(check)
        self._refresh_segments()

    def _refresh_soon(self) -> None:
        self._soon.start()

    def _refresh_input(self) -> InputCheck | None:
        model, parameters = self._model.chosen, self._parameters
        channels = model.inputs if model else ()
        self._input.show_scene(has_volumes(slicer.mrmlScene))
        self._input.show_channels(channels)
        self._filling.fill(model)
        self._input.show_nodes(parameters.inputs)
        self._input.show_told_by_name(self._filling.told_by_name(model))
        self._observers.watch([*parameters.inputs.values(), parameters.region])
        self._request = parameters.request(channels, model.structures if model else ())
        usable = model is not None and model.on_disk and not model.fault and self._model.change is None
        complete = usable and bool(channels) and None not in self._request.volumes
        check = self._session.check(self._request) if complete else None
        if self._confirmed != self._confirmable():
            self._input.withdraw_confirmation()
        self._input.show_check(check)
        self._input.show_region(check is not None and check.suggests_region, parameters.region is not None)
        self._input.show_frames(frames_of(self._request.volumes[0]) if complete else None)
        return check

    def _refresh_advanced(self) -> None:
        """A preset that the model, or the device, does not allow is no longer chosen. One of which that cannot be known
        yet stays, as it was when the scene was saved: the run will tell."""
        parameters = self._parameters
        refused = self._session.refused_presets(parameters.model, parameters.device)
        if not self._session.knows_of(parameters.preset, parameters.device):
            del refused[parameters.preset]
        self._advanced.offer(refused)
        self._advanced.show(parameters.device, parameters.preset)
        parameters.preset = self._advanced.preset

    def _refresh_result(self) -> None:
        structures = self._model.chosen.structures if self._model.chosen else ()
        self._result.show_structures(structures, self._parameters.unwanted)
        self._result.show_target(self._parameters.segmentation is not None)
        self._training.show_model(self._model.chosen, self._model.licence_accepted)

    def _refresh_ready(self, check: InputCheck | None) -> None:
        self._reason = reason_not_ready(
            Choices(
                has_volumes=has_volumes(slicer.mrmlScene),
                model=self._model.chosen,
                change=self._model.change,
                licence_accepted=self._model.licence_accepted,
                inputs={name: node is not None for name, node in self._input.nodes.items()},
                check=check,
                confirmed=self._input.confirmed,
                any_structure=self._request.classes != (),
            )
        )
        packages = self._session.packages
        self._run.show_packages(packages.summary(), packages.explain())
        unseen = bool(self._reason or self._session.runs)  # while something runs, its progress is shown instead
        forecast = None if unseen else self._session.forecast(self._request)
        self._run.show_ready(self._reason, forecast.words if forecast else "")
        self._show_runs()

    def _refresh_segments(self) -> None:
        if _id(self._parameters.segmentation) != self._target_id:
            self._target_id, self._result_id = _id(self._parameters.segmentation), ""
        self._take_up_result()
        node = self._result_node()
        if node is self._table.node:
            if node is not None and volume_of(node) is not self._table.volume:
                self._show_segments(node)
        else:
            self._show_segments(node)
            self._run.show_done(last_run_words(node) if node else "", can_undo=self._session.can_undo(node))
        self._review.allow_again(self._reason_not_again())
        self._review.refresh()

    def _show_segments(self, node: slicer.vtkMRMLSegmentationNode | None, run: Run | None = None) -> None:
        volume = volume_of(node) if node else None
        self._table.show(node, volume, figures_by_segment(node, run) if node and run else None)
        self._correct.edit(node, volume)
        self._review.show(node, volume)

    def _show_runs(self) -> None:
        is_new = self._request is not None and self._key(self._request) not in self._pending.values()
        self._run.show_runs(self._session.runs, can_queue=is_new and not self._reason)
        self._model.show_runs(bool(self._session.runs))

    def _result_node(self) -> slicer.vtkMRMLSegmentationNode | None:
        """What the last run made, unless another segmentation was chosen since; else the latest result in the scene."""
        made = slicer.mrmlScene.GetNodeByID(self._result_id) if self._result_id else None
        return made or self._parameters.segmentation or latest_result(slicer.mrmlScene)

    # What a person does

    def _on_inputs(self) -> None:
        if self._parameters is None:  # the scene is closing: selectors lose their nodes by themselves
            return
        self._filling.chosen_by_person(self._input.nodes)
        self.refresh()

    def _on_model(self) -> None:
        if self._parameters is not None:
            self._parameters.model = self._model.chosen.name if self._model.chosen else ""
            self.refresh()

    def _load_engine(self) -> bool:
        """Whether what it takes to check models is there; what is missing is installed first, after asking."""
        try:
            self._session.load_engine(self._run.announce)
        except TransformerSegError as error:
            self._fail(error)
            self.refresh()
            return False
        return True

    def _on_moved(self) -> None:
        remember_models_folder(self._settings, self._work.models.folder)

    def _on_structures(self) -> None:
        self._parameters.unwanted = self._result.unwanted
        self.refresh()

    def _on_advanced(self) -> None:
        self._parameters.device, self._parameters.preset = self._advanced.device, self._advanced.preset
        self.refresh()

    def _on_surfaces(self) -> None:
        """Of the result that is there already, too."""
        if self._parameters is not None and self._table.node is not None:
            show_result(self._table.node, self._parameters.smoothing, self._parameters.surfaces)

    def _on_confirm(self) -> None:
        self._confirmed = self._confirmable() if self._input.confirmed else None
        self.refresh()

    def _on_place_box(self) -> None:
        try:
            self._parameters.region = self._session.place_region(self._request)
        except TransformerSegError as error:
            self._fail(error)
        self.refresh()

    def _on_load_sample(self) -> None:
        load_sample()
        self._filling.fill_again()
        self.refresh()

    def _on_segment(self) -> None:
        """As short as it can be: from the moment that the run is queued, it has to share the time with the window."""
        if self._soon.isActive():
            self.refresh()
        if self._reason or self._request is None:
            return
        self._filling.confirm()
        self._run.show_error(None)
        self._run.show_notes(())
        self._run.show_done("", can_undo=False)
        request = replace(self._request, accept_mismatch=self._input.confirmed)
        key = self._key(request)

        def on_change(run: Run) -> None:
            self._pending[run] = key
            self._on_run(run)

        self._session.submit(request, on_change)

    def _on_run(self, run: Run) -> None:
        """Something of a run changed."""
        if run.finished:
            self._pending.pop(run, None)
        if self._parameters is None:
            return
        if run.state is RunState.PREPARING:
            self._run.announce(run.words)
            return
        self._show_runs()
        if run.finished:
            self._on_finished(run)

    def _on_finished(self, run: Run) -> None:
        self._run.show_notes(run.notes)
        match run.state:
            case RunState.DONE if run.outcome is None:
                self._review.end_again()
                self._run.show_done(_("The box was segmented again. To take it back: Undo, under Review."), False)
            case RunState.DONE:
                self._result_id, self._made = run.node_id, run
                self._taking_up.start()
                what_next = _("Look at every segment: click under Review, paint or erase under Correct.")
                can_undo = self._session.can_undo(run.node)
                self._run.show_done(run.words, can_undo, what_next=what_next, time_taken=time_words(run))
            case RunState.FAILED:
                self._run.show_error(run)
            case RunState.CANCELLED:
                self._run.show_done(run.words, can_undo=False, good=False)
        self._refresh_soon()

    def _take_up_result(self) -> None:
        """List what a run made. The review is opened with the first result; from then on a person decides."""
        run, self._made = self._made, None
        if run is None or run.node is None or self._parameters is None:
            return
        self._show_segments(run.node, run)
        self._advanced.update_devices()
        if not self._review_was_opened:
            self._review_was_opened = True
            self._opening.start()

    def _open_what_follows(self) -> None:
        """After the first result; from then on a person decides. (Review and Correct are longer than most windows.)"""
        self._review.open()

    def _on_chosen(self, segment_id: str) -> None:
        self._correct.choose(segment_id)
        self._review.choose(segment_id)

    def _reason_not_again(self) -> str:
        """Why no box of the result can be segmented again, and what to do; "" where it can."""
        node = self._table.node
        if node is None or self._request is None or None in self._request.volumes or self._session.runs:
            return _("Wait until the run is finished") if self._session.runs else _("Choose the volume first")
        if self._request.volumes[0] is not self._table.volume:
            return _("Choose the volume that was segmented")
        return "" if self._session.made(node, self._request) else _("Choose the model that made the result")

    def _on_again(self, region: slicer.vtkMRMLMarkupsROINode) -> None:
        """A box of the result, with the finest setting."""
        request = replace(
            self._request,
            region=region,
            target=self._table.node,
            preset=Preset.BEST,
            accept_mismatch=True,
            classes=None,
            all_frames=False,
            again=True,
        )
        self._run.show_error(None)
        self._session.submit(request, self._on_run)

    def _on_undo(self) -> None:
        node = self._table.node
        if not self._session.can_undo(node):  # it was deleted a moment ago
            self.refresh()
            return
        try:
            words = self._session.undo(node)
        except TransformerSegError as error:
            self._fail(error)
            return
        self._run.show_notes(())
        self._run.show_done(words, can_undo=self._session.can_undo(node))
        self.refresh()

    def _on_copy_report(self, run: Run) -> None:
        qt.QApplication.clipboard().setText(self._session.report(run))

    def _fail(self, error: TransformerSegError) -> None:
        """Show an error that no run brought about, in the place of those that runs bring about."""
        self._run.show_error(Run(title="", state=RunState.FAILED, error=error, report=self._session.report(error)))

    # Parts

    def _make_sections(self) -> None:
        session = self._session
        self._input = InputSection(self._on_inputs, self._on_confirm, self._on_place_box, self._on_load_sample)
        licences = Licences(self._settings)
        self._model = ModelSection(
            self._work, licences, session.bundle, self._load_engine, self._on_model, self._on_moved
        )
        self._result = ResultSection(self._on_structures)
        self._correct = CorrectSection()
        self._run = RunSection(self._on_segment, session.cancel, self._on_copy_report, self._on_undo)
        self._table = TableSection(self._on_chosen, lambda segment_ids: self._review.segments_changed(segment_ids))
        self._review = ReviewSection(self._settings, self._table.choose, self._refresh_soon, self._on_again)
        self._advanced = AdvancedSection(session.devices, self._on_advanced, self._on_surfaces)
        trainings = Path(slicer.app.slicerUserSettingsFilePath).parent / "TransformerSeg" / "Trainings"
        packages = Packages(TRAINING_REQUIREMENTS, loaded_here=False, button="Train")
        self._training = TrainingSection(
            trainings, packages, self._settings, lambda: self._advanced.device, self._model.import_bundle
        )

    def _assembled(self) -> slicer.qMRMLWidget:
        widget = slicer.qMRMLWidget()
        layout = qt.QVBoxLayout(widget)
        layout.setContentsMargins(0, 0, 0, 0)  # Slicer's own are around it
        notice = qt.QLabel(f"<i>{_('For research use, not for diagnosis.')}</i>")
        notice.objectName = "researchNotice"
        layout.addWidget(notice)
        shown_first = (self._input, self._model, self._result, self._run)
        for section in (*shown_first, self._table, self._review, self._correct, self._training, self._advanced):
            layout.addWidget(section.widget)
        layout.addStretch(1)
        widget.setMRMLScene(slicer.mrmlScene)
        return widget

    def _let_go_of_scene(self) -> None:
        """The scene is about to be emptied."""
        self._observers.watch(())
        self._table.close()
        self._correct.close()
        self._review.close()
        self._run.show_done("", can_undo=False)
        self._request = self._made = None
        self._result_id = self._target_id = ""

    def _confirmable(self) -> tuple[object, ...] | None:
        """What a confirmation is about: it does not hold for another volume, model or box."""
        if self._request is None:
            return None
        region = self._request.region
        return (*map(_id, self._request.volumes), self._request.model, _id(region))

    def _key(self, request: Request) -> tuple[object, ...]:
        """By which a request is told from those that are queued already."""
        return (*map(_id, request.volumes), request.model, _id(request.region), _id(request.target), request.classes)


def _id(node: slicer.vtkMRMLNode | None) -> str:
    return node.GetID() if node is not None else ""
