"""The session behind the panel: checks, forecasts and runs, with the real engine.

Module code and the real MRML scene, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

import ast
import gc
import getpass
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slicer
from vtkmodules.vtkCommonMath import vtkMatrix4x4

import TransformerSegLib
from TransformerSegLib import errors
from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL, find_bundle
from TransformerSegLib.bundles.library import ModelLibrary
from TransformerSegLib.export.segment_metadata import segment_id
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.jobs.queue import JobQueue
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.scene.volumes import add_volume_node, voxels

from bundle_factory import write_bundle
from host import Host
from host.guard import record_calls
from mrml_reading import mask_on_grid
from mrml_transforms import add_grid_transform
from real_volumes import CT, MR

SAMPLE = resources_folder() / "SampleData" / "hippocampus_297.nii.gz"
CLASSES = ("Anterior hippocampus", "Posterior hippocampus")


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def session(host: Host, tmp_path: Path):
    from TransformerSegLib.panel.packages import Packages
    from TransformerSegLib.panel.pump import Pump
    from TransformerSegLib.panel.session import Session

    queue = JobQueue()
    pump = Pump(queue)
    models = ModelLibrary(tmp_path / "models")
    session = Session(host.scene, queue, models, Packages(), slicer.app.userSettings(), pump.start)
    yield session
    session.close()
    pump.close()


@pytest.fixture
def sample(host: Host):
    return add_volume_node(host.scene, replace(read_volume(SAMPLE), modality="MR"))


def request_for(*volumes, **options):
    from TransformerSegLib.panel.request import Request

    return Request(tuple(volumes), options.pop("model", DEFAULT_MODEL), **options)


def added(host: Host, array: np.ndarray, name: str = "volume", modality: str | None = None, spacing: float = 1.0):
    return add_volume_node(host.scene, Volume(array, np.diag([spacing, spacing, spacing, 1.0]), name, modality))


def noise(*shape: int, dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 500, shape).astype(dtype)


def scene_nodes(host: Host) -> set[tuple[str, str]]:
    nodes = (host.scene.GetNthNode(number) for number in range(host.scene.GetNumberOfNodes()))
    return {(node.GetID(), node.GetName()) for node in nodes}


def labels_of(node, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """One label per segment, in the card's order."""
    labels = np.zeros(shape, np.uint8)
    for definition in find_bundle().card.classes:
        labels[mask_on_grid(node, segment_id(definition), shape, affine)] = definition.label
    return labels


def moved(node, millimetres: float) -> None:
    """Put a node under a transform of its own."""
    matrix = vtkMatrix4x4()
    matrix.SetElement(0, 3, millimetres)
    transform = node.GetScene().AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())


def scaled_grid_of(node, factor: float) -> vtkMatrix4x4:
    """Index → RAS of a grid at the same place with voxels so many times larger."""
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    for row in range(3):
        for column in range(3):
            matrix.SetElement(row, column, matrix.GetElement(row, column) * factor)
    return matrix


def is_running(run) -> Callable[[], bool]:
    from TransformerSegLib.panel.run import RunState

    return lambda: run.state is RunState.RUNNING


