"""A published model's bundle: our configuration of it, beside its makers' weights.

What is written is read back as any other bundle; the code that some bundles come with is not fetched at all.
"""

from __future__ import annotations

from pathlib import Path

from TransformerSegLib.bundles.atomic import write_json
from TransformerSegLib.bundles.fields import OWN_BLOCK, STANDARD_FIELDS
from TransformerSegLib.bundles.layout import CONFIGURATION, DESCRIPTION, LICENCE, METADATA
from TransformerSegLib.bundles.published import PublishedModel


def write_published_bundle(folder: Path, model: PublishedModel) -> None:
    """Write all of a published model's bundle but its weights into ``folder``, which is made.

    Raises:
        OSError: it cannot be written.
    """
    write_json(folder / METADATA, _metadata(model))
    write_json(folder / CONFIGURATION, model.configuration)
    for name, lines in ((LICENCE, _licence(model)), (DESCRIPTION, _description(model))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _metadata(model: PublishedModel) -> dict[str, object]:
    own = {name: value for name, value in model.card.items() if name not in STANDARD_FIELDS and value is not None}
    return {
        "name": model.title,
        **{name: model.card[name] for name in STANDARD_FIELDS},
        OWN_BLOCK: {**own, "licence": model.licence},
    }


def _licence(model: PublishedModel) -> list[str]:
    return [model.licence, "", model.licence_address, "", model.data_terms, "", f"Its makers' page: {model.page}"]


def _description(model: PublishedModel) -> list[str]:
    sources = [f"- {fact.replace('_', ' ')}: {source}" for fact, source in model.sources.items()]
    return [
        f"# {model.title}",
        "",
        str(model.card["description"]),
        "",
        f"The weights are those that its makers publish: {model.weights.address}",
        "",
        f"Their page: {model.page}",
        "",
        "Where the facts come from:",
        "",
        *sources,
    ]
