"""The models that a name can mean: those that ship with the library, those in the command line's folder, and those that
are there to be downloaded.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.layout import model_folders
from TransformerSegLib.bundles.listing import embedded_models
from TransformerSegLib.bundles.models_folder import models_folder
from TransformerSegLib.bundles.published import published_models
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.file_text import quoted

DEFAULT_MODEL = "hippocampus_swin_unetr"
"""The embedded model that is used where none is named."""


def find_bundle(name_or_folder: str | Path = DEFAULT_MODEL, own_models: Path | None = None) -> Bundle:
    """The bundle of an embedded, imported or downloaded model, or the one in a folder.

    Args:
        name_or_folder: the name of such a model, or the path of a bundle's folder. A name goes first.
        own_models: the folder of imported and downloaded models; by default ``models_folder()``.

    Raises:
        BundleRejected: there is no such model, it is not on this computer yet, or it cannot be used.
    """
    embedded = embedded_models()
    folders = {**model_folders(own_models or models_folder()), **embedded}
    if str(name_or_folder) in folders:
        return read_bundle(folders[str(name_or_folder)])
    if Path(name_or_folder).is_dir():
        return read_bundle(name_or_folder)
    published = published_models()
    if model := published.get(str(name_or_folder)):
        raise BundleRejected(
            f"{quoted(model.name)} is not on this computer yet",
            why=f"its weights, about {model.weights.expected_bytes / 1e6:.0f} MB, are to be downloaded from "
            f"{model.weights.host}",
            remedy=f"Download it with “transformerseg models download {model.name}”",
        )
    names = [*folders, *published]
    begun = [name for name in names if name.startswith(str(name_or_folder))]
    near = begun or difflib.get_close_matches(str(name_or_folder), names, n=1)
    raise BundleRejected(
        f"There is no model {quoted(str(name_or_folder))}",
        why="it is neither the name of a model nor a folder",
        remedy=_remedy(near, list(embedded)),
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
    return [read_bundle(folder) for folder in embedded_models().values()]