class TestCheck:
    def test_an_input_like_the_training_data_fits(self, session, sample):
        from TransformerSegLib.panel.checking import InputCheck, Verdict

        assert session.check(request_for(sample)) == InputCheck("1 mm MR, 34×51×30: fits", Verdict.FITS)

    def test_another_modality_is_to_be_confirmed(self, session, host):
        from TransformerSegLib.panel.checking import Verdict

        node = added(host, noise(34, 51, 30), modality="CT")
        check = session.check(request_for(node))
        assert check.verdict is Verdict.CONFIRM
        assert check.line == "CT, but this model was trained on MR"
        assert isinstance(check.error, errors.ModalityMismatch)
        assert check.error.remedy.startswith("Choose a volume that fits, or confirm")

    def test_what_looks_like_ct_is_found_without_dicom(self, session, host):
        node = add_volume_node(host.scene, read_volume(CT))
        check = session.check(request_for(node))
        assert "but this model was trained on MR" in check.line
        assert "looks like CT" in check.error.what

    def test_a_whole_head_gets_a_region_that_fits(self, session, host):
        from TransformerSegLib.panel.checking import Verdict

        node = added(host, noise(180, 200, 160), modality="MR")
        check = session.check(request_for(node))
        assert (check.verdict, check.suggests_region) == (Verdict.CONFIRM, True)
        assert check.error.remedy.startswith("Place a region")
        region = session.place_region(request_for(node))
        placed = session.check(request_for(node, region=region))
        assert (placed.verdict, placed.suggests_region, placed.error) == (Verdict.FITS, False, None)
        assert placed.line.startswith("1 mm MR, 180×200×160, region of ")

    def test_a_region_beside_the_volume_is_refused(self, session, sample):
        from TransformerSegLib.panel.checking import Verdict

        region = session.place_region(request_for(sample))
        region.SetCenter(5000, 0, 0)
        check = session.check(request_for(sample, region=region))
        assert check.verdict is Verdict.REFUSED
        assert isinstance(check.error, errors.RegionRejected)

    @pytest.mark.parametrize("volumes", [(), (None,)])
    def test_no_volume_is_refused(self, session, volumes):
        from TransformerSegLib.panel.checking import Verdict

        check = session.check(request_for(*volumes))
        assert (check.verdict, check.line) == (Verdict.REFUSED, "No volume is chosen")

    @pytest.mark.parametrize("value", [7.0, np.nan])
    def test_voxels_without_an_image_in_them_are_refused(self, session, host, value):
        from TransformerSegLib.panel.checking import Verdict

        check = session.check(request_for(added(host, np.full((40, 40, 40), value, np.float32))))
        assert check.verdict is Verdict.REFUSED

    def test_a_structure_between_the_sampled_voxels_is_an_image(self, session, host):
        from TransformerSegLib.panel.checking import Verdict

        array = np.zeros((150, 150, 150), np.int16)
        array[77, 77, 77] = 100
        assert session.check(request_for(added(host, array))).verdict is not Verdict.REFUSED

    def test_a_target_on_another_grid_is_refused(self, session, sample, host):
        from TransformerSegLib.panel.checking import Verdict

        target = session.segment(request_for(sample))
        other = added(host, noise(40, 40, 40), modality="MR", spacing=1.1)
        check = session.check(request_for(other, target=target))
        assert check.verdict is Verdict.REFUSED
        assert isinstance(check.error, errors.GridMismatch)

    def test_a_model_of_several_inputs_names_the_one_that_is_missing(self, session, sample, tmp_path):
        model = session.models.import_bundle(write_bundle(tmp_path / "two", inputs=("T1", "FLAIR"))).name
        check = session.check(request_for(sample, None, model=model))
        assert check.line == "No volume is chosen for FLAIR"

    def test_one_volume_for_two_inputs_is_refused(self, session, sample, tmp_path):
        from TransformerSegLib.panel.checking import Verdict

        model = session.models.import_bundle(write_bundle(tmp_path / "two", inputs=("T1", "FLAIR"))).name
        check = session.check(request_for(sample, sample, model=model))
        assert check.verdict is Verdict.REFUSED
        assert "is given for more than one input" in check.line

    def test_inputs_of_different_parts_of_the_body_are_refused(self, session, sample, host, tmp_path):
        from TransformerSegLib.panel.checking import Verdict

        model = session.models.import_bundle(write_bundle(tmp_path / "two", inputs=("T1", "FLAIR"))).name
        far = add_volume_node(host.scene, Volume(noise(34, 51, 30), np.diag([1.0, 1, 1, 1]), "far"))
        affine = np.eye(4)
        affine[0, 3] = 900
        farther = add_volume_node(host.scene, Volume(noise(34, 51, 30), affine, "farther"))
        check = session.check(request_for(far, farther, model=model))
        assert check.verdict is Verdict.REFUSED
        assert isinstance(check.error, errors.GridMismatch)

    def test_an_unknown_model_is_refused(self, session, sample):
        from TransformerSegLib.panel.checking import Verdict

        check = session.check(request_for(sample, model="nowhere"))
        assert check.verdict is Verdict.REFUSED
        assert isinstance(check.error, errors.BundleRejected)

    def test_no_copy_of_the_voxels_is_made(self, session, host):
        node = added(host, noise(256, 256, 160), modality="MR")
        session.check(request_for(node))
        tracemalloc.start()
        session.check(request_for(node))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 0.5 * voxels(node.GetImageData()).nbytes

    def test_a_mismatch_that_only_the_run_finds_can_be_confirmed_too(self, session, host):
        """Lung in all voxels but those at which the check looks."""
        from TransformerSegLib.panel.checking import Verdict

        array = np.full((120, 120, 120), -900, np.int16)
        array[::2, ::2, ::2] = noise(60, 60, 60)
        node = added(host, array)
        region = session.place_region(request_for(node))
        request = request_for(node, region=region)
        assert session.check(request).verdict is Verdict.FITS
        run = session.submit(request)
        host.wait_until(lambda: run.finished)
        assert isinstance(run.error, errors.ModalityMismatch)
        check = session.check(request)
        assert (check.verdict, check.error.what) == (Verdict.CONFIRM, run.error.what)
        run = session.submit(replace(request, accept_mismatch=True))
        host.wait_until(lambda: run.finished)
        assert run.error is None
        host.scene.Clear()
        other = added(host, noise(120, 120, 120))
        assert other.GetID() == node.GetID()
        region = session.place_region(request_for(other))
        assert session.check(request_for(other, region=region)).verdict is Verdict.FITS


