"""Installs the extension with CMake and the stand-in for Slicer's build tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def install_extension(source: Path, folder: Path) -> Path:
    """Configure, build and install the extension in ``source``; returns the folder that Slicer would load modules from.

    Args:
        source: the repository, or a copy of it.
        folder: for the build tree and the installed one.

    Raises:
        subprocess.CalledProcessError: one of the three failed; its output says why.
    """
    build = folder / "build"
    # no line of C is compiled, so that any program passes for the compilers that CMake looks for
    compilers = [
        option
        for language in ("C", "CXX")
        for option in (f"-DCMAKE_{language}_COMPILER={sys.executable}", f"-DCMAKE_{language}_COMPILER_FORCED=ON")
    ]
    slicer = f"-DSlicer_DIR={REPOSITORY / 'Testing/cmake'}"
    _run("cmake", "-S", source, "-B", build, slicer, *compilers)
    _run("cmake", "--build", build)
    _run("cmake", "--install", build, "--prefix", folder / "installed")
    (modules,) = (folder / "installed").glob("lib/Slicer-*/qt-scripted-modules")
    return modules


def _run(*command: object) -> None:
    subprocess.run(
        [str(part) for part in command], check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def files_of(modules: Path) -> set[str]:
    """What an installed extension should consist of, or does: modules and library, resources."""
    kept = [
        *modules.glob("*.py"),
        *(modules / "TransformerSegLib").rglob("*.py"),
        *(path for path in (modules / "Resources").rglob("*") if path.is_file() and not path.name.startswith(".")),
    ]
    return {path.relative_to(modules).as_posix() for path in kept}
