"""What a network sees of a volume, one after the other: windows or slices."""

from __future__ import annotations

from enum import Enum

from TransformerSegLib.bundles.plan import SlicePlan, WindowPlan


class Part(Enum):
    """What a run goes through, and is counted in."""

    WINDOW = "window"
    SLICE = "slice"

    @staticmethod
    def of(plan: WindowPlan | SlicePlan) -> Part:
        return Part.SLICE if isinstance(plan, SlicePlan) else Part.WINDOW

    @property
    def plural(self) -> str:
        return f"{self.value}s"

    def counted(self, number: int) -> str:
        """ "27 windows"."""
        return f"{number} {self.value if number == 1 else self.plural}"
