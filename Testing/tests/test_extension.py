"""The Slicer extension: what CMake installs is complete and works, and what the index of extensions asks for is there.

Slicer itself takes no part: CMake builds against the stand-in in ``Testing/cmake``, and the module opens on the one
for Slicer's Qt layer.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from installing import REPOSITORY, files_of, install_extension

MODULE = REPOSITORY / "TransformerSeg"
ENTRY = REPOSITORY / "Resources/ExtensionsIndex/TransformerSeg.json"

SCHEMA_FIELDS = {
    "$schema",
    "category",
    "scm_url",
    "scm_revision",
    "scm_type",
    "build_dependencies",
    "build_subdirectory",
    "enabled",
    "tier",
}
"""All that version 1.0.1 of the schema allows; the first three are required."""

MAXIMUM_REPOSITORY_BYTES = 100 * 1024**2


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the extension was built and installed in."""
    folder = tmp_path_factory.mktemp("extension")
    install_extension(REPOSITORY, folder)
    return folder


@pytest.fixture(scope="module")
def installed(build: Path) -> Path:
    (modules,) = build.glob("installed/lib/Slicer-*/qt-scripted-modules")
    return modules


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The extension's source, to be changed."""
    source = tmp_path / "source"
    shutil.copytree(MODULE, source / "TransformerSeg", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CMakeLists.txt", "LICENSE.txt", "README.md"):
        shutil.copyfile(REPOSITORY / name, source / name)
    return source


@pytest.fixture(scope="module")
def metadata(build: Path) -> dict[str, str]:
    """What the Extensions Manager would show."""
    lines = (build / "build/TransformerSeg.s4ext").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", maxsplit=1) for line in lines)


def run_installed(script: str, installed: Path) -> str:
    """Run Python code for which the installed tree goes before the checkout; returns what it prints."""
    # Testing, where the stand-ins are, holds no module of the extension
    start = f"import sys\nmodules = {str(installed)!r}\nsys.path[:0] = [modules, {str(REPOSITORY / 'Testing')!r}]\n"
    done = subprocess.run([sys.executable, "-c", start + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


# What is installed


def test_every_file_of_the_module_is_installed_unchanged(installed: Path):
    assert files_of(installed) == files_of(MODULE)
    for name in files_of(installed):
        assert (installed / name).read_bytes() == (MODULE / name).read_bytes()


def test_a_file_that_is_not_listed_is_noticed(copied: Path, tmp_path: Path):
    (copied / "TransformerSeg/TransformerSegLib/panel/forgotten.py").touch()
    modules = install_extension(copied, tmp_path)
    assert files_of(copied / "TransformerSeg") - files_of(modules) == {"TransformerSegLib/panel/forgotten.py"}


def test_a_listed_file_that_is_missing_stops_the_build(copied: Path, tmp_path: Path):
    (copied / "TransformerSeg/TransformerSegLib/errors.py").unlink()
    with pytest.raises(subprocess.CalledProcessError) as failure:
        install_extension(copied, tmp_path)
    assert "lists a file that is not there: TransformerSegLib/errors.py" in failure.value.output


def test_slicers_own_run_of_the_tests_includes_the_modules():
    lists = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"if\(BUILD_TESTING\)\s+slicer_add_python_unittest\(SCRIPT \$\{MODULE_NAME}\.py\)", lists)


def test_the_installed_library_imports_and_finds_its_model(installed: Path):
    script = """
import pkgutil, TransformerSegLib
from TransformerSegLib.bundles.catalogue import find_bundle
for module in pkgutil.walk_packages(TransformerSegLib.__path__, "TransformerSegLib."):
    if not module.name.startswith("TransformerSegLib.panel"):
        __import__(module.name)
print(TransformerSegLib.__file__)
print(find_bundle().weights)
"""
    for path in run_installed(script, installed).splitlines():
        assert Path(path).is_relative_to(installed)


def test_the_installed_module_opens_and_segments_its_sample_volume(installed: Path):
    script = """
from pathlib import Path
from host import Host
import slicer
with Host() as host:
    opened = host.open_module(Path(modules) / "TransformerSeg.py")
    import TransformerSegLib
    print(TransformerSegLib.__file__)
    volume = host.load_volume_node(opened.module.resourcePath("SampleData/hippocampus_297.nii.gz"))
    segmentation = opened.logic.segment(volume, model="hippocampus_swin_unetr")
    print(segmentation.GetSegmentation().GetNumberOfSegments())
"""
    library, segments = run_installed(script, installed).splitlines()[-2:]
    assert Path(library).is_relative_to(installed)
    assert segments == "2"


def test_the_panels_own_tests_pass_on_the_installed_tree(installed: Path):
    """The first of each file: what they all prove is proven on the checkout, whose files are the same."""
    tests = [str(path) for path in sorted((REPOSITORY / "Testing/tests").glob("test_panel_*.py"))]
    assert tests
    script = f"""
import pytest, TransformerSegLib
print(TransformerSegLib.__file__)
class FirstOfEachFile:
    def pytest_collection_modifyitems(self, items):
        items[:] = {{item.path: item for item in reversed(items)}}.values()
arguments = ["--quiet", "--exitfirst", "-p", "no:cacheprovider", "--rootdir", {str(REPOSITORY)!r}, *{tests!r}]
ended = pytest.main(arguments, plugins=[FirstOfEachFile()])
assert ended == 0, ended
"""
    assert Path(run_installed(script, installed).splitlines()[0]).is_relative_to(installed)


# What the index of extensions asks for


def test_the_index_entry_keeps_to_the_schema():
    entry = json.loads(ENTRY.read_text(encoding="utf-8"))
    assert {"$schema", "category", "scm_url"} <= entry.keys() <= SCHEMA_FIELDS
    assert entry["$schema"].endswith("/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["scm_type"] in ("git", "local")
    assert entry["tier"] in (1, 3, 5)
    assert b"\r" not in ENTRY.read_bytes()


def test_names_are_as_the_index_wants_them():
    entry = json.loads(ENTRY.read_text(encoding="utf-8"))
    project = re.search(
        r"^project\((\w+)\)$", (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert project is not None
    assert project[1] == ENTRY.stem
    assert not ENTRY.stem.startswith("Slicer")
    assert entry["scm_url"].rsplit("/", maxsplit=1)[1].removesuffix(".git").startswith("Slicer")


def test_entry_and_cmake_name_the_same_home_and_dependencies(metadata: dict[str, str]):
    entry = json.loads(ENTRY.read_text(encoding="utf-8"))
    assert entry["scm_url"].removesuffix(".git") == metadata["homepage"]
    assert entry["build_dependencies"] == metadata["depends"].split()


def test_the_pictures_are_in_the_repository(metadata: dict[str, str]):
    branch = json.loads(ENTRY.read_text(encoding="utf-8"))["scm_revision"]
    raw = metadata["homepage"].replace("github.com", "raw.githubusercontent.com") + f"/{branch}/"
    addresses = [metadata["iconurl"], *metadata["screenshoturls"].split()]
    assert len(addresses) >= 3
    for address in addresses:
        path = REPOSITORY / address.removeprefix(raw)
        assert path.is_file(), address
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_icons_are_128_pixels_wide_and_high():
    for path in (REPOSITORY / "Resources/TransformerSeg.png", MODULE / "Resources/Icons/TransformerSeg.png"):
        size = path.read_bytes()[16:24]
        assert (int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")) == (128, 128)


def test_the_homepage_has_what_reviewers_look_for(metadata: dict[str, str]):
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for sought in ("# TransformerSeg", "Tutorial", "Resources/panel.png", "Resources/result.png", "@", "LICENSE.txt"):
        assert sought in readme
    assert "Apache License" in (REPOSITORY / "LICENSE.txt").read_text(encoding="utf-8")
    assert "not for diagnosis" in metadata["description"]
    assert len(re.findall(r"[.!?](?:\s|$)", metadata["description"])) <= 2
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme):
        assert (REPOSITORY / picture).is_file(), picture


def test_the_repository_is_small_enough_and_has_unix_line_ends():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [REPOSITORY / name for name in listed.stdout.decode().split("\0") if name]
    paths = [path for path in paths if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < MAXIMUM_REPOSITORY_BYTES
    texts = {".py", ".md", ".json", ".ui", ".txt", ".cmake", ".toml", ".sh"}
    for path in paths:
        if path.suffix in texts:
            assert b"\r\n" not in path.read_bytes(), path
