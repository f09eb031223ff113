"""The models that a user can choose: listed without heavy packages, imported whole and safely or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles import shelf
from TransformerSegLib.bundles.bundle_copy import MAXIMUM_WEIGHTS_BYTES
from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL
from TransformerSegLib.bundles.fetching import DOWNLOAD_LOCK, DOWNLOADS
from TransformerSegLib.bundles.fields import OWN_BLOCK
from TransformerSegLib.bundles.library import ModelLibrary
from TransformerSegLib.bundles.licences import restricts
from TransformerSegLib.bundles.patience import Patience
from TransformerSegLib.bundles.recorded_hashes import HASHES
from TransformerSegLib.bundles.shelf import DRAFT_PREFIX, FORGOTTEN_SECONDS
from TransformerSegLib.bundles.summary import ModelSummary, read_summary
from TransformerSegLib.bundles.weights import MAXIMUM_FILE_BYTES
from TransformerSegLib.errors import BundleRejected, Cancelled, DownloadFailed, OutputRejected
from TransformerSegLib.resources import resources_folder

import killed_downloads
from bundle_factory import change_json, write_bundle
from damage import mutated
from model_server import BLOCK_BYTES, ModelServer, published

WEIGHTS = "models/model.safetensors"

MAXIMUM_FILE_NAME_BYTES = 255
DEVICES_OF_WINDOWS = {"con", "nul", "aux", "com1"}


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    return ModelLibrary(tmp_path / "library" / "models")


@pytest.fixture(scope="module")
def spleen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle; not to be changed."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "spleen", classes=("spleen",))


@pytest.fixture
def own_spleen(spleen: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(spleen, tmp_path / "own" / "spleen")


def zipped(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                written.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def on_disk(library: ModelLibrary) -> list[ModelSummary]:
    return [summary for summary in library.summaries() if summary.on_disk or not summary.downloadable]


def names(library: ModelLibrary) -> list[str]:
    return [summary.name for summary in on_disk(library)]


def left_in(library: ModelLibrary) -> list[str]:
    """Names in its folder, but for locks, which stay."""
    found = library.folder.iterdir() if library.folder.exists() else ()
    return sorted(path.name for path in found if not path.name.endswith(".lock"))


# Summaries


def test_the_embedded_model_is_listed_where_nothing_was_imported(library: ModelLibrary):
    (embedded,) = on_disk(library)
    card = library.bundle(DEFAULT_MODEL).card
    assert (embedded.name, embedded.title, embedded.description) == (DEFAULT_MODEL, card.title, card.description)
    assert embedded.structures == tuple(segment_class.name for segment_class in card.classes)
    assert embedded.inputs == tuple(given.name for given in card.inputs)
    assert (embedded.modality, embedded.licence) == ("MR", card.licence)
    assert embedded.bytes == (embedded.folder / WEIGHTS).stat().st_size
    assert embedded.on_disk
    assert not embedded.restricted
    assert not embedded.imported
    assert embedded.fault == ""


def test_a_summary_says_what_the_card_says_where_only_monais_fields_are_there(tmp_path: Path):
    folder = write_bundle(tmp_path / "brain", inputs=("T1c", "FLAIR"), classes=("core", "edema"))
    path = folder / "configs/metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    metadata["network_data_format"]["inputs"]["image"]["modality"] = "MRI"
    change_json(path, **{OWN_BLOCK: None, "network_data_format": metadata["network_data_format"]})
    summary, card = read_summary(folder), ModelLibrary(tmp_path).bundle("brain").card
    assert (summary.title, summary.modality, summary.licence) == (card.title, "MR", card.licence)
    assert summary.structures == tuple(segment_class.name for segment_class in card.classes) == ("core", "edema")
    assert summary.inputs == tuple(given.name for given in card.inputs) == ("T1c", "FLAIR")


def test_summaries_need_no_package_that_slicer_lacks(library: ModelLibrary, spleen: Path):
    library.import_bundle(spleen)
    script = f"""
import json, sys
for name in ("pydantic", "torch", "monai", "safetensors", "einops", "numpy"):
    sys.modules[name] = None
from TransformerSegLib.bundles.library import ModelLibrary
from TransformerSegLib.errors import BundleRejected
library = ModelLibrary({str(library.folder)!r})
print(json.dumps([summary.name for summary in library.summaries() if summary.on_disk]))
try:
    library.import_bundle({str(spleen)!r})
