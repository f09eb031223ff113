"""What was measured of a model, written into its bundle; what stood there before is replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from TransformerSegLib.bundles.card import Card, DiceScale, DoubtCheck, Figure, PrecisionCheck
from TransformerSegLib.bundles.fields import OWN_BLOCK, part
from TransformerSegLib.bundles.layout import DESCRIPTION, METADATA
from TransformerSegLib.bundles.writing import measured_lines, rewrite_json, rewrite_text
from TransformerSegLib.errors import OutputRejected

HEADING = "## Measured"
"""In documents that others wrote."""

TEMPERATURE_DIGITS = 4


def with_measured(
    card: Card, dice: Mapping[str, float], data: str, figures: Mapping[str, Mapping[str, Figure]]
) -> Card:
    """The card with other figures.

    Args:
        dice: class name → mean Dice.
        data: what they were measured on, and on how many cases.
        figures: as in ``Card``.
    """
    return card.model_copy(update={"dice": dict(dice), "dice_data": data, "figures": {**figures}})


def check_card_can_be_written(folder: Path) -> None:
    """Make sure, before anything is measured, that a bundle's card can be changed.

    Raises:
        OutputRejected: its files or folders are read-only.
    """
    for place in ((folder / METADATA).parent, folder / METADATA):
        if not os.access(place, os.W_OK):
            raise OutputRejected(
                f"The card in “{folder}” cannot be changed",
                why=f"“{place.name}” is read-only",
                remedy="Copy the model's folder, and name the copy",
            )


def rewrite_measured(folder: Path, before: Card, after: Card) -> None:
    """Write the figures of a card into its bundle: into its metadata, and into its document.

    Each file is there whole at any moment, and keeps all else that it says; the metadata, which the card is read from,
    goes first.

    Args:
        folder: the bundle's.
        before: its card, as it was read.
        after: the same with other figures (``with_measured``).

    Raises:
        OutputRejected: the folder cannot be written to.
    """
    _rewrite(folder, before, after, {"dice", "dice_data", "figures"})


def rewrite_precision(folder: Path, check: PrecisionCheck) -> None:
    """Write into a bundle's metadata how it does in bfloat16.

    Raises:
        OutputRejected: the folder cannot be written to.
    """
    _rewrite_fields(folder, {"bfloat16": check.model_dump(mode="json")})


def rewrite_doubt(
    folder: Path, before: Card, temperature: float, dice_scale: DiceScale | None, check: DoubtCheck
) -> None:
    """Write by what a model's doubt is told, and how true it is, into its bundle; see ``rewrite_measured``.

    Raises:
        OutputRejected: the folder cannot be written to.
    """
    told = {"temperature": round(temperature, TEMPERATURE_DIGITS), "dice_scale": dice_scale, "doubt": check}
    _rewrite(folder, before, before.model_copy(update=told), set(told))


def _rewrite(folder: Path, before: Card, after: Card, fields: set[str]) -> None:
    _rewrite_fields(folder, after.model_dump(mode="json", include=fields))
    description = folder / DESCRIPTION
    text = description.read_text(encoding="utf-8") if description.is_file() else f"# {after.title}\n"
    rewrite_text(description, _document(text, before, after))


def _rewrite_fields(folder: Path, fields: Mapping[str, object]) -> None:
    metadata = folder / METADATA
    content = json.loads(metadata.read_text(encoding="utf-8"))
    rewrite_json(metadata, {**content, OWN_BLOCK: {**part(content, OWN_BLOCK), **fields}})


def _document(text: str, before: Card, after: Card) -> str:
    old, new = ("\n".join(measured_lines(card)) for card in (before, after))
    return text.replace(old, new) if old in text else f"{text.rstrip()}\n\n{HEADING}\n\n{new}\n"
