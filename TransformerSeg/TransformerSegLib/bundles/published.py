"""The models that their makers publish: what is known of each, and where its weights are.

Read from ``Resources/Models/catalogue.json``, in which every fact has its source, with the standard library alone: the
list is shown before any package is installed. Nothing here opens a connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from TransformerSegLib.bundles.digests import DIGEST_CHARACTERS
from TransformerSegLib.bundles.layout import WEIGHTS
from TransformerSegLib.errors import CatalogueDamaged
from TransformerSegLib.resources import resources_folder

CATALOGUE_FORMAT = 1
"""The form of the file that is read here."""

FLOAT32_BYTES = 4

MOST_COPIES = 4
"""How many times a network's weights a file of them holds at most: with an optimizer's two averages, and room."""

NAME = re.compile(r"\w[\w.-]{0,59}")
"""A model's name is that of its folder."""


@dataclass(frozen=True)
class PublishedWeights:
    """A weights file on a server.

    Attributes:
        address: http or https.
        file: where it belongs in the bundle, one of ``WEIGHTS``.
        member: the name of the file in the zip archive at ``address``; None: the weights themselves are there.
        bytes: of what is at ``address``, as published; None where that is not.
        parameters: of the network.
        hash_type: "md5" or "sha256"; "" where no hash is published.
        hash_value: hexadecimal, lower case.
    """

    address: str
    file: str
    member: str | None
    bytes: int | None
    parameters: int
    hash_type: str = ""
    hash_value: str = ""

    @property
    def expected_bytes(self) -> int:
        """As published, else what the network's weights take: about that."""
        return self.bytes or self.parameters * FLOAT32_BYTES

    @property
    def most_bytes(self) -> int:
        """A larger file is something else."""
        return self.parameters * FLOAT32_BYTES * MOST_COPIES

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or self.address


@dataclass(frozen=True)
class PublishedModel:
    """One entry of the catalogue.

    Attributes:
        name: of its folder in a library, and what ``--model`` takes.
        page: address of its makers' page.
        weights: where they are.
        licence: its title.
        restricting: the licence, or the terms of the training data, limit the use.
        licence_address: of its text.
        data_terms: a sentence or two on the terms of the training data.
        card: the fields of its card, except for ``name`` and ``licence``; checked where a bundle is made of it.
        configuration: the content of its ``configs/inference.json``.
        sources: where each fact comes from.
    """

    name: str
    page: str
    weights: PublishedWeights
    licence: str
    restricting: bool
    licence_address: str
    data_terms: str
    card: Mapping[str, object]
    configuration: Mapping[str, object]
    sources: Mapping[str, str]

    @property
    def title(self) -> str:
        return str(self.card["title"])


def published_models(path: Path | None = None) -> dict[str, PublishedModel]:
    """The models of the catalogue, by their names.

    Args:
        path: of the catalogue; by default the one that ships with the library.

    Raises:
        CatalogueDamaged: it is missing or not as it should be.
    """
    path = path or resources_folder() / "Models" / "catalogue.json"
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise _damaged(path, str(error.strerror or error)) from None


@cache
def _read(path: Path, changed: int) -> dict[str, PublishedModel]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != CATALOGUE_FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        models = [_model(entry) for entry in content["models"]]
    except KeyError as error:
        raise _damaged(path, f"it lacks {error}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    return {model.name: model for model in models}


def _model(entry: Mapping[str, object]) -> PublishedModel:
    name, licence = str(entry["name"]), entry["licence"]
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name")
    for field in ("title", "classes", "inputs"):
        if not entry["card"][field]:
            raise ValueError(f"{name} has no {field}")
    return PublishedModel(
        name=name,
        page=str(entry["page"]),
        weights=_weights(entry["weights"]),
        licence=str(licence["title"]),
        restricting=bool(licence["restricting"]),
        licence_address=str(licence["address"]),
        data_terms=str(licence["data"]),
        card=entry["card"],
        configuration=entry["configuration"],
        sources=entry["sources"],
    )


def _weights(entry: Mapping[str, object]) -> PublishedWeights:
    published, member = entry["hash"] or {"type": "", "value": ""}, entry["member"]
    if urlsplit(entry["address"]).scheme not in ("http", "https"):
        raise ValueError(f"{entry['address']} is no address of a server")
    if entry["file"] not in WEIGHTS or (member is not None and PurePosixPath(member).name != member):
        raise ValueError(f"{entry['file']}, {member} is no place of weights")
    kind, value = published["type"], published["value"]
    if kind and not re.fullmatch(f"[0-9a-f]{{{DIGEST_CHARACTERS[kind]}}}", value):
        raise ValueError(f"{value} is no {kind}")
    return PublishedWeights(
        address=entry["address"],
        file=entry["file"],
        member=member,
        bytes=None if entry["bytes"] is None else int(entry["bytes"]),
        parameters=int(entry["parameters"]),
        hash_type=kind,
        hash_value=value,
    )


def _damaged(path: Path, fault: str) -> CatalogueDamaged:
    return CatalogueDamaged(
        f"The list of published models, {path.name}, cannot be read ({fault})",
        why="it says which models there are to be downloaded",
        remedy="Install TransformerSeg again; the models on this computer can be used meanwhile",
    )