class TestForecast:
    def test_windows_memory_and_time_are_told_in_words(self, session, sample):
        forecast = session.forecast(request_for(sample, device="cpu"))
        assert forecast.windows >= 1
        assert forecast.seconds > 0
        assert forecast.words.endswith("on the CPU")
        assert "B of memory, about " in forecast.words

    def test_a_smaller_overlap_takes_fewer_windows(self, session, host):
        node = added(host, noise(80, 80, 80), modality="MR")
        windows = [session.forecast(request_for(node, preset=preset)).windows for preset in (Preset.FAST, Preset.BEST)]
        assert windows[0] < windows[1]

    def test_only_the_region_counts(self, session, host):
        node = added(host, noise(120, 120, 120), modality="MR")
        region = session.place_region(request_for(node))
        whole, part = session.forecast(request_for(node)), session.forecast(request_for(node, region=region))
        assert part.windows < whole.windows

    def test_what_a_run_took_is_remembered(self, session, sample):
        session.segment(request_for(sample, device="cpu"))
        settings = slicer.app.userSettings()
        [kept] = [key for key in settings.allKeys() if "SecondsPerWindow" in key]
        pace = float(settings.value(kept))
        forecast = session.forecast(request_for(sample, device="cpu"))
        assert forecast.seconds == pytest.approx(pace * forecast.windows)

    def test_nothing_is_foretold_of_a_refused_input(self, session):
        assert session.forecast(request_for(None)) is None


