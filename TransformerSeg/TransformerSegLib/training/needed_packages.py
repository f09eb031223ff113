"""What a training or an evaluation takes beside what a run takes: told at its beginning, not after its hours."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from TransformerSegLib.errors import PackagesMissing

TRAINER = {"ignite": "the trainer is built on it"}
DISTANCES = {"scipy": "MONAI measures distances by it"}
PICTURES = {"matplotlib": "its pictures are drawn by it"}
"""Modules, and why they are needed."""


def refuse_missing_packages(needed: Mapping[str, str]) -> None:
    """
    Raises:
        PackagesMissing: a module is not installed.
    """
    for module, why in needed.items():
        if find_spec(module) is None:
            raise PackagesMissing(
                f"The package {module} is not installed",
                why=why,
                remedy="Install TransformerSeg with the extra “train”",
            )
