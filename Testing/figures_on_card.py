"""Figures on the card of a bundle, as ``transformerseg evaluate --write-card`` writes them; here they are made up."""

from __future__ import annotations

from pathlib import Path

from TransformerSegLib.bundles.card import Figure
from TransformerSegLib.bundles.measured import rewrite_measured, with_measured
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.training.metrics import DICE, HD95, SURFACE_DICE, VOLUME_ERROR_ML, VOLUME_ERROR_PERCENT, Metric

MEANS = {DICE: 0.9, SURFACE_DICE: 0.93, HD95: 1.6, VOLUME_ERROR_ML: -2.4, VOLUME_ERROR_PERCENT: -1.5}
HALF_INTERVALS = {DICE: 0.02, SURFACE_DICE: 0.015, HD95: 0.35, VOLUME_ERROR_ML: 1.25, VOLUME_ERROR_PERCENT: 2.5}


def write_figures(bundle: Path) -> None:
    """Each class has the same figures but the last, of which only one case was measured."""
    card = read_bundle(bundle).card
    *names, last = (each.name for each in card.classes)
    figures = {name: {metric.label: _figure(metric) for metric in MEANS} for name in names}
    figures[last] = {DICE.label: Figure(mean=0.5, cases=1), HD95.label: Figure(mean=9.25, cases=1, digits=HD95.digits)}
    dice = {name: of_class[DICE.label].mean for name, of_class in figures.items()}
    rewrite_measured(bundle, card, with_measured(card, dice, "20 cases of our own (mean)", figures))


def _figure(metric: Metric) -> Figure:
    mean, half = MEANS[metric], HALF_INTERVALS[metric]
    return Figure(mean=mean, low=mean - half, high=mean + half, cases=20, digits=metric.digits)