class TestRun:
    def test_a_blocking_run_gives_what_the_engine_gives(self, session, sample):
        volume = read_volume(SAMPLE)
        node = session.segment(request_for(sample))
        expected = Segmenter(find_bundle()).segment([volume])
        found = labels_of(node, volume.array.shape, volume.affine)
        np.testing.assert_array_equal(found, expected.layers[0])

    def test_a_run_in_the_background_tells_its_way(self, session, sample, host):
        told = []
        run = session.submit(request_for(sample), lambda run: told.append((run.state.value, run.words)))
        assert session.runs == (run,)
        host.wait_until(lambda: run.finished)
        states = list(dict.fromkeys(state for state, _ in told))
        assert [state for state in states if state != "preparing"] == ["waiting", "running", "done"]
        assert any(words.startswith("Segmenting, ") and words.endswith(" windows") for _, words in told)
        assert run.words.startswith("Done in ")
        assert run.node.GetSegmentation().GetNumberOfSegments() == len(CLASSES)
        assert session.runs == ()

    def test_a_run_that_starts_beside_a_click_has_all_threads(self, session, sample, host):
        """A thread that computes for the first time within ``one_thread`` of another would be left with one."""
        import torch

        from TransformerSegLib.inference.threads import one_thread

        before, found = torch.get_num_threads(), []

        def ask(module, inputs) -> None:
            found.append(torch.get_num_threads())

        hook = torch.nn.modules.module.register_module_forward_pre_hook(ask)
        try:
            torch.set_num_threads(2)
            run = session.submit(request_for(sample))
            with one_thread():
                host.wait_until(lambda: run.finished)
        finally:
            hook.remove()
            torch.set_num_threads(before)
        assert run.error is None
        assert set(found) == {2}

    def test_a_model_of_slices_counts_these(self, session, sample, host, tmp_path):
        model = session.models.import_bundle(write_bundle(tmp_path / "slices", architecture="SwinUnet")).name
        request, told = request_for(sample, model=model), []
        forecast = session.forecast(request)
        assert forecast.words.startswith(f"{forecast.windows} slices, ")
        run = session.submit(request, lambda run: told.append(run.words))
        host.wait_until(lambda: run.finished)
        assert run.error is None
        assert any(words.startswith("Segmenting, ") and words.endswith(f" {forecast.windows} slices") for words in told)
        assert run.node.GetSegmentation().GetNumberOfSegments() == 2

    def test_figures_come_with_the_result(self, session, sample, host):
        run = session.submit(request_for(sample))
        host.wait_until(lambda: run.finished)
        volume = read_volume(SAMPLE)
        labels = labels_of(run.node, volume.array.shape, volume.affine)
        for label, statistics in run.statistics.items():
            assert statistics.voxels == np.count_nonzero(labels == label)
            assert statistics.mean_intensity == pytest.approx(volume.array[labels == label].mean(), rel=1e-5)

    def test_only_the_wanted_classes_are_made(self, session, sample):
        node = session.segment(request_for(sample, classes=CLASSES[1:]))
        segmentation = node.GetSegmentation()
        names = [segmentation.GetSegment(segment).GetName() for segment in segmentation.GetSegmentIDs()]
        assert names == [CLASSES[1]]

    @pytest.mark.parametrize("classes", [(), ("Amygdala",), (*CLASSES, "Amygdala")])
    def test_classes_that_the_model_does_not_have_are_refused(self, session, sample, classes):
        run = session.submit(request_for(sample, classes=classes))
        assert isinstance(run.error, errors.ClassUnknown)

    def test_nothing_is_segmented_outside_of_a_region(self, session, sample):
        volume = read_volume(SAMPLE)
        region = session.place_region(request_for(sample))
        region.SetSize(30, 20, 20)
        node = session.segment(request_for(sample, region=region, accept_mismatch=True))
        found = np.argwhere(labels_of(node, volume.array.shape, volume.affine))
        assert len(found) > 0
        assert np.ptp(found[:, 1]) < 21

    def test_a_mismatch_that_nobody_confirmed_fails(self, session, host):
        node = added(host, noise(34, 51, 30), modality="CT")
        run = session.submit(request_for(node))
        assert run.finished
        assert isinstance(run.error, errors.ModalityMismatch)
        assert "--" not in str(run.error)
        with pytest.raises(errors.ModalityMismatch):
            session.segment(request_for(node))

    def test_a_confirmed_mismatch_runs(self, session, host):
        node = added(host, noise(34, 51, 30), modality="CT")
        assert session.segment(request_for(node, accept_mismatch=True)) is not None

    def test_an_empty_result_says_so(self, session, host):
        node = added(host, noise(34, 51, 30), modality="MR")
        run = session.submit(request_for(node))
        host.wait_until(lambda: run.finished)
        missing = [name for name, figures in zip(CLASSES, run.statistics.values(), strict=True) if not figures.voxels]
        assert ("ound in this volume" in run.words) == bool(missing)

    def test_a_model_of_several_inputs_takes_them_from_different_grids(self, session, sample, host, tmp_path):
        model = session.models.import_bundle(write_bundle(tmp_path / "two", inputs=("T1", "FLAIR"))).name
        coarse = added(host, noise(17, 26, 15), "FLAIR", spacing=2.0)
        coarse.SetIJKToRASMatrix(scaled_grid_of(sample, 2.0))
        proposed = session.propose_inputs(model, sample)
        assert proposed["FLAIR"] is coarse
        request = request_for(sample, coarse, model=model)
        assert "T1 1 mm MR, 34×51×30; FLAIR 2 mm, 17×26×15: fits" in session.check(request).line
        node = session.segment(request)
        assert node.GetSegmentation().GetNumberOfSegments() == 2

    def test_a_bent_transform_between_two_inputs_is_refused(self, session, sample, host, tmp_path):
        model = session.models.import_bundle(write_bundle(tmp_path / "two", inputs=("T1", "FLAIR"))).name
        volume = read_volume(SAMPLE)
        bent = add_volume_node(host.scene, replace(volume, array=volume.array + 1, name="FLAIR"))
        bent.SetAndObserveTransformNodeID(add_grid_transform(host.scene, volume.affine, volume.array.shape).GetID())
        run = session.submit(request_for(sample, bent, model=model))
        assert run.finished
        assert isinstance(run.error, errors.GridMismatch)

    def test_surfaces_are_made_where_they_were_asked_for(self, session, sample):
        flat = session.segment(request_for(sample, surfaces=False))
        solid = session.segment(request_for(sample, surfaces=True))
        name = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()
        assert not flat.GetSegmentation().ContainsRepresentation(name)
        assert solid.GetSegmentation().ContainsRepresentation(name)

    def test_a_rerun_without_surfaces_leaves_those_that_are_shown(self, session, sample):
        node = session.segment(request_for(sample, surfaces=True))
        session.segment(request_for(sample, target=node, surfaces=False))
        name = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()
        assert node.GetSegmentation().ContainsRepresentation(name)

    def test_several_runs_wait_for_each_other(self, session, sample, host):
        ended = []
        runs = [session.submit(request_for(sample), lambda run: run.finished and ended.append(run)) for _ in range(3)]
        assert session.runs == tuple(runs)
        host.wait_until(lambda: all(run.finished for run in runs))
        assert ended == runs
        assert len({run.node_id for run in runs}) == 3

    def test_a_rerun_goes_into_the_same_segmentation(self, session, sample):
        node = session.segment(request_for(sample))
        assert session.segment(request_for(sample, target=node)).GetID() == node.GetID()
        assert node.GetSegmentation().GetNumberOfSegments() == len(CLASSES)
        assert session.can_undo(node)
        assert session.undo(node)

    def test_what_a_person_drew_meanwhile_is_kept(self, session, sample, host):
        volume = read_volume(SAMPLE)
        node = session.segment(request_for(sample))
        run = session.submit(request_for(sample, target=node))
        host.wait_until(is_running(run))
        first = segment_id(find_bundle().card.classes[0])
        drawn = mask_on_grid(node, first, volume.array.shape, volume.affine)
        drawn[:5, :5, :5] = True
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn.transpose(2, 1, 0).astype(np.uint8), node, first, sample)
        host.wait_until(lambda: run.finished)
        assert run.error is None
        np.testing.assert_array_equal(mask_on_grid(node, first, volume.array.shape, volume.affine), drawn)
        assert node.GetSegmentation().GetNumberOfSegments() == len(CLASSES) + 1
        assert run.notes == (f"Kept as you left them: “{CLASSES[0]}”. What the model found is beside them.",)

    def test_the_worker_touches_nothing_of_qt_vtk_and_mrml(self, session, sample, host):
        region = session.place_region(request_for(sample))
        with record_calls() as calls:
            run = session.submit(request_for(sample, region=region, classes=CLASSES[:1]))
            host.wait_until(lambda: run.finished)
        assert run.error is None
        assert "TransformerSeg worker" in calls.threads
        assert not calls, repr(calls)

    def test_nothing_of_a_run_is_left_in_memory(self, session, sample, host):
        gc.collect()
        there = volumes_in_memory()  # such as those that other tests are parametrised with
        runs = [session.submit(request_for(sample)) for _ in range(2)]
        host.wait_until(lambda: all(run.finished for run in runs))
        host.process_events(0.1)
        gc.collect()
        assert [found for found in volumes_in_memory() if not any(found is kept for kept in there)] == []


