"""What importing the library, and asking the command for help, does not load."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import TransformerSegLib

TESTING = str(Path(__file__).resolve().parents[1])

HEAVY = ("torch", "monai", "SimpleITK", "nrrd", "vtk", "slicer", "ignite", "matplotlib")


def loaded_after(statements: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after these statements."""
    script = f"{statements}\nimport json, sys\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def engine_modules() -> list[str]:
    """All but the files of torch modules, which are called so and only imported once a network is built."""
    return [
        module.name
        for module in pkgutil.walk_packages(TransformerSegLib.__path__, "TransformerSegLib.")
        if not module.name.startswith(("TransformerSegLib.scene", "TransformerSegLib.panel"))
        and not module.name.endswith("_module")
    ]


def test_importing_the_whole_engine_loads_no_heavy_package():
    names = engine_modules()
    assert "TransformerSegLib.inference.segmenter" in names
    assert loaded_after("\n".join(f"import {name}" for name in names)) == set()


def test_importing_the_scene_loads_no_torch():
    assert loaded_after("import TransformerSegLib.scene.volumes, TransformerSegLib.scene.segmentations") <= {
        "vtk",
        "slicer",
    }


def test_importing_the_panel_needs_no_package_that_slicer_lacks():
    """Every part of it, at module level; Slicer ships neither of these."""
    lacking = ("torch", "monai", "einops", "pydantic", "safetensors", "nibabel", "typer", "rich")
    panel = Path(TransformerSegLib.__path__[0]) / "panel"
    names = [f"TransformerSegLib.panel.{path.stem}" for path in sorted(panel.glob("*.py")) if path.stem != "__init__"]
    assert "TransformerSegLib.panel.session" in names
    script = "\n".join(
        [
            f"import sys; sys.path.insert(0, {TESTING!r})",
            "from host import Host",
            f"host = Host(without={lacking!r})",
            *(f"import {name}" for name in names),
            f"print([name for name in {lacking!r} if sys.modules.get(name) is not None])",
        ]
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"], ["models"]])
def test_asking_the_command_loads_no_heavy_package(arguments: list[str]):
    call = "from TransformerSegLib.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert loaded_after(f"import sys; sys.argv[1:] = {arguments!r}\n{call}") == set()
