"""A DICOM segmentation out of the panel, while the window goes on: module code and the real MRML scene, on a stand-in
for Slicer's Qt layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer

from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.scene.volumes import volume_affine

from dicom_files import changed
from dicom_segmentations import assert_same_places, places, places_of, read_back
from example_segmentation import PROVENANCE, segment_class
from host import Host
from host.guard import record_calls
from mrml_reading import mask_on_grid
from panel_user import PanelUser
from scene_runs import put

DICOM, SURFACES = 0, 1
"""Entries of the menu."""


@pytest.fixture
def series(tmp_path) -> Path:
    return changed("hippocampus_mr", tmp_path / "series", lambda data_set, index: None)


@pytest.fixture
def user(series):
    """A volume from DICOM, its result, and the review of that."""
    with Host() as host:
        user = PanelUser(host)
        volume = user.load(series, "MR")
        layer = np.zeros(volume.GetImageData().GetDimensions(), np.uint8)
        layer[4:20, 5:30, 4:20] = 2
        segment = Segment(segment_class(2, "Hippocampus"), 0, 1.0)
        put(host.scene, Segmentation((layer,), volume_affine(volume), (segment,), "MR", PROVENANCE), volume)
        user.wait()
        user.fold("reviewCollapsibleButton", False)
        yield user


def export(user: PanelUser, path: Path, entry: int = DICOM) -> None:
    """Ask for it; what is said is drawn, and what is written is written later."""
    user.host.dialogs.answer(str(path))
    user.ui.exportReviewButton.menu().actions()[entry].trigger()


def wait_for_export(user: PanelUser) -> None:
    user.wait_until(lambda: user.ui.exportReviewButton.enabled)


def mask_of(user: PanelUser) -> np.ndarray:
    volume = slicer.util.getNode("MR")
    return mask_on_grid(user.result(), "Segment_2", volume.GetImageData().GetDimensions(), volume_affine(volume))


def test_it_is_written_beside_the_window_as_the_segments_were(user, tmp_path):
    expected, volume = mask_of(user), slicer.util.getNode("MR")
    with record_calls() as calls:
        export(user, tmp_path / "mr.dcm")
        assert user.reads("reviewMessage") == "Writing mr.dcm …"
        assert not user.ui.exportReviewButton.enabled
        assert user.sees("cancelExportButton")
        array = slicer.util.arrayFromSegmentBinaryLabelmap(user.result(), "Segment_2", volume)
        array[:4, :4, :4] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, user.result(), "Segment_2", volume)
        wait_for_export(user)
    assert calls.threads == {"TransformerSeg worker"}
    assert not calls
    assert user.reads("reviewMessage") == "✓ Exported to mr.dcm."
    assert not user.sees("cancelExportButton")
    found, numbers = read_back(tmp_path / "mr.dcm")
    assert_same_places(places(found, numbers["Hippocampus"]), places_of(expected, volume_affine(volume)))


def test_cancelled_it_leaves_no_file_and_can_be_asked_for_again(user, tmp_path):
    export(user, tmp_path / "mr.dcm")
    user.ui.cancelExportButton.click()
    assert user.reads("reviewMessage") == "Cancelling …"
    wait_for_export(user)
    assert user.reads("reviewMessage") == "Cancelled: nothing was written."
    assert list(tmp_path.glob("*.dcm")) == []
    export(user, tmp_path / "mr.dcm")
    wait_for_export(user)
    assert (tmp_path / "mr.dcm").is_file()


def test_what_prevents_it_is_said_in_words(user, series, tmp_path):
    image = sorted(series.iterdir())[0]
    image.write_bytes(b"no longer an image")
    export(user, tmp_path / "mr.dcm")
    wait_for_export(user)
    assert image.name in user.reads("reviewMessage")
    image.unlink()
    export(user, tmp_path / "mr.dcm")
    assert "not in Slicer's DICOM database any more" in user.reads("reviewMessage")
    assert user.ui.exportReviewButton.enabled
    assert list(tmp_path.glob("*.dcm")) == []


def test_a_scene_that_is_closed_meanwhile_takes_nothing_away(user, tmp_path):
    expected, affine = mask_of(user), volume_affine(slicer.util.getNode("MR"))
    export(user, tmp_path / "mr.dcm")
    user.host.scene.Clear()
    user.wait_until((tmp_path / "mr.dcm").is_file)
    user.wait()
    found, numbers = read_back(tmp_path / "mr.dcm")
    assert_same_places(places(found, numbers["Hippocampus"]), places_of(expected, affine))


def test_a_module_that_is_reloaded_meanwhile_ends_it(user, tmp_path):
    export(user, tmp_path / "mr.dcm")
    user.opened.widget.cleanup()
    assert list(tmp_path.glob(".*")) == []
    widget = user.opened.file.TransformerSegWidget(user.opened.panel)
    user.opened.panel.stand_for(widget)
    widget.setup()
    user.wait()
    for path in tmp_path.glob("*.dcm"):
        read_back(path)


def test_surfaces_say_before_the_window_stands_still_why(user, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(user.panel._review._export, "_announce", said.append)
    export(user, tmp_path, SURFACES)
    assert said == ["Making surfaces: Slicer waits for them …"]
    assert user.reads("reviewMessage") == f"✓ 1 file is in {tmp_path.name}."
    assert (tmp_path / "Hippocampus.stl").is_file()