def volumes_in_memory() -> list[Volume]:
    return [found for found in gc.get_objects() if type(found) is Volume]


class TestCancel:
    def test_a_cancelled_run_leaves_the_scene_as_it_was(self, session, sample, host):
        from TransformerSegLib.panel.run import RunState

        before = scene_nodes(host)
        run = session.submit(request_for(sample, preset=Preset.BEST))
        host.wait_until(is_running(run))
        session.cancel(run)
        host.wait_until(lambda: run.finished)
        assert (run.state, run.words, run.node) == (RunState.CANCELLED, "Cancelled: nothing was changed", None)
        assert scene_nodes(host) == before

    def test_a_waiting_run_can_be_cancelled_alone(self, session, sample, host):
        runs = [session.submit(request_for(sample)) for _ in range(3)]
        session.cancel(runs[1])
        host.wait_until(lambda: all(run.finished for run in runs))
        assert [run.state.value for run in runs] == ["done", "cancelled", "done"]

    def test_deleting_the_volume_cancels_its_runs(self, session, sample, host):
        other = add_volume_node(host.scene, replace(read_volume(SAMPLE), modality="MR", name="other"))
        runs = [session.submit(request_for(node)) for node in (sample, other, sample)]
        host.wait_until(is_running(runs[0]))
        host.scene.RemoveNode(sample)
        host.wait_until(lambda: all(run.finished for run in runs))
        assert [run.state.value for run in runs] == ["cancelled", "done", "cancelled"]
        assert runs[0].words == "Cancelled, since “hippocampus_297” was deleted: nothing was changed"

    def test_deleting_the_target_puts_the_result_into_a_new_one(self, session, sample, host):
        target = session.segment(request_for(sample))
        run = session.submit(request_for(sample, target=target))
        host.wait_until(is_running(run))
        host.scene.RemoveNode(target)
        host.wait_until(lambda: run.finished)
        assert run.node is not None
        assert run.notes == ("The segmentation was deleted meanwhile: the result is in a new one.",)

    def test_moving_the_target_puts_the_result_into_a_new_one(self, session, sample, host):
        target = session.segment(request_for(sample))
        run = session.submit(request_for(sample, target=target))
        host.wait_until(is_running(run))
        moved(target, 10)
        host.wait_until(lambda: run.finished)
        assert run.node_id not in ("", target.GetID())
        assert run.notes[0].endswith("the result is in a new segmentation.")

    def test_a_volume_that_changed_its_grid_meanwhile_gets_no_result(self, session, sample, host):
        run = session.submit(request_for(sample))
        host.wait_until(is_running(run))
        sample.SetSpacing(2, 2, 2)
        host.wait_until(lambda: run.finished)
        assert isinstance(run.error, errors.GridMismatch)

    def test_deleting_the_region_changes_nothing(self, session, sample, host):
        region = session.place_region(request_for(sample))
        run = session.submit(request_for(sample, region=region, accept_mismatch=True))
        host.scene.RemoveNode(region)
        host.wait_until(lambda: run.finished)
        assert run.error is None

    def test_closing_the_scene_cancels_everything(self, session, sample, host):
        runs = [session.submit(request_for(sample)) for _ in range(3)]
        host.wait_until(is_running(runs[0]))
        host.scene.Clear()
        host.wait_until(lambda: all(run.finished for run in runs))
        assert {run.words for run in runs} == {"Cancelled, since the scene was closed: nothing was changed"}
        assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []

    def test_closing_the_scene_while_packages_are_installed_cancels(self, session, sample, host):
        class Installing:
            """Slicer's installer shows a dialog, and lets the window work meanwhile."""

            def missing(self) -> list[str]:
                return ["torch"]

            def install(self) -> None:
                host.scene.Clear()

        session.packages = Installing()
        run = session.submit(request_for(sample))
        assert run.words == "Cancelled, since the scene was closed: nothing was changed"

    def test_what_goes_wrong_because_it_was_cancelled_while_it_was_prepared_is_no_error(self, session, sample, host):
        class Installing:
            def missing(self) -> list[str]:
                return ["torch"]

            def install(self) -> None:
                host.scene.Clear()
                raise errors.PackagesMissing("The installer was closed", why="the scene is gone", remedy="Try again")

        session.packages = Installing()
        run = session.submit(request_for(sample))
        assert run.error is None
        assert run.words == "Cancelled, since the scene was closed: nothing was changed"

    def test_closing_the_session_ends_the_worker(self, session, sample, host):
        run = session.submit(request_for(sample, preset=Preset.BEST))
        host.wait_until(is_running(run))
        session.close()
        session.close()
        assert run.state.value == "cancelled"
        assert not any(thread.name == "TransformerSeg worker" for thread in threading.enumerate())
        assert session.submit(request_for(sample)).error is not None


