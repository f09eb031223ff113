"""What is known of a trained refinement: kept in a file beside its weights."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

SUFFIX = ".json"
"""In place of that of the weights."""


class ClicksMeasured(BaseModel):
    """What a simulated user's clicks made of a model's answers.

    Attributes:
        dice: number of clicks → mean Dice over classes and cases; 0: the model alone.
        clicks: mean number until a case's Dice is 0.90; cases that never get there count as 20.
        never: how many never get there.
        worsening: share of the clicks that lower Dice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dice: dict[int, float]
    clicks: float
    never: int
    worsening: float


class RefinerCard(BaseModel):
    """The card of a trained refinement.

    Attributes:
        sha256: of the weights' file.
        spacing_mm: smallest and largest distance of voxel centres, on any axis, with which it was shown to help.
        model, model_sha256: whose answers it learned to correct: title and version, and its weights.
        others: further models from whose answers it learned.
        training_data, licence: of the cases.
        command: that makes these weights of them.
        measured: way to correct → what came of it, on ``measured_data``.
        limits: one sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = "The learned step of corrections by clicks"
    sha256: str
    spacing_mm: tuple[float, float]
    model: str
    model_sha256: str
    others: tuple[str, ...] = ()
    training_data: str
    licence: str = ""
    command: str
    versions: dict[str, str] = {}
    measured: dict[str, ClicksMeasured] = {}
    measured_data: str = ""
    limits: tuple[str, ...] = ()
    intended_use: str = "For research use, not for diagnosis."


def card_path(weights: Path) -> Path:
    """Where the card of these weights lies."""
    return weights.with_suffix(SUFFIX)


PROVEN_SPACING_MM = (0.5, 2.5)
"""Cases of 1 mm were measured resampled to 0.35 to 2.5 mm, also along one axis only: below 0.5 mm it does not help."""
