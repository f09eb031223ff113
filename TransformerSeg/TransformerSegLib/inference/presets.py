"""Speed against smoothness: how much the windows of a run overlap."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from TransformerSegLib.bundles.plan import SlicePlan, WindowPlan


class Preset(Enum):
    """What a user may choose instead of the overlap that the model's bundle asks for."""

    STANDARD = "standard"
    FAST = "fast"
    BEST = "best"

    @property
    def overlap(self) -> float | None:
        """The share of a window that its neighbour covers; None: the model's own."""
        return _OVERLAPS[self]

    @property
    def title(self) -> str:
        return _TITLES[self]

    @property
    def explanation(self) -> str:
        """A sentence for people."""
        return _EXPLANATIONS[self]

    def window(self, plan: WindowPlan | SlicePlan) -> WindowPlan | SlicePlan:
        """The plan with this preset's overlap. FAST never overlaps more than the model's own, and BEST never less.

        Slices do not overlap, and are the same with every preset.
        """
        if self.overlap is None or isinstance(plan, SlicePlan):
            return plan
        bound = min if self is Preset.FAST else max
        return replace(plan, overlap=tuple(bound(own, self.overlap) for own in plan.overlap))


_OVERLAPS = {Preset.STANDARD: None, Preset.FAST: 0.25, Preset.BEST: 0.625}

_TITLES = {Preset.STANDARD: "Standard", Preset.FAST: "Fast", Preset.BEST: "Best"}

_EXPLANATIONS = {
    Preset.STANDARD: "Windows overlap as the model's makers chose it.",
    Preset.FAST: "Windows overlap by a quarter at most: quicker, and less exact where windows meet. "
    "Models that work slice by slice stay as they are.",
    Preset.BEST: "Windows overlap by five eighths at least: several times slower, and smoother where windows meet. "
    "Models that work slice by slice stay as they are.",
}