class TestFrames:
    @pytest.fixture
    def played(self, host, sample):
        """The sample as the first of three frames, each of them moved by some voxels against the one before."""
        scene = host.scene
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
        volume = read_volume(SAMPLE)
        for index in range(3):
            array = np.roll(volume.array, 2 * index, axis=1)
            frame = add_volume_node(scene, replace(volume, array=np.ascontiguousarray(array), modality="MR"))
            sequence.SetDataNodeAtValue(frame, str(index))
            scene.RemoveNode(frame)
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "player")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        browser.AddProxyNode(sample, sequence, False)
        browser.SetSelectedItemNumber(0)
        return browser

    def test_each_frame_gets_its_own_result_played_along(self, session, sample, played, host):
        volume = read_volume(SAMPLE)
        assert session.forecast(request_for(sample, all_frames=True)).words.startswith("3 frames of ")
        run = session.submit(request_for(sample, all_frames=True))
        assert run.frames == 3
        told = []
        host.wait_until(lambda: told.append(run.words) or run.finished)
        assert run.error is None
        assert any(words.startswith("Frame 2 of 3: ") for words in told)
        assert run.words == "Done: 3 frames"
        engine = Segmenter(find_bundle())
        for index in range(3):
            played.SetSelectedItemNumber(index)
            host.process_events(0.05)
            array = np.ascontiguousarray(np.roll(volume.array, 2 * index, axis=1))
            expected = engine.segment([replace(volume, array=array)]).layers[0]
            np.testing.assert_array_equal(labels_of(run.node, volume.array.shape, volume.affine), expected)

    def test_frames_that_were_done_before_a_cancel_stay(self, session, sample, played, host):
        run = session.submit(request_for(sample, all_frames=True))
        host.wait_until(lambda: run.frame == 2)
        session.cancel(run)
        host.wait_until(lambda: run.finished)
        assert run.words == "Cancelled: the first 1 of 3 frames are segmented"
        assert run.node is not None

    def test_deleting_the_sequence_cancels(self, session, sample, played, host):
        run = session.submit(request_for(sample, all_frames=True))
        host.wait_until(is_running(run))
        host.scene.RemoveNode(played)
        host.wait_until(lambda: run.finished)
        assert run.words == "Cancelled, since “player” was deleted: nothing was changed"

    def test_a_volume_that_is_no_sequence_is_one_frame(self, session, sample, host):
        run = session.submit(request_for(sample, all_frames=True))
        host.wait_until(lambda: run.finished)
        assert run.error is None
        assert run.frames == 1