except BundleRejected as rejected:
    print(rejected.remedy)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    listed, remedy = done.stdout.splitlines()
    assert json.loads(listed) == [DEFAULT_MODEL, "spleen"]
    assert remedy.startswith("Press Segment once")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), "has no weights"),
        (lambda folder: (folder / "configs/metadata.json").write_text("{"), "cannot be read"),
    ],
)
def test_a_model_that_cannot_be_used_is_listed_with_its_fault(
    library: ModelLibrary, spleen: Path, damage: Callable[[Path], None], fault: str
):
    damage(library.import_bundle(spleen).folder)
    (summary,) = [summary for summary in library.summaries() if summary.imported]
    assert fault in summary.fault
    assert summary.name == "spleen"


def test_no_damage_to_metadata_stops_the_list(own_spleen: Path):
    whole = (own_spleen / "configs/metadata.json").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        (own_spleen / "configs/metadata.json").write_bytes(mutated(whole, len(whole), random))
        assert read_summary(own_spleen).name == "spleen"


@pytest.mark.parametrize(
    ("licence", "restricted"),
    [
        ("Apache-2.0", False),
        ("CC-BY-SA-4.0 (https://creativecommons.org/licenses/by-sa/4.0/)", False),
        ("MIT License", False),
        ("", False),
        ("CC BY-NC-SA 4.0", True),
        ("CC BY-ND 4.0", True),
        ("NVIDIA Source Code License", True),
        ("For non-commercial use", True),
        ("Free for academic use under the MIT licence", True),
    ],
)
def test_a_licence_is_acknowledged_where_it_restricts_or_is_not_known(licence: str, restricted: bool):
    assert restricts(licence) is restricted


# Importing


def test_an_imported_folder_is_found_by_its_name_wherever_the_library_lies(library: ModelLibrary, spleen: Path):
    summary = library.import_bundle(spleen)
    assert (summary.name, summary.imported, summary.structures) == ("spleen", True, ("spleen",))
    assert library.bundle("spleen").weights_sha256 == ModelLibrary(spleen.parent).bundle("spleen").weights_sha256
    moved = library.folder.rename(library.folder.with_name("moved"))
    assert ModelLibrary(moved).bundle("spleen").folder == moved / "spleen"


@pytest.mark.parametrize("prefix", ["", "spleen/", "release/spleen/"])
def test_a_zip_archive_is_imported_whatever_folder_is_around_the_bundle(
    library: ModelLibrary, spleen: Path, tmp_path: Path, prefix: str
):
    summary = library.import_bundle(zipped(spleen, tmp_path / "spleen.zip", prefix))
    assert summary.name == "spleen"
    assert (summary.folder / WEIGHTS).read_bytes() == (spleen / WEIGHTS).read_bytes()


def test_an_archive_with_backslashes_is_read(library: ModelLibrary, spleen: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "from_windows.zip", "w") as archive:
        for path in (path for path in spleen.rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo("spleen\\" + "\\".join(path.relative_to(spleen).parts)), path.read_bytes())
    assert library.import_bundle(tmp_path / "from_windows.zip").name == "spleen"


def test_the_folder_around_a_bundle_may_be_chosen(library: ModelLibrary, own_spleen: Path):
    assert library.import_bundle(own_spleen.parent).name == "spleen"


def test_only_the_files_that_are_used_are_copied(library: ModelLibrary, own_spleen: Path):
    (own_spleen / "scripts").mkdir()
    (own_spleen / "scripts/__init__.py").write_text("raise SystemExit")
    (own_spleen / "models/model.pt").write_bytes(b"unused")
    folder = library.import_bundle(own_spleen).folder
    copied = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert copied == {"configs/metadata.json", "configs/inference.json", WEIGHTS, "LICENSE"}


def test_the_same_model_is_imported_once_under_whatever_name(library: ModelLibrary, spleen: Path, tmp_path: Path):
    first = library.import_bundle(spleen)
    assert library.import_bundle(zipped(spleen, tmp_path / "other_name.zip")) == first
    assert library.import_bundle(resources_folder() / "Models" / DEFAULT_MODEL).name == DEFAULT_MODEL
    assert names(library) == [DEFAULT_MODEL, "spleen"]


def test_the_same_model_is_imported_once_by_two_at_the_same_moment(
    library: ModelLibrary, spleen: Path, monkeypatch: pytest.MonkeyPatch
):
    other = threading.Thread(target=ModelLibrary(library.folder).import_bundle, args=(spleen,))
    rename = os.rename

    def rename_after_the_other_began(source: Path, target: Path) -> None:
        if not other.ident:
            other.start()
            other.join(timeout=1.0)
        rename(source, target)

    monkeypatch.setattr(shelf.os, "rename", rename_after_the_other_began)
    library.import_bundle(spleen)
    other.join()
    assert left_in(library) == ["spleen"]


