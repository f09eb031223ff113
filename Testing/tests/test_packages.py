"""The Python packages that a run takes: what is missing is known without importing any, then installed or explained."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement as Written

from TransformerSegLib.errors import PackagesMissing

from host import Host

REPOSITORY = Path(__file__).resolve().parents[2]

SHIPPED_WITH_SLICER = {"numpy", "pydicom", "requests", "SimpleITK"}
FOR_FILES_AND_COMMANDS = {"nibabel", "platformdirs", "rich", "typer"}


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as opened:
        yield opened


@pytest.fixture
def packages(host: Host):
    """The module, which imports Slicer's translation."""
    from TransformerSegLib.panel import packages

    return packages


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of importable packages."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("tried_")]:
        del sys.modules[name]


def put(shelf: Path, name: str, version: str, content: str = "") -> None:
    """Install a package, as pip would."""
    (shelf / name).mkdir(exist_ok=True)
    (shelf / name / "__init__.py").write_text(content)
    for old in shelf.glob(f"{name}-*.dist-info"):
        (old / "METADATA").unlink()
        old.rmdir()
    metadata = shelf / f"{name}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def base_dependencies() -> dict[str, Written]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {written.name: written for written in map(Written, project["dependencies"])}


# Which packages


def test_the_table_says_what_pyproject_says(packages):
    needed = {required.name: required for required in packages.REQUIREMENTS}
    written = base_dependencies()
    assert written.keys() - needed.keys() == SHIPPED_WITH_SLICER | FOR_FILES_AND_COMMANDS
    for name, required in needed.items():
        assert Written(str(required)).specifier == written[name].specifier


