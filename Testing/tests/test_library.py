"""The models that a user can choose: listed without heavy packages, imported whole and safely or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles import library as library_module
from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL
from TransformerSegLib.bundles.fields import OWN_BLOCK
from TransformerSegLib.bundles.library import DRAFT_PREFIX, FORGOTTEN_SECONDS, MAXIMUM_WEIGHTS_BYTES, ModelLibrary
from TransformerSegLib.bundles.licences import restricts
from TransformerSegLib.bundles.summary import ModelSummary, read_summary
from TransformerSegLib.bundles.weights import MAXIMUM_FILE_BYTES
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.resources import resources_folder

from bundle_factory import change_json, write_bundle
from damage import mutated

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
    return sorted(path.name for path in library.folder.iterdir()) if library.folder.exists() else []


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
        ("/tmp/outside.txt", "names a place outside"),  # noqa: S108
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
    for name in ("empty", "notes.txt", "empty.zip", "missing"):
        assert "model" in refused(library, tmp_path / name).what


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

    monkeypatch.setattr(library_module.os, "rename", rename)
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
