"""``transformerseg models``, as it is used: what it lists, fetches, packs, moves and deletes, and asks before."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from TransformerSegLib import cli
from TransformerSegLib.bundles import published as published_module
from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL
from TransformerSegLib.bundles.library import ModelLibrary
from TransformerSegLib.bundles.models_folder import ENVIRONMENT
from TransformerSegLib.bundles.published import published_models

from bundle_factory import write_bundle
from model_server import ModelServer, published

WEIGHTS = "models/model.safetensors"
PUBLISHED = (
    "swin_unetr_btcv_segmentation",
    "wholeBrainSeg_Large_UNEST_segmentation",
    "renalStructures_UNEST_segmentation",
    "swin_unetr_brats21",
)

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the models, by the environment."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def models(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Command:
    """``models ARGUMENT…`` → exit code, and all that was said."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["transformerseg", "models", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO())  # nobody is there to answer
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out + said.err

    return run


@pytest.fixture(scope="module")
def spleen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "spleen", classes=("spleen",))


@pytest.fixture
def server(spleen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """Gives the spleen's weights out, and the catalogue that ships lists that model alone."""
    (tmp_path / "Models").mkdir()
    monkeypatch.setattr(published_module, "resources_folder", lambda: tmp_path)
    with published(spleen, tmp_path / "Models" / "catalogue.json") as server:
        yield server


def test_published_models_are_listed_with_size_dice_and_terms(models: Command):
    code, said = models()
    assert code == 0
    for name in (DEFAULT_MODEL, *PUBLISHED):
        assert name in said
    assert said.count("to be downloaded, about") == len(PUBLISHED)
    assert said.count("its licence restricts the use") == 2


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_card_of_a_published_model_says_where_it_comes_from_and_under_which_terms(models: Command, name: str):
    code, said = models(name)
    model = published_models()[name]
    assert code == 0
    assert "not on this computer yet" in said
    for fact in (model.weights.address, model.weights.hash_value or "none is published", model.licence, model.page):
        assert fact in said


def test_a_model_is_downloaded_once_it_is_asked_for(models: Command, server: ModelServer, folder: Path):
    code, said = models("download", "spleen", "--yes")
    assert code == 0
    assert "--model spleen" in said
    assert "127.0.0.1" in said
    assert (folder / "spleen" / WEIGHTS).read_bytes() == server.content
    assert models("download", "spleen")[0] == 0
    assert len(server.asked) == 1
    assert "Weights SHA-256" in models("spleen")[1]


def test_nothing_is_downloaded_where_nobody_says_yes(models: Command, server: ModelServer):
    code, said = models("download", "spleen")
    assert code != 0
    assert "--yes" in said
    assert server.asked == []


def test_restricting_terms_are_to_be_accepted_first(models: Command, server: ModelServer, spleen: Path, tmp_path: Path):
    with published(spleen, tmp_path / "Models" / "catalogue.json", licence="CC BY-NC 4.0") as restricting:
        code, said = models("download", "spleen", "--yes")
        assert code != 0
        assert "--accept-licence" in said
        assert restricting.asked == []
        assert models("download", "spleen", "--yes", "--accept-licence")[0] == 0


def test_a_name_that_is_not_listed_is_refused(models: Command, server: ModelServer):
    code, said = models("download", "liver", "--yes")
    assert code != 0
    assert "no model “liver” to be downloaded" in said


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing.zip", "“nothing.zip” does not exist"),
        ("epoch_150.pth", "transformerseg import epoch_150.pth --labels labels.json"),
    ],
)
def test_what_is_no_bundle_is_refused_with_what_to_do(models: Command, tmp_path: Path, name: str, told: str):
    (tmp_path / "epoch_150.pth").write_bytes(b"weights")
    code, said = models("import", tmp_path / name)
    assert code != 0
    assert told in " ".join(said.split())


def test_a_model_is_carried_to_another_computer(models: Command, spleen: Path, folder: Path, tmp_path: Path):
    archive = tmp_path / "carried.zip"
    assert models("import", spleen)[0] == 0
    assert models("export", "spleen", archive)[0] == 0
    code, said = models("export", "spleen", archive)
    assert code != 0
    assert "exists already" in said
    assert "add --overwrite" in said
    assert models("export", "spleen", archive, "--overwrite")[0] == 0
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
    assert models("import", archive, "--folder", tmp_path / "other")[0] == 0
    assert (tmp_path / "other" / "spleen" / WEIGHTS).read_bytes() == (spleen / WEIGHTS).read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_folder_is_shown_moved_and_emptied_of_downloads(
    models: Command, server: ModelServer, folder: Path, tmp_path: Path
):
    assert "nothing in it" in models("folder")[1]
    models("import", write_bundle(tmp_path / "mine", seed=1))
    models("download", "spleen", "--yes")
    assert str(folder) in models("folder")[1]
    code, said = models("folder", "--move-to", tmp_path / "moved")
    assert code == 0
    assert f"{ENVIRONMENT}={tmp_path / 'moved'}" in said
    moved = ("--folder", tmp_path / "moved")
    assert models("empty", *moved)[0] != 0
    assert "was freed" in models("empty", "--yes", *moved)[1]
    assert [summary.name for summary in ModelLibrary(tmp_path / "moved").summaries() if summary.imported] == ["mine"]
    assert not (tmp_path / "moved" / "spleen").exists()
    assert models("remove", "mine", *moved)[0] == 0


WITHOUT_A_NETWORK = """
import os, sys
from TransformerSegLib import cli
def watch(event, arguments):
    if event.startswith("socket."):
        os.write(2, f"{event} {arguments}".encode())
        os._exit(99)
sys.addaudithook(watch)
sys.argv = ["transformerseg", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["models"], 0),
        (["models", PUBLISHED[0]], 0),
        (["models", "folder"], 0),
        (["models", "download", PUBLISHED[0]], 130),
        (["models", "download", PUBLISHED[1], "--yes"], 2),
        (["segment", "none.nii.gz", "--model", PUBLISHED[0], "--output", "none.nrrd"], 2),
    ],
)
def test_no_socket_is_opened_where_no_download_was_agreed_to(arguments: list[str], code: int, folder: Path):
    command = [sys.executable, "-c", WITHOUT_A_NETWORK, *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert "socket." not in done.stderr
    assert done.returncode == code


def test_a_socket_would_have_been_seen(folder: Path):
    command = [sys.executable, "-c", WITHOUT_A_NETWORK, "models", "download", PUBLISHED[0], "--yes"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "socket." in done.stderr) == (99, True)


def test_the_catalogue_says_of_each_fact_where_it_comes_from():
    facts = {"weights", "parameters", "licence", "classes", "codes", "colours", "dice", "configuration"}
    for model in published_models().values():
        assert facts <= model.sources.keys(), model.name
        assert all(model.sources.values())