def test_a_run_takes_just_these_packages(packages):
    needed = [required.name for required in packages.REQUIREMENTS]
    script = f"""
import json, sys
for name in {sorted(FOR_FILES_AND_COMMANDS)!r}:
    sys.modules[name] = None
import numpy as np
from TransformerSegLib.bundles.library import ModelLibrary
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.volume import Volume
array = np.random.default_rng(0).integers(0, 400, (32, 32, 32)).astype(np.int16)
bundle = ModelLibrary("nowhere").bundle("hippocampus_swin_unetr")
Segmenter(bundle).segment([Volume(array, np.eye(4), "noise")])
bundle.network()  # MONAI's, which a GPU runs
print(json.dumps([name for name in {needed!r} if name not in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


# What is missing


def test_nothing_is_missing_where_the_tests_run(packages):
    assert packages.Packages().missing() == []
    assert packages.Packages().explain() == ""


def test_asking_imports_no_package(host: Host, packages, shelf: Path):
    put(shelf, "tried_explosive", "1.0", "raise SystemExit('was imported')")
    asked = packages.Packages([packages.Requirement("tried_explosive", ">=1", 1)])
    assert asked.missing() == []
    assert "tried_explosive" not in sys.modules


@pytest.mark.parametrize(("installed", "missing"), [(None, True), ("1.9", True), ("2.1+cu128", False), ("3.0", True)])
def test_what_is_missing_goes_by_versions(packages, shelf: Path, installed: str | None, missing: bool):
    if installed is not None:
        put(shelf, "tried_one", installed)
    found = packages.Packages([packages.Requirement("tried_one", ">=2,<3", 1)]).missing()
    assert [required.installed_version for required in found] == ([installed] if missing else [])


def test_what_a_failed_uninstallation_left_is_missing(packages, shelf: Path):
    put(shelf, "tried_one", "2.0")
    (shelf / "tried_one/__init__.py").unlink()
    (shelf / "tried_one").rmdir()
    assert len(packages.Packages([packages.Requirement("tried_one", ">=2", 1)]).missing()) == 1


def test_the_explanation_names_packages_sizes_sources_and_versions(packages, shelf: Path):
    put(shelf, "tried_old", "1.0")
    text = packages.Packages(
        [packages.Requirement("tried_old", ">=2", 7), packages.Requirement("tried_new", ">=1", 12)]
    ).explain()
    for said in ("tried_old>=2", "7 MB", "1.0 is installed", "tried_new>=1", "12 MB", "Python Package Index"):
        assert said in text
    assert "No image is sent" in text


# Installing


@pytest.fixture
def first_start(shelf: Path) -> Iterator[Host]:
    """Slicer without two packages, which its installer would find."""
    put(shelf, "tried_one", "2.0")
    put(shelf, "tried_two", "1.0")
    with Host(without=("tried_one", "tried_two")) as opened:
        yield opened


@pytest.fixture
def both(first_start: Host):
    from TransformerSegLib.panel.packages import Packages, Requirement

    return Packages([Requirement("tried_one", ">=2", 1), Requirement("tried_two", ">=1", 1)])


def refused(packages) -> PackagesMissing:
    with pytest.raises(PackagesMissing) as refusal:
        packages.install()
    return refusal.value


def test_missing_packages_are_installed_with_consent_and_can_be_imported(first_start: Host, both):
    first_start.dialogs.answer(True)
    both.install()
    (installation,) = first_start.packaging.asked
    assert installation.requirements == ("tried_one>=2", "tried_two>=1")
    assert installation.through == "pip"
    assert set(installation.skipped) == {"torch", "numpy"}
    assert "TransformerSeg" in first_start.dialogs.asked[0]
    assert both.missing() == []
    assert {"tried_one", "tried_two"} <= sys.modules.keys()


def test_nothing_is_asked_where_nothing_is_missing(first_start: Host, both):
    first_start.dialogs.answer(True)
    both.install()
    both.install()
    assert len(first_start.packaging.asked) == 1


def test_who_declines_is_asked_again_the_next_time(first_start: Host, both):
    first_start.dialogs.answer(False)
    refusal = refused(both)
    assert "declined" in refusal.why
    assert "agree" in refusal.remedy
    assert first_start.packaging.asked == []
    first_start.dialogs.answer(True)
    both.install()
    assert both.missing() == []


def test_a_failed_installation_is_said_and_may_be_tried_again(first_start: Host, both):
    first_start.packaging.fail_next()
    first_start.dialogs.answer(True, True)  # the question, and Slicer's own word of the failure
    refusal = refused(both)
    assert "internet connection" in refusal.remedy
    assert isinstance(refusal.__cause__, subprocess.CalledProcessError)
    first_start.dialogs.answer(True)
    both.install()
    assert both.missing() == []


def test_an_installer_that_does_not_start_was_not_declined(both, monkeypatch: pytest.MonkeyPatch):
    def broken(*_arguments, **_options) -> None:
        raise RuntimeError("PythonSlicer executable not found")

    monkeypatch.setattr("slicer.packaging.pip_ensure", broken)
    refusal = refused(both)
    assert "declined" not in refusal.why
    assert "PythonSlicer executable not found" in refusal.why


def test_what_the_installer_left_out_is_named(first_start: Host, both):
    first_start.packaging.break_next("tried_two")
    first_start.dialogs.answer(True)
    refusal = refused(both)
    assert "(tried_two)" in refusal.what


def test_a_package_that_cannot_be_loaded_is_named(shelf: Path):
    put(shelf, "tried_broken", "1.0", "raise OSError('libcudart.so.12 is missing')")
    with Host(without=("tried_broken",)) as host:
        from TransformerSegLib.panel.packages import Packages, Requirement

        host.dialogs.answer(True)
        refusal = refused(Packages([Requirement("tried_broken", ">=1", 1)]))
    assert "libcudart" in refusal.what
    assert "Restart Slicer" in refusal.remedy


def test_a_newer_version_is_used_after_a_restart(host: Host, packages, shelf: Path, monkeypatch: pytest.MonkeyPatch):
    put(shelf, "tried_old", "1.0")
    importlib.import_module("tried_old")
    monkeypatch.setattr("slicer.packaging.pip_ensure", lambda *_, **__: put(shelf, "tried_old", "2.0"))
    refusal = refused(packages.Packages([packages.Requirement("tried_old", ">=2", 1)]))
    assert "still in use" in refusal.what
    assert "Restart Slicer" in refusal.remedy


def test_an_older_slicer_asks_with_the_explanation(first_start: Host, both, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("slicer.packaging.pip_ensure")
    first_start.dialogs.answer(False)
    assert "declined" in refused(both).why
    first_start.dialogs.answer(True)
    both.install()
    assert "tried_one>=2 (about 1 MB)" in first_start.dialogs.asked[0]
    assert first_start.packaging.asked[0].requirements == ("tried_one>=2", "tried_two>=1")


def test_nothing_is_installed_while_slicer_runs_tests(shelf: Path):
    put(shelf, "tried_one", "2.0")
    with Host(without=("tried_one",), testing=True) as host:
        from TransformerSegLib.panel.packages import Packages, Requirement

        assert "tests" in refused(Packages([Requirement("tried_one", ">=2", 1)])).why
        assert host.packaging.asked == []


def test_pytorch_is_installed_first_and_by_its_extension():
    """In a process of its own: torch cannot be taken away from one that has it."""
    script = f"""
import sys; sys.path.insert(0, {str(REPOSITORY / "Testing")!r})
from host import Host
with Host(without=("torch", "monai")) as host:
    from TransformerSegLib.panel.packages import Packages
    packages = Packages()
    assert "from the PyTorch extension" in packages.explain()
    host.dialogs.answer(True, True)
    packages.install()
    print([(asked.through, asked.requirements[0][:5]) for asked in host.packaging.asked])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[('PyTorchUtils', 'torch'), ('pip', 'monai')]"


def test_without_the_pytorch_extension_it_is_named(first_start: Host, monkeypatch: pytest.MonkeyPatch):
    from TransformerSegLib.panel.packages import Packages, Requirement, Source

    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    asked = Packages([Requirement("tried_one", ">=2", 1, Source.PYTORCH_EXTENSION)])
    assert "First install the extension PyTorch" in asked.explain()
    refusal = refused(asked)
    assert "Install the extension PyTorch from the Extensions Manager" in refusal.remedy