WITHOUT_PACKAGES = """
import json
import numpy as np
import slicer
from host import Host

with Host(without=("torch", "monai", "pydantic")) as host:
    logic = host.open_module({module!r}).logic
    node = host.load_volume_node({sample!r}, Modality="MR")
    from TransformerSegLib.panel.request import Request
    request = Request((node,), "hippocampus_swin_unetr")
    check, told = logic.session.check(request), []
    run = logic.session.submit(request, lambda run: told.append(run.words))
    print(json.dumps({{
        "verdict": check.verdict.value, "line": check.line, "forecast": logic.session.forecast(request),
        "inputs": logic.session.propose_inputs(request.model, node), "error": type(run.error).__name__,
        "report": run.report, "told": told, "devices": [device.name for device in logic.session.devices()],
    }}))
"""


def test_without_packages_the_input_is_unchecked_and_a_run_says_what_is_missing():
    module = Path(TransformerSegLib.__file__).parents[1] / "TransformerSeg.py"
    folders = f"import sys; sys.path[:0] = {[str(module.parent), str(Path(__file__).parents[1])]!r}"
    script = folders + WITHOUT_PACKAGES.format(module=str(module), sample=str(SAMPLE))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["verdict"], told["forecast"], told["inputs"]) == ("unchecked", None, {})
    assert told["line"] == "The input is checked once the Python packages are installed"
    assert told["error"] == "PackagesMissing"
    assert told["told"][0] == "Installing Python packages …"
    assert "torch not installed, monai not installed" in told["report"]
    assert told["devices"] == ["cpu"]


