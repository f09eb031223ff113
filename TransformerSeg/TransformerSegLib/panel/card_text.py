"""A model's card as text to be read in the panel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from TransformerSegLib.bundles.library import ModelSummary
from TransformerSegLib.inference.data_size import data_size
from TransformerSegLib.panel.phrases import escaped
from TransformerSegLib.training.metrics import DICE, VOLUME_ERROR_ML

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.bundles.card import Card, Figure


def card_text(summary: ModelSummary, bundle: Bundle | None, recorded_sha256: str = "") -> str:
    """Rich text; addresses in it are plain text, which leads nowhere.

    Args:
        summary: always there.
        bundle: None where it cannot be read yet, because it is to be downloaded or packages are missing; then only
            the summary is told.
        recorded_sha256: of what was downloaded; "" where nothing was.
    """
    size = data_size(summary.bytes) if summary.bytes else _("not known")
    card = None if bundle is None else bundle.card
    parts = [
        f"<h3>{escaped(summary.title)}</h3>",
        _paragraph(summary.description),
        _part(_("Segments"), ", ".join(summary.structures)),
        *(_made(bundle) if bundle else []),
        _measured(card) if card and card.dice else _part(_("Dice"), summary.dice or _("not stated")),
        _figures(card) if card else "",
        _part(_("With 16 bits"), card.bfloat16.in_words()) if card and card.bfloat16 else "",
        _bullets(_("Limits"), card.limits) if card else "",
        _part(_("Licence"), _licence(summary)),
        _bullets(_("References"), card.references) if card else "",
        _part(_("Version"), card.version) if card else "",
        _part(_("Size"), size if summary.on_disk else _("about {size}").format(size=size)),
        _part(_("Source"), summary.source),
        _part(_("SHA-256 of the download"), recorded_sha256),
        f"<p><i>{escaped(card.intended_use if card else _('For research use, not for diagnosis.'))}</i></p>",
    ]
    return "".join(parts)


def _licence(summary: ModelSummary) -> str:
    title = " ".join(part for part in (summary.licence, summary.licence_address) if part)
    return "\n".join(part for part in (title or _("not stated"), summary.data_terms) if part)


def _made(bundle: Bundle) -> list[str]:
    """What it is made of, and made for."""
    card = bundle.card
    slices = _("slice by slice, on {axial} slices").format(axial=_(card.slices)) if card.slices else ""
    return [
        _part(_("Network"), ", ".join(part for part in (bundle.plan.network.architecture, slices) if part)),
        _part(_("Patch merging"), card.patch_merging),
        _part(_("Wants"), _wants(card)),
        _part(_("Trained on"), card.training_data),
    ]


def _wants(card: Card) -> str:
    needs = card.requirements
    lines = [", ".join(channel.name for channel in card.inputs)]
    if needs.modality:
        lines.append(needs.modality)
    if needs.spacing_mm:
        lines.append(_("voxels of {smallest:g} to {largest:g} mm").format(**_bounds(needs.spacing_mm)))
    if needs.field_of_view_mm:
        lines.append(_("{smallest:g} to {largest:g} mm a side").format(**_bounds(needs.field_of_view_mm)))
    return "; ".join(lines)


def _bounds(bounds: tuple[float, float]) -> dict[str, float]:
    return {"smallest": bounds[0], "largest": bounds[1]}


def _measured(card: Card) -> str:
    rows = "".join(
        f'<tr><td>{escaped(name)}&nbsp;&nbsp;</td><td align="right">{dice:.3f}</td>'
        f"<td>&nbsp;{_interval(card.figures.get(name, {}).get(DICE.label))}</td></tr>"
        for name, dice in card.dice.items()
    )
    return f"<p><b>{escaped(_('Dice'))}</b>: {escaped(card.dice_data)}</p><table>{rows}</table>"


def _figures(card: Card) -> str:
    """What was measured besides Dice: a row of means for each class. The class stands above them, and their intervals
    below, so that four columns have room."""
    named = [title for of_class in card.figures.values() for title in of_class if title != DICE.label]
    titles = list(dict.fromkeys(named))
    if not titles:
        return ""
    notes = [_("Means over these cases; in brackets, here and above, their 95 % confidence intervals.")]
    if any(title.startswith(VOLUME_ERROR_ML.title) for title in titles):
        notes.append(_("Volume error below zero: the model finds too little."))
    rows = [_row(f"<b>{escaped(title)}</b>" for title in titles)]
    for name, of_class in card.figures.items():
        rows.append(f'<tr><td colspan="{len(titles)}">{escaped(name)}</td></tr>')
        figures = [of_class.get(title) for title in titles]
        rows.append(_row("<br>".join(filter(None, (_mean(figure), _interval(figure)))) for figure in figures))
    return f'<table width="98%" cellpadding="2">{"".join(rows)}</table><p>{escaped(" ".join(notes))}</p>'


def _mean(figure: Figure | None) -> str:
    return _minus(figure.in_words().partition(" ")[0]) if figure else "–"


def _interval(figure: Figure | None) -> str:
    """In brackets, and small; "" where nothing is known."""
    interval = figure.in_words().partition(" ")[2] if figure else ""
    return f"<small>{_minus(interval)}</small>" if interval else ""


def _minus(number: str) -> str:
    return number.replace("-", "−")


def _row(cells: Iterable[str]) -> str:
    cells = [f'<td align="right">{cell}</td>' for cell in cells]
    return f"<tr>{''.join(cells)}</tr>"


def _part(title: str, text: str) -> str:
    return f"<p><b>{escaped(title)}</b>: {escaped(text)}</p>" if text else ""


def _bullets(title: str, sentences: tuple[str, ...]) -> str:
    points = "".join(f"<li>{escaped(sentence)}</li>" for sentence in sentences)
    return f"<p><b>{escaped(title)}</b></p><ul>{points}</ul>" if points else ""


def _paragraph(text: str) -> str:
    return f"<p>{escaped(text)}</p>" if text else ""
