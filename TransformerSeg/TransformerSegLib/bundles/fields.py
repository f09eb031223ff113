"""The fields of a bundle's ``configs/metadata.json`` before they are checked, and what makes them fit to show."""

from __future__ import annotations

from collections.abc import Mapping

OWN_BLOCK = "transformerseg"
"""The block of metadata.json that holds those fields of a card for which MONAI has none."""

STANDARD_FIELDS = ("version", "description", "intended_use", "references")
"""The fields of a card that MONAI's metadata has under the same name."""

MODALITIES = {"CT": "CT", "MR": "MR", "MRI": "MR"}
"""How ``network_data_format`` writes a modality → how the card does."""

BACKGROUND = "background"

MAXIMUM_TEXT_CHARACTERS = 4000


def part(content: Mapping[str, object], *path: str) -> Mapping[str, object]:
    """The mapping at ``path``; empty where there is none."""
    for key in path:
        inner = content.get(key)
        if not isinstance(inner, Mapping):
            return {}
        content = inner
    return content


def first_input(metadata: Mapping[str, object]) -> Mapping[str, object]:
    """What MONAI's metadata says of the network's input; empty where it says nothing."""
    given = part(metadata, "network_data_format", "inputs")
    image = given.get("image") or next(iter(given.values()), {})
    return image if isinstance(image, Mapping) else {}


def modality(metadata: Mapping[str, object]) -> str | None:
    """“CT” or “MR”, as MONAI's metadata has it; None where it names another, or none."""
    return MODALITIES.get(str(first_input(metadata).get("modality", "")).upper())


def plain(value: object) -> object:
    """The same with every text on one line, without the control characters that would act on a terminal or a page."""
    match value:
        case str():
            return " ".join("".join(c if c.isprintable() else " " for c in value).split())[:MAXIMUM_TEXT_CHARACTERS]
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case _:
            return value
