"""Models that are not on this computer yet, as a person meets them: offered, downloaded, broken off, gone on with.

Module code, the real MRML scene and a real server on this computer, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import slicer

from bundle_factory import change_json, write_bundle
from host import Host
from host.guard import record_calls
from model_server import BLOCK_BYTES, ModelServer, published
from panel_user import PanelUser

HIPPOCAMPUS = "Hippocampus, Swin UNETR"
ABDOMEN = "Abdomen, UNETR"
STRUCTURES = ("Liver", "Spleen", "Portal vein")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = write_bundle(tmp_path_factory.mktemp("published") / "abdomen", classes=STRUCTURES)
    metadata = folder / "configs" / "metadata.json"
    own = json.loads(metadata.read_text(encoding="utf-8"))["transformerseg"]
    change_json(metadata, transformerseg={**own, "title": ABDOMEN})
    return folder


@pytest.fixture
def server(bundle, tmp_path) -> Iterator[ModelServer]:
    with published(bundle, tmp_path / "catalogue.json") as server:
        yield server


@pytest.fixture
def user(server, tmp_path) -> Iterator[PanelUser]:
    with Host() as host:
        user = PanelUser(host, catalogue=tmp_path / "catalogue.json")
        user.load()
        yield user


@pytest.fixture
def held(server) -> ModelServer:
    """Gives a part out, and the rest when ``held_from`` is None."""
    server.held_from = 20 * BLOCK_BYTES
    return server


def start(user: PanelUser) -> None:
    """Press Download, and wait for the first bytes."""
    user.choose_model(ABDOMEN)
    user.click("downloadButton")
    user.wait_until(lambda: user.opened.logic.libraryWork.changes[0].transfer.done)


def download(user: PanelUser) -> None:
    user.choose_model(ABDOMEN)
    user.click("downloadButton")
    user.wait_for_models()


def partial_bytes(user: PanelUser) -> int:
    return sum(file.stat().st_size for file in user.models_folder().rglob("*.part"))


def test_a_model_to_be_downloaded_is_listed_with_its_size_and_found_by_its_structures(user, server):
    assert f"3 structures · to be downloaded, {len(server.content) / 1e6:.0f} MB" in user.model_row(ABDOMEN)

    user.ui.searchEdit.text = "portal"

    assert user.models() == [ABDOMEN]


def test_segment_says_to_download_first_and_where_the_file_comes_from_is_shown(user, server):
    user.choose_model(ABDOMEN)

    assert not user.ui.segmentButton.enabled
    assert user.ui.segmentButton.toolTip == "Download this model first"
    assert user.reads("reasonLabel") == "Download this model first"
    assert "from 127.0.0.1" in user.reads("downloadLabel")
    assert user.ui.downloadLabel.toolTip == server.address
    assert f"{len(server.content) / 1e6:.0f} MB" in user.reads("downloadLabel")
    assert server.asked == []


def test_nothing_is_asked_of_any_server_before_download_is_pressed(user, monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    user.choose_model(ABDOMEN)
    user.click("cardButton")
    user.ui.searchEdit.text = "liver"
    user.ui.searchEdit.text = ""
    user.choose_model(HIPPOCAMPUS)
    user.segment()

    assert user.result().GetSegmentation().GetNumberOfSegments() == 2
    with pytest.raises(AssertionError, match="a socket was opened"):
        socket.create_connection(("127.0.0.1", 9))


def test_a_downloaded_model_is_chosen_and_segments(user):
    download(user)

    assert user.panel_model() == ABDOMEN
    assert "on disk" in user.model_row(ABDOMEN)
    assert not user.sees("downloadBox")
    assert user.changes() == []
    user.segment()
    assert [row[0] for row in user.table()] == list(STRUCTURES)


def test_a_download_says_how_far_it_is_how_fast_and_for_how_long_still(user, server):
    server.seconds_per_block = 10 / (len(server.content) / BLOCK_BYTES)
    start(user)
    user.wait_until(lambda: "left" in user.changes()[0])

    [words] = user.changes()
    assert words.startswith(f"Downloading “{ABDOMEN}”")
    assert f"of {len(server.content) / 1e6:.0f} MB" in words
    assert "MB/s, about" in words
    assert 0 < user.ui.changeBar.value < user.ui.changeBar.maximum
    assert user.reads("reasonLabel") == "Wait until the model is there"


def test_a_network_that_falls_silent_is_seen_to(user, held):
    start(user)
    user.wait_until(lambda: "nothing came for" in user.changes()[0], 10)


def test_a_cancelled_download_keeps_what_came_and_goes_on_from_there(user, held):
    start(user)
    user.click("changeCancelButton")
    user.wait_for_models()
    kept = partial_bytes(user)

    assert kept > 0
    assert user.changes() == []
    assert not user.sees("licenceBox")
    assert "MB came already" in user.reads("downloadLabel")
    assert user.ui.downloadButton.text == "Download the rest"
    held.held_from = None
    download(user)
    assert held.asked == [0, kept]
    assert "on disk" in user.model_row(ABDOMEN)


def test_a_download_that_fails_says_why_and_goes_on_with_another_try(user, server):
    server.faults.extend([-4 * BLOCK_BYTES, 404])
    download(user)

    [words] = user.changes()
    assert words.startswith(f"✗ “{ABDOMEN}” was not downloaded")
    assert "404" in words
    assert "→" in words
    user.click("changeAgainButton")
    user.wait_for_models()
    assert server.asked[-1] == 4 * BLOCK_BYTES
    assert user.panel_model() == ABDOMEN
    assert "on disk" in user.model_row(ABDOMEN)
    assert user.changes() == []


def test_what_is_not_the_published_file_is_never_listed(user, server):
    server.content = server.content[:-1] + bytes([server.content[-1] ^ 1])
    download(user)

    assert "is not the file that was expected" in user.changes()[0]
    assert "to be downloaded" in user.model_row(ABDOMEN)
    assert partial_bytes(user) == 0
    user.click("changeCloseButton")
    assert user.changes() == []


def test_a_segmentation_runs_while_a_model_is_downloaded(user, held):
    start(user)
    user.choose_model(HIPPOCAMPUS)

    user.segment()

    assert len(user.table()) == 2
    assert user.opened.logic.libraryWork.changes


def test_who_has_chosen_another_model_since_keeps_that(user, held):
    start(user)
    user.choose_model(HIPPOCAMPUS)
    held.held_from = None
    user.wait_for_models()

    assert user.panel_model() == HIPPOCAMPUS
    assert "on disk" in user.model_row(ABDOMEN)


def test_a_download_goes_on_while_another_module_is_shown_and_when_the_scene_is_closed(user, held):
    start(user)
    slicer.util.selectModule("")
    user.host.scene.Clear()
    user.wait()
    held.held_from = None
    user.wait_for_models()
    slicer.util.selectModule("TransformerSeg")
    user.wait()

    assert "on disk" in user.model_row(ABDOMEN)
    assert user.changes() == []


def test_slicer_can_quit_during_a_download_and_what_came_is_kept(server, tmp_path, held):
    folder = tmp_path / "models"
    with Host() as host:
        user = PanelUser(host, catalogue=tmp_path / "catalogue.json", models_folder=folder)
        start(user)
        work = user.opened.logic.libraryWork

    assert work.changes == ()
    assert sum(file.stat().st_size for file in folder.rglob("*.part")) > 0
    assert not [thread for thread in threading.enumerate() if thread.name == "TransformerSeg worker"]


def test_a_restricting_licence_is_acknowledged_before_the_download(bundle, tmp_path):
    with published(bundle, tmp_path / "c.json", licence="CC-BY-NC-4.0") as server, Host() as host:
        user = PanelUser(host, catalogue=tmp_path / "c.json")
        user.load()
        user.choose_model(ABDOMEN)

        assert "CC-BY-NC-4.0" in user.reads("licenceLabel")
        assert f'href="{server.address}"' in user.ui.licenceLabel.text
        assert not user.ui.downloadButton.enabled
        assert user.ui.downloadButton.toolTip == "Read and acknowledge the licence first"
        user.click("licenceCheckBox")
        download(user)
        assert user.ui.segmentButton.enabled
        assert server.asked == [0]


def test_what_downloads_touches_neither_qt_nor_mrml_nor_a_log_handler_in_its_threads(user):
    """urllib3 logs every connection, and Slicer's log handler makes Qt objects."""
    threads: dict[str, str] = {}

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            threads[record.name] = threading.current_thread().name

    root, handler = logging.getLogger(), Handler()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        with record_calls() as calls:
            download(user)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)

    assert {"TransformerSeg worker", "download"} <= calls.threads
    assert not calls
    assert threads["urllib3.connectionpool"] == threading.main_thread().name
    assert set(threads.values()) == {threading.main_thread().name}