def test_another_model_of_the_same_name_gets_a_number(library: ModelLibrary, spleen: Path, tmp_path: Path):
    library.import_bundle(spleen)
    for seed in (1, 2):
        library.import_bundle(write_bundle(tmp_path / str(seed) / "Spleen", seed=seed))
    library.import_bundle(write_bundle(tmp_path / DEFAULT_MODEL))
    assert sorted(names(library)) == sorted([DEFAULT_MODEL, f"{DEFAULT_MODEL}_2", "Spleen_2", "Spleen_3", "spleen"])


@pytest.mark.parametrize("given", [".hidden", "a b*c", "…", "x" * 300, "𠀀" * 62, "con", "NUL.", "aux .v1", "com1.zip"])
def test_a_name_that_is_no_folders_name_everywhere_is_made_one(
    library: ModelLibrary, spleen: Path, tmp_path: Path, given: str
):
    archive = tmp_path / "bundle.zip"
    name = library.import_bundle(zipped(spleen, archive, f"{given}/")).name
    assert name in names(library)
    assert len(os.fsencode(f"{name}_100")) <= MAXIMUM_FILE_NAME_BYTES
    assert re.fullmatch(r"\w+(\.\w+)?", name)
    assert name.partition(".")[0].lower() not in DEVICES_OF_WINDOWS


# What is refused


