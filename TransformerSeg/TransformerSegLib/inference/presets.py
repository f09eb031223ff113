"""How fast, and how thorough: what a user may choose instead of what the model's bundle asks for."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.plan import SlicePlan, WindowPlan

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Card


class Preset(Enum):
    """Named ways to run a model. Only the first gives what the model's makers measured."""

    STANDARD = "standard"
    FAST = "fast"
    FASTER_CPU = "faster-cpu"
    FASTER_GPU = "faster-gpu"
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

    @property
    def crops(self) -> bool:
        """Whether of a CT only the body is looked at, and not the air around it."""
        return self is Preset.FAST

    @property
    def halves(self) -> bool:
        """Whether the network computes in bfloat16."""
        return self in (Preset.FASTER_CPU, Preset.FASTER_GPU)

    def mirror_axes(self, card: Card) -> tuple[int, ...]:
        """Axes of the model's window along which its scores are averaged over mirror images."""
        return card.mirror_axes if self is Preset.BEST and card.slices is None else ()

    def passes(self, card: Card) -> int:
        """How often the network sees each window."""
        return 2 ** len(self.mirror_axes(card))

    def window(self, plan: WindowPlan | SlicePlan) -> WindowPlan | SlicePlan:
        """The plan with this preset's overlap. FAST never overlaps more than the model's own, and BEST never less.

        Slices do not overlap, and are the same with every preset.
        """
        if self.overlap is None or isinstance(plan, SlicePlan):
            return plan
        bound = min if self is Preset.FAST else max
        return replace(plan, overlap=tuple(bound(own, self.overlap) for own in plan.overlap))


_OVERLAPS = {
    Preset.STANDARD: None,
    Preset.FAST: 0.25,
    Preset.FASTER_CPU: None,
    Preset.FASTER_GPU: None,
    Preset.BEST: 0.625,
}

_TITLES = {
    Preset.STANDARD: "Standard",
    Preset.FAST: "Fast",
    Preset.FASTER_CPU: "Faster on this CPU",
    Preset.FASTER_GPU: "Faster on this GPU",
    Preset.BEST: "Best",
}

_EXPLANATIONS = {
    Preset.STANDARD: "As the model's makers chose it: the numbers are those that they measured.",
    Preset.FAST: "Windows that overlap by a quarter at most, and of a CT only the body: quicker, but with other "
    "windows come other numbers. Models that work slice by slice stay as they are.",
    Preset.FASTER_CPU: "The same windows, computed with 16 bits instead of 32: on average over the cases that were "
    "compared, each class was the same to 99.8 % or more (Dice).",
    Preset.FASTER_GPU: "The same windows, computed on the graphics card with 16 bits instead of 32: on average over "
    "the cases that were compared, on a CPU, each class was the same to 99.8 % or more (Dice).",
    Preset.BEST: "Windows overlap by five eighths at least, and are mirrored if the model was trained so: several "
    "times slower, and smoother where windows meet. Models that work slice by slice stay as they are.",
}
