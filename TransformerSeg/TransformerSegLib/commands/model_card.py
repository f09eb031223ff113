"""What the command line says of models: one entry of the list each, or all of the card of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from TransformerSegLib.inference.data_size import data_size

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.bundles.published import PublishedModel
    from TransformerSegLib.bundles.summary import ModelSummary

STRUCTURES_LISTED = 4


def show_list(summaries: list[ModelSummary]) -> None:
    """Two lines a model: what it takes and where it is, then what it finds."""
    width = max((len(summary.name) for summary in summaries), default=0)
    for summary in summaries:
        where = f"{_where(summary)}, {_size(summary)}" if not summary.fault else "cannot be used"
        known = [f"Dice {summary.dice}"] if summary.dice else []
        restricts = ["its licence restricts the use"] if summary.restricted else []
        typer.echo(f"{summary.name:<{width}}  {summary.modality or 'any':<3}  {where}")
        for line in (_finds(summary), *known, *restricts, *([summary.fault] if summary.fault else [])):
            typer.echo(f"    {line}")


def _where(summary: ModelSummary) -> str:
    if not summary.on_disk:
        return "to be downloaded"
    if summary.imported:
        return "imported"
    return "downloaded" if summary.downloadable else "embedded"


def _size(summary: ModelSummary) -> str:
    return data_size(summary.bytes) if summary.on_disk else f"about {data_size(summary.bytes)}"


def _finds(summary: ModelSummary) -> str:
    more = len(summary.structures) - STRUCTURES_LISTED
    listed = ", ".join(summary.structures[:STRUCTURES_LISTED])
    return f"{summary.title}: {listed}" + (f" and {more} more" if more > 0 else "")


def show_card(bundle: Bundle) -> None:
    """All that a model on this computer says of itself."""
