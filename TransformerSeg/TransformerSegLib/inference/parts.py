"""What a network sees of a volume, one after the other: windows or slices."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from TransformerSegLib.bundles.plan import SlicePlan, WindowPlan

SLICE_AXES = 2
"""Along which a slice has a size; a window has three."""


class Part(Enum):
    """What a run goes through, and is counted in."""

    WINDOW = "window"
    SLICE = "slice"

    @staticmethod
    def of(plan: WindowPlan | SlicePlan) -> Part:
        return Part.SLICE if len(plan.size) == SLICE_AXES else Part.WINDOW

    @property
    def plural(self) -> str:
        return f"{self.value}s"

    def counted(self, number: int) -> str:
        """ "27 windows"."""
        return f"{number} {self.value if number == 1 else self.plural}"
