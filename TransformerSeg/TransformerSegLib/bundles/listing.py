"""The list of models: those that ship with the library, those in a library's folder, and those to be downloaded.

Made with the standard library alone: it is shown before any package is installed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from TransformerSegLib.bundles.fetching import MARK
from TransformerSegLib.bundles.layout import model_folders
from TransformerSegLib.bundles.published import published_models
from TransformerSegLib.bundles.summary import ModelSummary, published_summary, read_summary
from TransformerSegLib.errors import CatalogueDamaged
from TransformerSegLib.resources import resources_folder


def embedded_models() -> dict[str, Path]:
    """The folders of the bundles that ship with the library, by their names."""
    return model_folders(resources_folder() / "Models")


def model_summaries(library: Path, catalogue: Path | None) -> list[ModelSummary]:
    """All models by name: the embedded ones, those in the folder, and those of the catalogue that are not there.

    Args:
        library: the folder of imported and downloaded models.
        catalogue: see ``published_models``.
    """
    embedded, own = embedded_models(), model_folders(library)
    there = [own_summary(folder, catalogue) for name, folder in own.items() if name not in embedded]
    return [*map(read_summary, embedded.values()), *there, *missing_summaries(library, catalogue)]


def own_summary(folder: Path, catalogue: Path | None) -> ModelSummary:
    """Of an imported or downloaded model; of a downloaded one with what the catalogue says of its source and terms."""
    downloaded = (folder / MARK).is_file()
    summary = read_summary(folder, imported=not downloaded)
    if not downloaded:
        return summary
    summary = replace(summary, downloadable=True)
    with suppress(CatalogueDamaged, KeyError):
        model = published_models(catalogue)[folder.name]
        return replace(
            summary,
            source=model.weights.address,
            licence_address=model.licence_address,
            data_terms=model.data_terms,
        )
    return summary


def missing_summaries(library: Path, catalogue: Path | None) -> list[ModelSummary]:
    """Of the published models that are not on this computer; one with a fault where the catalogue is damaged."""
    try:
        published = published_models(catalogue)
    except CatalogueDamaged as damaged:
        return [ModelSummary("catalogue", title="Published models", folder=library, fault=str(damaged))]
    there = {name.casefold() for name in (*embedded_models(), *model_folders(library))}
    missing = sorted(name for name in published if name.casefold() not in there)
    return [published_summary(published[name], library / name) for name in missing]
