"""What a list of models shows of each: read as plain JSON, without the packages that running a model needs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from TransformerSegLib.bundles.configuration import read_json
from TransformerSegLib.bundles.fields import BACKGROUND, OWN_BLOCK, first_input, modality, part, plain
from TransformerSegLib.bundles.layout import METADATA, licence_title, required_file, weights_file
from TransformerSegLib.bundles.licences import restricts
from TransformerSegLib.bundles.published import PublishedModel
from TransformerSegLib.errors import BundleRejected

CHANNEL_DIGITS = 6
"""Of a channel's number, at most."""


@dataclass(frozen=True)
class ModelSummary:
    """One line of a list of models.

    Attributes:
        name: what ``ModelLibrary.bundle`` takes.
        title: for people.
        modality: "CT" or "MR"; empty where the model takes any.
        structures: what it segments, in the order in which they are shown.
        inputs: names of the volumes that it needs, in the order of its channels.
        bytes: of its weights file; about that, where it is to be downloaded; 0 where it is missing.
        on_disk: its weights are there.
        licence: as its card has it; may be empty.
        licence_address: of its text; may be empty.
        data_terms: of the data that it was trained on, a sentence or two; may be empty.
        restricted: the licence is to be acknowledged before the first run.
        folder: where it lies.
        description: a sentence or two; may be empty.
        imported: a user brought it, and may remove it.
        downloadable: it is one of the published models, fetched or not; a fetched one may be removed.
        source: the address from which it is fetched; empty where it is not downloadable.
        dice: "mean 0.82 (on which data)"; empty where nothing is known.
        fault: empty, or why it cannot be used.
    """

    name: str
    title: str
    folder: Path
    modality: str = ""
    structures: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    bytes: int = 0
    on_disk: bool = False
    licence: str = ""
    licence_address: str = ""
    data_terms: str = ""
    restricted: bool = False
    description: str = ""
    imported: bool = False
    downloadable: bool = False
    source: str = ""
    dice: str = ""
    fault: str = ""


def read_summary(folder: Path, *, imported: bool = False) -> ModelSummary:
    """The summary of the bundle in a folder. Never raises: what is wrong with the bundle stands in ``fault``."""
    summary = ModelSummary(folder.name, title=folder.name, folder=folder, imported=imported)
    try:
        summary = _with_card(summary, read_json(required_file(folder, METADATA)))
        return replace(summary, bytes=weights_file(folder).stat().st_size, on_disk=True)
    except BundleRejected as rejected:
        return replace(summary, fault=str(rejected))
    except (OSError, RecursionError) as error:
        return replace(summary, fault=f"“{folder.name}” cannot be read: {error}. Import the model again.")


def published_summary(model: PublishedModel, folder: Path) -> ModelSummary:
    """The summary of a published model that was not fetched yet.

    Args:
        model: of the catalogue.
        folder: where it would lie.
    """
    card = model.card
    return ModelSummary(
        name=model.name,
        title=model.title,
        folder=folder,
        modality=_first_text(part(card, "requirements").get("modality")),
        structures=_names(card.get("classes")),
        inputs=_names(card.get("inputs")),
        bytes=model.weights.expected_bytes,
        licence=model.licence,
        licence_address=model.licence_address,
        data_terms=model.data_terms,
        restricted=model.restricting,
        description=_first_text(card.get("description")),
        downloadable=True,
        source=model.weights.address,
        dice=_dice(card),
    )


def _with_card(summary: ModelSummary, metadata: Mapping[str, object]) -> ModelSummary:
    own = part(metadata, OWN_BLOCK)
    licence = _first_text(own.get("licence"), metadata.get("license"), licence_title(summary.folder))
    kind = part(own, "requirements").get("modality") if "requirements" in own else modality(metadata)
    return replace(
        summary,
        title=_first_text(own.get("title"), metadata.get("name"), metadata.get("task"), summary.name),
        modality=_first_text(kind),
        structures=_names(own.get("classes")) or _structures(metadata),
        inputs=_names(own.get("inputs")) or _inputs(metadata),
        licence=licence,
        restricted=restricts(licence),
        description=_first_text(own.get("description"), metadata.get("description")),
        dice=_dice(own),
    )


def _dice(card: Mapping[str, object]) -> str:
    measured = [value for value in part(card, "dice").values() if isinstance(value, float) and 0.0 <= value <= 1.0]
    data = _first_text(card.get("dice_data"))
    return f"mean {statistics.fmean(measured):.2f}{f' ({data})' if data else ''}" if measured else ""


def _first_text(*candidates: object) -> str:
    return next((str(plain(text)) for text in candidates if isinstance(text, str) and text), "")


def _names(records: object) -> tuple[str, ...]:
    """Of the classes or inputs in the block of its own; empty where it has none."""
    records = records if isinstance(records, list) else []
    return _texts(record.get("name") for record in records if isinstance(record, Mapping))


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(plain(value)) for value in values if isinstance(value, str))


def _structures(metadata: Mapping[str, object]) -> tuple[str, ...]:
    names = _texts(_channels(part(metadata, "network_data_format", "outputs", "pred", "channel_def")))
    return tuple(name for name in names if name.lower() != BACKGROUND)


def _inputs(metadata: Mapping[str, object]) -> tuple[str, ...]:
    names = _texts(_channels(part(first_input(metadata), "channel_def")))
    return names if len(names) > 1 else (modality(metadata) or "image",)


def _channels(names: Mapping[str, object]) -> list[object]:
    channels = sorted((key for key in names if key.isdecimal() and len(key) <= CHANNEL_DIGITS), key=int)
    return [names[channel] for channel in channels]
