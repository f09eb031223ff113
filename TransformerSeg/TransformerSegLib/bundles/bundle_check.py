"""Whether a bundle can be used, before a library takes it in."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from TransformerSegLib.errors import BundleRejected

RUNTIME = ("torch", "monai", "safetensors")
"""What it takes to compare weights with their network."""


def require_checks() -> None:
    """Make sure that ``check_bundle`` can do its work.

    Raises:
        BundleRejected: the packages that it needs are not installed.
    """
    if importlib.util.find_spec("pydantic") is None:
        raise BundleRejected(
            "Models cannot be imported yet",
            why="the packages that check them are not installed",
            remedy="Press Segment once, which offers to install them, and import the model then",
        )


def check_bundle(folder: Path) -> None:
    """Read the bundle in a folder; where torch is installed, its weights too.

    Raises:
        BundleRejected: it cannot be used.
    """
    from TransformerSegLib.bundles.reading import read_bundle

    bundle = read_bundle(folder)
    if all(importlib.util.find_spec(name) is not None for name in RUNTIME):
        bundle.network()