def refused(library: ModelLibrary, path: Path) -> BundleRejected:
    """The error of an import that must fail and leave nothing."""
    before = left_in(library)
    with pytest.raises(BundleRejected) as refusal:
        library.import_bundle(path)
    assert left_in(library) == before
    assert refusal.value.remedy
    return refusal.value


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("../outside.txt", "leads out of the archive"),
        ("spleen/../../outside.txt", "leads out of the archive"),
        ("..\\outside.txt", "leads out of the archive"),
        ("/outside.txt", "names a place outside"),
        ("C:\\outside.txt", "names a place outside"),
        (link("spleen/models/linked"), "is a link"),
    ],
)
def test_an_archive_that_reaches_outside_is_refused(
    library: ModelLibrary, spleen: Path, tmp_path: Path, entry: str | zipfile.ZipInfo, fault: str
):
    archive = zipped(spleen, tmp_path / "evil.zip", "spleen/")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(entry, "/etc/passwd")
    assert fault in refused(library, archive).what
    assert not list(tmp_path.rglob("outside.txt"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_a_file_twice_is_refused(library: ModelLibrary, spleen: Path, tmp_path: Path):
    archive = zipped(spleen, tmp_path / "twice.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("configs/metadata.json", "{}")
    assert "twice" in refused(library, archive).what


def test_an_archive_with_a_password_is_refused(library: ModelLibrary, spleen: Path, tmp_path: Path):
    archive = zipped(spleen, tmp_path / "locked.zip")
    whole = bytearray(archive.read_bytes())
    place = -1
    while (place := whole.find(b"PK\x01\x02", place + 1)) >= 0:
        whole[place + 8] |= 1
    archive.write_bytes(whole)
    assert "password" in refused(library, archive).what


@pytest.mark.parametrize("file", [WEIGHTS, "LICENSE"])
def test_an_archive_that_unpacks_to_far_more_than_it_holds_is_refused(
    library: ModelLibrary, own_spleen: Path, tmp_path: Path, file: str
):
    (own_spleen / file).write_bytes(bytes(16 * 1024**2))
    assert "unpacks to 16 MB" in refused(library, zipped(own_spleen, tmp_path / "bomb.zip")).what


def test_a_large_file_beside_the_weights_is_refused(library: ModelLibrary, own_spleen: Path):
    os.truncate(own_spleen / "LICENSE", 17 * 1024**2)
    assert "LICENSE" in refused(library, own_spleen).what


def test_weights_are_imported_up_to_the_size_that_is_read():
    assert MAXIMUM_WEIGHTS_BYTES == MAXIMUM_FILE_BYTES


@pytest.mark.parametrize("place", range(300, 3000, 300))
def test_a_damaged_archive_is_refused(library: ModelLibrary, spleen: Path, tmp_path: Path, place: int):
    archive = zipped(spleen, tmp_path / "cut.zip")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2 - place] + whole[len(whole) // 2 :])
    refused(library, archive)


def test_no_damage_to_an_archive_ends_in_another_error(library: ModelLibrary, spleen: Path, tmp_path: Path):
    archive = zipped(spleen, tmp_path / "damaged.zip")
    whole, random = archive.read_bytes(), np.random.default_rng(0)
    end = len(whole) - 700  # the directory at its end is what steers the reading
    for _ in range(60):
        archive.write_bytes(whole[:end] + mutated(whole[end:], len(whole) - end, random))
        try:
            library.import_bundle(archive)
        except BundleRejected:
            continue
    assert all(name in (DEFAULT_MODEL, *left_in(library)) for name in names(library))
    assert not [name for name in left_in(library) if name.startswith(".")]


def test_what_is_no_bundle_is_refused(library: ModelLibrary, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no model")
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    for name in ("empty", "notes.txt", "empty.zip"):
        assert "model" in refused(library, tmp_path / name).what
    assert "does not exist" in refused(library, tmp_path / "missing").what


def test_one_of_several_models_must_be_chosen(library: ModelLibrary, own_spleen: Path, tmp_path: Path):
    shutil.copytree(own_spleen, own_spleen.with_name("liver"))
    for path in (own_spleen.parent, zipped(own_spleen.parent, tmp_path / "both.zip")):
        assert "2 models (“liver”, “spleen”)" in refused(library, path).what


def test_a_bundle_that_cannot_be_used_is_refused_for_the_readers_reason(library: ModelLibrary, own_spleen: Path):
    change_json(own_spleen / "configs/inference.json", network_def={"_target_": "UNet"})
    assert "UNet" in refused(library, own_spleen).what


def test_weights_that_do_not_fit_are_refused(library: ModelLibrary, own_spleen: Path, tmp_path: Path):
    other = write_bundle(tmp_path / "other", classes=("first", "second", "third"))
    shutil.copyfile(other / WEIGHTS, own_spleen / WEIGHTS)
    assert "do not fit the network" in refused(library, own_spleen).what


@pytest.mark.parametrize("archived", [False, True])
def test_a_program_in_place_of_weights_is_refused(
    library: ModelLibrary, own_spleen: Path, tmp_path: Path, archived: bool
):
    (own_spleen / WEIGHTS).rename(own_spleen / "models/model.ts")
    path = zipped(own_spleen, tmp_path / "program.zip") if archived else own_spleen
    assert "TorchScript" in refused(library, path).what


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_out_of_a_folder_is_not_followed(library: ModelLibrary, own_spleen: Path, tmp_path: Path):
    secret = (own_spleen / "LICENSE").rename(tmp_path / "secret")
    (own_spleen / "LICENSE").symlink_to(secret)
    assert "link" in refused(library, own_spleen).what


# All or nothing


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("disk full"), MemoryError])
def test_an_interrupted_import_leaves_nothing(
    library: ModelLibrary, spleen: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
):
    def rename(source: Path, target: Path) -> None:
        raise stop

    monkeypatch.setattr(shelf.os, "rename", rename)
    with pytest.raises((KeyboardInterrupt, BundleRejected, MemoryError)):
        library.import_bundle(spleen)
    assert left_in(library) == []


def test_what_a_killed_process_left_is_not_listed_and_goes_after_a_day(library: ModelLibrary, spleen: Path):
    left = shutil.copytree(spleen, library.folder / f"{DRAFT_PREFIX}killed")
    fresh = shutil.copytree(spleen, library.folder / f"{DRAFT_PREFIX}running")
    os.utime(left, (time.time() - FORGOTTEN_SECONDS - 60,) * 2)
    os.utime(fresh)
    assert names(library) == [DEFAULT_MODEL]
    library.import_bundle(spleen)
    assert left_in(library) == [fresh.name, "spleen"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that cannot be written to")
def test_a_folder_that_cannot_be_written_is_said(library: ModelLibrary, spleen: Path):
    library.folder.mkdir(parents=True)
    library.folder.chmod(0o500)
    assert "can be written" in refused(library, spleen).remedy


def test_a_file_in_the_librarys_place_is_said(library: ModelLibrary, spleen: Path):
    library.folder.parent.mkdir()
    library.folder.write_text("a file")
    with pytest.raises(BundleRejected, match="cannot be imported"):
        library.import_bundle(spleen)


# Removing


def test_an_imported_model_is_removed_and_the_embedded_one_is_not(library: ModelLibrary, spleen: Path):
    library.import_bundle(spleen)
    library.remove("spleen")
    assert left_in(library) == []
    for name in ("spleen", DEFAULT_MODEL, "..", ""):
        with pytest.raises(BundleRejected, match="no imported model"):
            library.remove(name)
    with pytest.raises(BundleRejected, match="no model “spleen”"):
        library.bundle("spleen")


# Downloading


IMPATIENT = Patience(connect_seconds=2.0, read_seconds=0.5, pauses=(0.01, 0.01))


@pytest.fixture
def server(spleen: Path, library: ModelLibrary, tmp_path: Path) -> Iterator[ModelServer]:
    """Gives the spleen's weights out, and the library lists the model."""
    library.catalogue = tmp_path / "catalogue.json"
    with published(spleen, library.catalogue) as server:
        yield server


def change_entry(library: ModelLibrary, **weights: object) -> None:
    """Other facts on where the weights are."""
    content = json.loads(library.catalogue.read_text(encoding="utf-8"))
    content["models"][0]["weights"].update(weights)
    library.catalogue.write_text(json.dumps(content), encoding="utf-8")
    os.utime(library.catalogue, ns=(time.time_ns(),) * 2)


def give_out(server: ModelServer, library: ModelLibrary, content: bytes) -> None:
    """Other content at the same address, without a hash that is published."""
    server.content = content
    change_entry(library, hash=None)


def only(library: ModelLibrary) -> ModelSummary:
    """The model that is not embedded."""
    (summary,) = [summary for summary in library.summaries() if summary.name != DEFAULT_MODEL]
    return summary


def unfinished(library: ModelLibrary) -> list[str]:
    """Files of downloads, but for locks, which stay."""
    folder = library.folder / DOWNLOADS
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != DOWNLOAD_LOCK)


def test_a_published_model_is_listed_before_it_is_there(server: ModelServer, library: ModelLibrary):
    listed = only(library)
    assert (listed.name, listed.structures, listed.licence) == ("spleen", ("spleen",), "Apache-2.0")
    assert listed.downloadable
    assert not listed.on_disk
    assert not listed.imported
    assert listed.bytes == len(server.content)
    assert listed.source == server.address
    with pytest.raises(BundleRejected, match=r"not on this computer yet.* Download it first"):
        library.bundle("spleen")
    assert server.asked == []


def test_a_downloaded_model_is_there_whole_and_can_be_used(server: ModelServer, library: ModelLibrary, spleen: Path):
    told: list[tuple[int, int | None]] = []
    summary = library.download("spleen", lambda done, total: told.append((done, total)))
    assert summary == only(library)
    assert summary.on_disk
    assert summary.downloadable
    assert not summary.imported
    assert summary.fault == ""
    assert told[-1] == (len(server.content), len(server.content))
    bundle = library.bundle("spleen")
    assert bundle.weights_sha256 == ModelLibrary(spleen.parent).bundle("spleen").weights_sha256
    bundle.network()
    assert unfinished(library) == []


def test_a_model_that_is_there_is_not_fetched_again(server: ModelServer, library: ModelLibrary):
    library.download("spleen")
    library.download("spleen")
    assert len(server.asked) == 1


def test_a_downloaded_model_that_lost_a_file_is_fetched_anew(server: ModelServer, library: ModelLibrary):
    library.download("spleen")
    (library.folder / "spleen" / WEIGHTS).unlink()
    assert "has no weights" in only(library).fault
    assert library.download("spleen").fault == ""
    library.bundle("spleen").network()


def test_what_is_not_in_the_catalogue_cannot_be_downloaded(server: ModelServer, library: ModelLibrary):
    with pytest.raises(BundleRejected, match="no model “liver” to be downloaded"):
        library.download("liver")
    assert server.asked == []


def test_later_downloads_are_held_to_the_hash_of_the_first(server: ModelServer, library: ModelLibrary, tmp_path: Path):
    first = hashlib.sha256(server.content).hexdigest()
    give_out(server, library, server.content)
    library.download("spleen")
    library.remove("spleen")
    other = (write_bundle(tmp_path / "other" / "spleen", classes=("spleen",), seed=1) / WEIGHTS).read_bytes()
    give_out(server, library, other)
    with pytest.raises(DownloadFailed, match="recorded at the first download") as refusal:
        library.download("spleen")
    assert first in refusal.value.what
    assert hashlib.sha256(other).hexdigest() in refusal.value.what
    assert not only(library).on_disk
    assert unfinished(library) == []


def test_another_file_than_the_published_one_is_refused(server: ModelServer, library: ModelLibrary):
    right, server.content = server.content, server.content[:-1] + bytes([server.content[-1] ^ 1])
    with pytest.raises(DownloadFailed, match="was published"):
        library.download("spleen")
    assert not only(library).on_disk
    server.content = right
    assert library.download("spleen").on_disk


@pytest.mark.parametrize("content", [b"no model", b"PK\5\6" + bytes(18), pickle.dumps({"weight": print})])
def test_what_is_no_model_is_refused_and_not_recorded(server: ModelServer, library: ModelLibrary, content: bytes):
    right = server.content
    give_out(server, library, content)
    with pytest.raises(BundleRejected):
        library.download("spleen")
    assert not only(library).on_disk
    assert unfinished(library) == []
    server.content = right
    assert library.download("spleen").on_disk


def test_pieces_of_two_files_are_fetched_anew_where_no_hash_is_published(server: ModelServer, library: ModelLibrary):
    right = server.content
    give_out(server, library, bytes(len(right)))
    server.faults.extend([-5 * BLOCK_BYTES, 404])
    with pytest.raises(DownloadFailed):
        library.download("spleen", patience=IMPATIENT)
    server.content = right
    note = library.folder / DOWNLOADS / "spleen" / "model.safetensors.part.json"
    change_json(note, etag=f'"{hashlib.sha256(right).hexdigest()}"')  # as of a server that marks both files alike
    library.download("spleen")
    assert server.asked[-2:] == [5 * BLOCK_BYTES, 0]
    assert (library.folder / "spleen" / WEIGHTS).read_bytes() == right


def test_a_record_that_is_damaged_is_not_passed_over(server: ModelServer, library: ModelLibrary):
    library.folder.mkdir(parents=True)
    (library.folder / HASHES).write_text("{")
    with pytest.raises(DownloadFailed, match="record of earlier downloads"):
        library.download("spleen")


@pytest.mark.parametrize("folder", ["", "fold1_f48/"])
def test_weights_in_an_archive_are_unpacked(
    server: ModelServer, library: ModelLibrary, spleen: Path, tmp_path: Path, folder: str
):
    with zipfile.ZipFile(tmp_path / "weights.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(spleen / WEIGHTS, f"{folder}weights.safetensors")
        archive.writestr("__MACOSX/._weights.safetensors", b"of a Mac")
    give_out(server, library, (tmp_path / "weights.zip").read_bytes())
    change_entry(library, member="weights.safetensors")
    library.download("spleen")
    assert (library.folder / "spleen" / WEIGHTS).read_bytes() == (spleen / WEIGHTS).read_bytes()


@pytest.mark.parametrize("names", [(), ("one/model.pt", "two/model.pt"), ("../model.pt",)])
def test_an_archive_with_no_one_weights_file_is_refused(
    server: ModelServer, library: ModelLibrary, tmp_path: Path, names: tuple[str, ...]
):
    with zipfile.ZipFile(tmp_path / "weights.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
        for name in names:
            archive.writestr(name, b"weights")
    give_out(server, library, (tmp_path / "weights.zip").read_bytes())
    change_entry(library, member="model.pt")
    with pytest.raises(BundleRejected):
        library.download("spleen")
    assert not only(library).on_disk
    assert not list(tmp_path.rglob("model.pt"))


def test_a_stopped_download_goes_on_where_it_stopped(server: ModelServer, library: ModelLibrary):
    def stop_half_way(done: int, total: int | None) -> None:
        if done > len(server.content) // 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        library.download("spleen", stop_half_way)
    assert not only(library).on_disk
    assert len(unfinished(library)) == 2
    library.download("spleen")
    assert server.asked[1] > len(server.content) // 2


DOWNLOAD = """
import sys
sys.modules["torch"] = None  # as in Slicer before its first run; it also makes a process quick to begin
from TransformerSegLib.bundles.library import ModelLibrary
print(ModelLibrary(sys.argv[1], sys.argv[2]).download("spleen").on_disk)
"""


def downloading(library: ModelLibrary) -> subprocess.Popen:
    command = [sys.executable, "-c", DOWNLOAD, str(library.folder), str(library.catalogue)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_until(done: Callable[[], object]) -> None:
    end = time.monotonic() + 30.0
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_after_a_kill_in_the_middle_the_next_try_fetches_the_rest(server: ModelServer, library: ModelLibrary):
    partial = library.folder / DOWNLOADS / "spleen" / "model.safetensors.part"
    for held in (5 * BLOCK_BYTES, 15 * BLOCK_BYTES):
        server.held_from = held
        with downloading(library) as process:
            wait_until(lambda held=held: partial.exists() and partial.stat().st_size >= held)
            process.kill()
        assert not only(library).on_disk
        assert only(library).fault == ""
    server.held_from = None
    library.download("spleen")
    assert server.asked == [0, 5 * BLOCK_BYTES, 15 * BLOCK_BYTES]
    library.bundle("spleen").network()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_kill_before_any_step_on_the_disk_leaves_no_damaged_model_and_the_next_try_completes(
    server: ModelServer, library: ModelLibrary
):
    command = [sys.executable, killed_downloads.__file__, str(library.folder), str(library.catalogue), "spleen"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    whole = hashlib.sha256(server.content).hexdigest()
    steps = " ".join(kill["step"] for kill in kills)
    for known in ("open /.downloads/spleen/model.safetensors.part", "os.rename /.hashes.json", "os.rename /.downloads"):
        assert known in steps
    assert {kill["after"] for kill in kills} == {"missing", whole}
    assert {kill["next"] for kill in kills} == {whole}
    assert [kill["left"] for kill in kills if kill["left"]] == []


def test_two_processes_fetch_a_model_once(server: ModelServer, library: ModelLibrary):
    server.seconds_per_block = 0.02
    with downloading(library) as one, downloading(library) as other:
        assert [process.communicate()[0].strip() for process in (one, other)] == ["True", "True"]
    assert server.asked == [0]
    assert left_in(library) == [DOWNLOADS, HASHES, "spleen"]


def test_a_model_that_is_imported_during_its_download_is_taken_as_it_is(
    server: ModelServer, library: ModelLibrary, spleen: Path
):
    def import_meanwhile(done: int, total: int | None) -> None:
        if done == len(server.content):
            library.import_bundle(spleen)

    assert library.download("spleen", import_meanwhile).imported
    assert names(library) == [DEFAULT_MODEL, "spleen"]
    assert unfinished(library) == []


def test_nothing_is_downloaded_without_the_packages_that_check_it(server: ModelServer, library: ModelLibrary):
    script = "import sys\nsys.modules['pydantic'] = None\n" + DOWNLOAD
    command = [sys.executable, "-c", script, str(library.folder), str(library.catalogue)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "packages that check them are not installed" in done.stderr
    assert server.asked == []


# To another computer


def test_a_model_goes_to_another_computer_as_one_file(server: ModelServer, library: ModelLibrary, tmp_path: Path):
    library.download("spleen")
    told: list[tuple[int, int | None]] = []
    library.export("spleen", tmp_path / "carried.zip", lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert told[-1][0] > len(server.content)
    other = ModelLibrary(tmp_path / "other", library.catalogue)
    summary = other.import_bundle(tmp_path / "carried.zip")
    assert (summary.name, summary.imported, summary.downloadable, summary.on_disk) == ("spleen", True, False, True)
    assert (summary.folder / WEIGHTS).read_bytes() == server.content
    assert [listed.name for listed in other.summaries()] == [DEFAULT_MODEL, "spleen"]


def test_the_embedded_model_can_be_exported_too(library: ModelLibrary, tmp_path: Path):
    library.export(DEFAULT_MODEL, tmp_path / "model.zip")
    assert library.import_bundle(tmp_path / "model.zip").name == DEFAULT_MODEL


def test_an_export_replaces_nothing_unasked(library: ModelLibrary, tmp_path: Path):
    archive = tmp_path / "model.zip"
    archive.write_text("mine")
    with pytest.raises(OutputRejected, match="exists already"):
        library.export(DEFAULT_MODEL, archive)
    assert archive.read_text() == "mine"
    library.export(DEFAULT_MODEL, archive, overwrite=True)
    assert zipfile.is_zipfile(archive)


def test_what_is_not_here_cannot_be_exported(server: ModelServer, library: ModelLibrary, tmp_path: Path):
    with pytest.raises(BundleRejected, match="no model “spleen” on this computer"):
        library.export("spleen", tmp_path / "model.zip")
    with pytest.raises(OutputRejected, match="cannot be written"):
        library.export(DEFAULT_MODEL, tmp_path / "missing" / "model.zip")


def test_a_stopped_export_or_import_leaves_nothing(library: ModelLibrary, spleen: Path, tmp_path: Path):
    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        library.export(DEFAULT_MODEL, tmp_path / "model.zip", raise_if_cancelled=stop)
    with pytest.raises(Cancelled):
        library.import_bundle(spleen, raise_if_cancelled=stop)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
    assert left_in(library) == []


# The folder


def test_the_folder_is_measured_and_emptied_of_downloads_alone(
    server: ModelServer, library: ModelLibrary, tmp_path: Path
):
    assert library.bytes_on_disk() == 0
    library.import_bundle(write_bundle(tmp_path / "mine", seed=1))
    own = library.bytes_on_disk()
    library.download("spleen")
    both = library.bytes_on_disk()
    assert both > own + len(server.content)
    assert library.empty() == pytest.approx(both - own, abs=500)
    assert [summary.name for summary in on_disk(library)] == [DEFAULT_MODEL, "mine"]
    assert library.empty() == 0


def test_emptying_deletes_what_a_stopped_download_left(server: ModelServer, library: ModelLibrary):
    server.faults.extend([-5 * BLOCK_BYTES, 404])
    with pytest.raises(DownloadFailed):
        library.download("spleen", patience=IMPATIENT)
    assert library.empty() >= 5 * BLOCK_BYTES
    assert unfinished(library) == []


def test_a_running_download_is_neither_emptied_nor_moved(server: ModelServer, library: ModelLibrary, tmp_path: Path):
    server.held_from = 5 * BLOCK_BYTES
    with downloading(library) as process:
        wait_until(lambda: library.bytes_on_disk() >= 5 * BLOCK_BYTES)
        library.empty()
        with pytest.raises(BundleRejected, match="one is being downloaded"):
            library.move_to(tmp_path / "moved")
        server.held_from = None
        assert process.communicate()[0].strip() == "True"
    assert server.asked == [0]


def test_nothing_comes_into_a_folder_that_is_being_moved(
    server: ModelServer, library: ModelLibrary, spleen: Path, tmp_path: Path
):
    library.import_bundle(write_bundle(tmp_path / "mine", seed=1))
    other = ModelLibrary(library.folder, library.catalogue)
    refusals = set()

    def come(done: int, total: int | None) -> None:
        for coming in (lambda: other.download("spleen"), lambda: other.import_bundle(spleen)):
            with pytest.raises(BundleRejected, match="are being moved") as refused:
                coming()
            refusals.add(str(refused.value))

    library.move_to(tmp_path / "moved", come)
    assert len(refusals) == 1
    assert names(library) == [DEFAULT_MODEL, "mine"]
    assert names(other) == [DEFAULT_MODEL]
    assert server.asked == []


def test_a_folder_is_not_moved_while_a_model_comes_into_it(library: ModelLibrary, spleen: Path, tmp_path: Path):
    def move(done: int, total: int | None) -> None:
        with pytest.raises(BundleRejected, match="one is being imported"):
            ModelLibrary(library.folder).move_to(tmp_path / "moved")

    library.import_bundle(spleen, move)
    assert names(library) == [DEFAULT_MODEL, "spleen"]


def test_a_folder_that_went_with_its_disk_can_be_left(library: ModelLibrary, spleen: Path, tmp_path: Path):
    library.folder.parent.write_text("no folder any more")
    library.move_to(tmp_path / "moved")
    library.import_bundle(spleen)
    assert left_in(library) == ["spleen"]


def test_all_of_the_folder_moves(server: ModelServer, library: ModelLibrary, tmp_path: Path):
    old = library.folder
    library.import_bundle(write_bundle(tmp_path / "mine", seed=1))
    library.download("spleen")
    told: list[tuple[int, int | None]] = []
    library.move_to(tmp_path / "moved", lambda done, total: told.append((done, total)))
    assert library.folder == tmp_path / "moved"
    assert told[-1][0] == told[-1][1]
    assert names(library) == [DEFAULT_MODEL, "mine", "spleen"]
    assert [summary.name for summary in library.summaries() if summary.downloadable] == ["spleen"]
    assert (library.folder / HASHES).is_file()
    assert [summary.name for summary in on_disk(ModelLibrary(old))] == [DEFAULT_MODEL]
    assert ModelLibrary(old).bytes_on_disk() < 1000
    library.bundle("spleen").network()


def test_a_stopped_download_moves_too_and_goes_on(server: ModelServer, library: ModelLibrary, tmp_path: Path):
    server.faults.extend([-5 * BLOCK_BYTES, 404])
    with pytest.raises(DownloadFailed):
        library.download("spleen", patience=IMPATIENT)
    library.move_to(tmp_path / "moved")
    library.download("spleen")
    assert server.asked[-1] == 5 * BLOCK_BYTES


def test_a_stopped_move_changes_nothing_and_the_next_one_goes_on(library: ModelLibrary, spleen: Path, tmp_path: Path):
    library.import_bundle(spleen)
    library.import_bundle(write_bundle(tmp_path / "mine", seed=1))
    old, moved = library.folder, tmp_path / "moved"

    def stop_at_the_second(done: int, total: int | None) -> None:
        if (moved / "mine").exists():
            raise Cancelled

    with pytest.raises(Cancelled):
        library.move_to(moved, stop_at_the_second)
    assert library.folder == old
    assert names(library) == [DEFAULT_MODEL, "mine", "spleen"]
    assert left_in(ModelLibrary(moved)) == ["mine"]
    library.move_to(moved)
    assert names(library) == [DEFAULT_MODEL, "mine", "spleen"]
    assert left_in(ModelLibrary(old)) == []


@pytest.mark.parametrize("place", ["library/models/inside", "library", "file", "taken"])
def test_a_place_that_cannot_take_the_models_is_refused_cleanly(
    library: ModelLibrary, spleen: Path, tmp_path: Path, place: str
):
    library.import_bundle(spleen)
    (tmp_path / "file").write_text("a file")
    write_bundle(tmp_path / "taken" / "Spleen", seed=1)
    with pytest.raises(BundleRejected, match="cannot be moved"):
        library.move_to(tmp_path / place)
    assert names(library) == [DEFAULT_MODEL, "spleen"]
    assert library.folder == tmp_path / "library" / "models"


def test_moving_to_where_the_models_are_is_nothing(library: ModelLibrary, spleen: Path):
    library.import_bundle(spleen)
    library.move_to(library.folder)
    assert names(library) == [DEFAULT_MODEL, "spleen"]


def test_a_downloaded_model_is_removed(server: ModelServer, library: ModelLibrary):
    library.download("spleen")
    library.remove("spleen")
    assert not only(library).on_disk
    assert only(library).downloadable
