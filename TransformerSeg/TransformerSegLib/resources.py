"""Where the files lie that ship with the library: models, sample data, terminology."""

from __future__ import annotations

from pathlib import Path


def resources_folder() -> Path:
    """The folder ``Resources``: inside the package where pip installed it, beside it in a checkout and in Slicer."""
    package = Path(__file__).resolve().parent
    inside = package / "Resources"
    return inside if inside.is_dir() else package.parent / "Resources"
