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
    from TransformerSegLib.bundles.metadata import MEAN_DICE

    card = bundle.card
    typer.echo(f"{card.title} ({card.name}, version {card.version})\n\n{card.description}\n")
    for channel in card.inputs:
        typer.echo(f"Input: {channel.name}")
    if card.slices is not None:
        typer.echo(f"Works slice by slice: {card.slices}")
    for definition in card.classes:
        dice = card.dice.get(definition.name)
        code = f", {definition.type.scheme} {definition.type.value}" if definition.type else ""
        measured = "" if dice is None else f", Dice {dice:.3f}"
        typer.echo(f"Class {definition.label}: {definition.name}{code}{measured}")
        for title, figure in card.figures.get(definition.name, {}).items():
            typer.echo(f"  {title}: {figure.in_words()}")
    if card.bfloat16 is not None:
        typer.echo(f"With 16 bits: {card.bfloat16.in_words()}")
    if card.doubt is not None:
        typer.echo(f"Doubt: {card.doubt.in_words()}")
    needs = card.requirements
    if needs.modality:
        typer.echo(f"Modality: {needs.modality}")
    if needs.spacing_mm:
        typer.echo(f"Spacing: {needs.spacing_mm[0]:g} to {needs.spacing_mm[1]:g} mm")
    if needs.field_of_view_mm:
        typer.echo(f"Field of view: {needs.field_of_view_mm[0]:g} to {needs.field_of_view_mm[1]:g} mm an axis")
    if mean := card.dice.get(MEAN_DICE):
        typer.echo(f"Mean Dice: {mean:.3f}")
    for title, text in (
        ("Dice measured on", card.dice_data),
        ("Training data", card.training_data),
        ("Patch merging", card.patch_merging),
        ("Licence", card.licence),
        ("Weights SHA-256", bundle.weights_sha256),
    ):
        if text:
            typer.echo(f"{title}: {text}")
    for limit in card.limits:
        typer.echo(f"Limit: {limit}")
    for reference in card.references:
        typer.echo(f"Reference: {reference}")
    typer.echo(card.intended_use)


def show_published(model: PublishedModel) -> None:
    """What is known of a model that is not on this computer yet."""
    card, weights = model.card, model.weights
    typer.echo(f"{model.title} ({model.name}): not on this computer yet\n\n{card['description']}\n")
    for channel in card["inputs"]:
        typer.echo(f"Input: {channel['name']}")
    for definition in card["classes"]:
        code = definition.get("type")
        coded = f", {code['scheme']} {code['value']}" if code else ""
        typer.echo(f"Class {definition['label']}: {definition['name']}{coded}")
    published = f"{weights.hash_type} {weights.hash_value}" if weights.hash_type else "none is published"
    for title, text in (
        ("Modality", card["requirements"].get("modality")),
        ("Mean Dice", f"{card['dice']['mean']:.3f}" if "mean" in card["dice"] else ""),
        ("Dice measured on", card["dice_data"]),
        ("Training data", card["training_data"]),
        ("Weights", f"{weights.address}, about {data_size(weights.expected_bytes)}"),
        ("Hash", published),
        ("Its makers' page", model.page),
    ):
        if text:
            typer.echo(f"{title}: {text}")
    show_licence(model)
    for limit in card["limits"]:
        typer.echo(f"Limit: {limit}")
    for reference in card["references"]:
        typer.echo(f"Reference: {reference}")
    typer.echo(card["intended_use"])


def show_licence(model: PublishedModel) -> None:
    """Under which terms a model is published."""
    typer.echo(f"Licence: {model.licence} ({model.licence_address})")
    typer.echo(f"Data: {model.data_terms}")
    if model.restricting:
        typer.echo("These terms restrict the use of the model.")
