"""The models that ship with the library, and how one is found by its name."""

from __future__ import annotations

import difflib
from pathlib import Path

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.layout import model_folders
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.file_text import quoted
from TransformerSegLib.resources import resources_folder

DEFAULT_MODEL = "hippocampus_swin_unetr"
"""The embedded model that is used where none is named."""


def find_bundle(name_or_folder: str | Path = DEFAULT_MODEL) -> Bundle:
    """The bundle of an embedded model, or the one in a folder.

    Args:
        name_or_folder: the name of an embedded model, or the path of a bundle's folder. A name goes first.

    Raises:
        BundleRejected: there is no such model, or it cannot be used.
    """
    folders = _embedded_folders()
    if str(name_or_folder) in folders:
        return read_bundle(folders[str(name_or_folder)])
    if Path(name_or_folder).is_dir():
        return read_bundle(name_or_folder)
    near = difflib.get_close_matches(str(name_or_folder), folders, n=1)
    raise BundleRejected(
        f"There is no model {quoted(str(name_or_folder))}",
        why="it is neither the name of an embedded model nor a folder",
        remedy=_remedy(near, list(folders)),
    )


def _remedy(near: list[str], names: list[str]) -> str:
    if near:
        return f"Write “{near[0]}” if you mean that one"
    if names:
        return f"Choose one of the embedded models ({', '.join(names)}), or a bundle's folder"
    return "No model is embedded here: name a bundle's folder"


def embedded_bundles() -> list[Bundle]:
    """The bundles that ship with the library, by name.

    Raises:
        BundleRejected: one of them cannot be used.
    """
    return [read_bundle(folder) for folder in _embedded_folders().values()]


def _embedded_folders() -> dict[str, Path]:
    return model_folders(resources_folder() / "Models")