class TestErrors:
    def test_an_error_that_nobody_thought_of_keeps_its_traceback_for_the_report(self, session, host, monkeypatch):
        from TransformerSegLib.panel import work
        from TransformerSegLib.panel.remedies import Unexpected

        def fail(*arguments) -> None:
            raise ValueError("“DOE JANE” went wrong at /data/DOE^JANE/1 a.nii")

        monkeypatch.setattr(work.Engine, "segmenter", fail)
        node = add_volume_node(host.scene, replace(read_volume(SAMPLE), name="DOE JANE", modality="MR"))
        run = session.submit(request_for(node))
        host.wait_until(lambda: run.finished)
        assert isinstance(run.error, Unexpected)
        assert run.words == "Something unexpected happened (ValueError)"
        assert run.error.remedy.startswith("Copy the report")
        assert "Traceback" in run.report
        assert "TransformerSegLib/panel/work.py" in run.report
        assert "ValueError: “<node>” went wrong at <file>" in run.report
        assert session.report(run) == run.report

    def test_names_that_were_given_while_the_run_went_on_are_not_in_its_report(self, session, sample, host):
        run = session.submit(request_for(sample, preset=Preset.BEST))
        host.wait_until(is_running(run))
        sample.SetName("DOE JANE")
        sample.SetIJKToRASMatrix(scaled_grid_of(sample, 2.0))
        host.wait_until(lambda: run.finished)
        assert isinstance(run.error, errors.GridMismatch)
        assert "DOE" in run.error.what
        assert "DOE" not in run.report

    def test_a_report_names_versions_model_and_geometry_but_no_person(self, session, host):
        node = add_volume_node(host.scene, replace(read_volume(MR), name="MUSTERMANN ERIKA T1", modality="MR"))
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(host.scene)
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Mustermann^Erika (4711-0815)")
        hierarchy.SetItemAttribute(patient, "DICOM.PatientName", "Mustermann^Erika")
        hierarchy.SetItemAttribute(patient, "DICOM.PatientID", "4711-0815")
        run = session.submit(request_for(node, device="cuda:7", accept_mismatch=True))
        host.wait_until(lambda: run.finished)
        assert isinstance(run.error, errors.DeviceUnavailable)
        assert "--" not in run.error.remedy
        failure = RuntimeError(f"MUSTERMANN, erika 4711-0815 in {Path.home()}/study by {getpass.getuser()}")
        for report in (run.report, session.report(failure)):
            for secret in ("mustermann", "erika", "4711", str(Path.home()).lower() + "/"):
                assert secret not in report.lower()
        assert f"Model: {DEFAULT_MODEL} {find_bundle().card.version}" in run.report
        assert f"Weights: SHA-256 {find_bundle().weights_sha256}" in run.report
        shape = "×".join(map(str, read_volume(MR).array.shape))
        assert f"Input 1: {shape} voxels of " in run.report
        assert f"TransformerSeg {TransformerSegLib.__version__}" in run.report
        assert "torch 2." in run.report

    @pytest.mark.parametrize("kind", sorted({error.__name__ for error in errors.TransformerSegError.__subclasses__()}))
    def test_typed_errors_keep_their_kind(self, host, kind):
        from TransformerSegLib.panel.remedies import for_panel

        error = getattr(errors, kind)("It", why="because", remedy="Do so")
        assert type(for_panel(error)) is type(error)

    def test_no_remedy_in_the_panel_names_an_option_of_the_command(self, host):
        from TransformerSegLib.panel.remedies import for_panel

        named = errors_whose_remedy_names_an_option()
        assert {"OutOfMemory", "DeviceUnavailable"} <= named
        mismatches = {
            "InputMismatch",
            "ModalityMismatch",
            "SpacingMismatch",
            "FieldOfViewMismatch",
            "FieldOfViewTooLarge",
            "FrameOfReferenceMismatch",
        }
        for kind in (named | mismatches) - ONLY_ON_THE_COMMAND_LINE:
            told = for_panel(getattr(errors, kind)("It", why="because", remedy="Pass --option"))
            assert "--" not in str(told), kind


ONLY_ON_THE_COMMAND_LINE = {
    "AssignmentUnclear",
    "CheckpointRejected",
    "OutputRejected",
    "SeriesNotFound",
    "SeveralSeries",
    "TrainingDataRejected",
}
"""Errors of reading and writing files, which Slicer does itself, of making models of checkpoints, and of
pretraining."""


def errors_whose_remedy_names_an_option() -> set[str]:
    """The kinds of error that the library below panel and command line makes with "--" in their remedy, as its source
    has it."""
    found = set()
    package = Path(TransformerSegLib.__file__).parent
    for path in package.rglob("*.py"):
        if path.name == "cli.py" or path.parent.name in ("commands", "panel"):
            continue
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                remedies = [keyword.value for keyword in node.keywords if keyword.arg == "remedy"]
                text = "".join(ast.get_source_segment(source, remedy) or "" for remedy in remedies)
                if hasattr(errors, node.func.id) and ("--" in text or "{ACCEPT}" in text):
                    found.add(node.func.id)
    return found
