"""What is remembered from session to session."""

from __future__ import annotations

import math
from typing import Protocol

PACE = "TransformerSeg/SecondsPerWindow/{weights}/{device}"
AUTO_DEVICE_USED = "TransformerSeg/DeviceUsedForAuto"


class Settings(Protocol):
    """As QSettings keeps them."""

    def value(self, key: str, default: object = None) -> object: ...

    def setValue(self, key: str, value: object) -> None: ...  # noqa: N802


def remembered_pace(settings: Settings, weights_sha256: str, device: str) -> float | None:
    """Seconds per window of a model on a device, as its last run took them; None where it never ran."""
    try:
        seconds = float(settings.value(PACE.format(weights=weights_sha256, device=device), None))
    except (TypeError, ValueError):  # nothing there, or something that another program wrote
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def remember_pace(settings: Settings, weights_sha256: str, device: str, seconds_per_window: float) -> None:
    """Keep what a run measured."""
    settings.setValue(PACE.format(weights=weights_sha256, device=device), seconds_per_window)