def test_the_folder_of_models_is_measured_moved_and_emptied(user, tmp_path):
    user.import_folder(write_bundle(tmp_path / "mine"))
    download(user)
    size = user.opened.logic.session.models.bytes_on_disk()
    assert f"{size / 1e6:.0f} MB" in user.reads("folderButton")
    user.click("folderButton")
    other = tmp_path / "other disk"
    other.mkdir()

    user.host.dialogs.answer(str(other), True)
    user.click("moveFolderButton")
    user.wait_for_models()

    assert str(other) in user.reads("folderPath")
    assert [words for words in user.changes() if "The models are in" in words]
    assert user.models_folder() == Path(slicer.app.userSettings().value("TransformerSeg/ModelsFolder"))
    user.choose_model(ABDOMEN)
    user.segment()
    assert [row[0] for row in user.table()] == list(STRUCTURES)

    user.host.dialogs.answer(True)
    user.click("emptyFolderButton")
    user.wait_for_models()
    left = user.opened.logic.session.models.bytes_on_disk()
    assert f"({(size - left) / 1e6:.0f} MB)" in user.host.dialogs.asked[-1]
    assert not user.ui.emptyFolderButton.enabled
    assert user.ui.emptyFolderButton.toolTip == "Nothing was downloaded"

    assert "to be downloaded" in user.model_row(ABDOMEN)
    assert "free again" in user.changes()[-1]
    assert left > 0, "an imported model is never deleted so"


def test_the_folder_that_was_chosen_is_used_at_the_next_start(tmp_path):
    with Host() as host:
        user = PanelUser(host, models_folder=tmp_path / "elsewhere")

        assert user.models_folder() == tmp_path / "elsewhere"


def test_the_folder_stays_where_it_is_while_something_is_segmented_or_downloaded(user, held):
    user.click("folderButton")
    start(user)

    assert not user.ui.moveFolderButton.enabled
    assert not user.ui.emptyFolderButton.enabled
    assert "Wait" in user.ui.moveFolderButton.toolTip


def test_a_downloaded_model_can_be_removed_and_is_then_offered_again(user):
    download(user)
    user.host.dialogs.answer(True)
    user.click("removeButton")
    user.wait_for_models()

    assert "to be downloaded" in user.model_row(ABDOMEN)
