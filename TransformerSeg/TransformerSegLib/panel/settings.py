"""What is remembered from session to session."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle

PACE = "TransformerSeg/SecondsPerWindow/{weights}/{device}"
AUTO_DEVICE_USED = "TransformerSeg/DeviceUsedForAuto"
MODELS_FOLDER = "TransformerSeg/ModelsFolder"
TRAINING_RUN = "TransformerSeg/TrainingRun"
REVIEWER = "TransformerSeg/Reviewer"


class Settings(Protocol):
    """As QSettings keeps them."""

    def value(self, key: str, default: object = None) -> object: ...

    def setValue(self, key: str, value: object) -> None: ...  # noqa: N802


def remembered_pace(settings: Settings, bundle: Bundle, device: str) -> float | None:
    """Seconds per window of a model on a device, as its last run took them; None where it never ran."""
    try:
        seconds = float(settings.value(PACE.format(weights=_weights_key(bundle), device=device), None))
    except (TypeError, ValueError):  # nothing there, or something that another program wrote
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def remember_pace(settings: Settings, bundle: Bundle, device: str, seconds_per_window: float) -> None:
    """Keep what a run measured."""
    settings.setValue(PACE.format(weights=_weights_key(bundle), device=device), seconds_per_window)


def _weights_key(bundle: Bundle) -> str:
    """Tells weights apart without reading them, which would hold up the window for a second a gigabyte."""
    try:
        size = bundle.weights.stat().st_size
    except OSError:  # the model was removed a moment ago
        size = 0
    return f"{bundle.folder.name}-{size}"


def models_folder(settings: Settings, usual: Path) -> Path:
    """Where imported and downloaded models lie: as a person chose, else the usual place."""
    chosen = settings.value(MODELS_FOLDER, "")
    return Path(chosen) if isinstance(chosen, str) and chosen else usual


def remember_models_folder(settings: Settings, folder: Path) -> None:
    """For the next start."""
    settings.setValue(MODELS_FOLDER, str(folder))


def remembered_training(settings: Settings) -> Path | None:
    """The run folder of the training that was begun last; None where none was, or it was closed."""
    folder = settings.value(TRAINING_RUN, "")
    return Path(folder) if isinstance(folder, str) and folder else None


def remember_training(settings: Settings, folder: Path | None) -> None:
    """For the next start; None: there is none any more."""
    settings.setValue(TRAINING_RUN, str(folder) if folder else "")


def remembered_reviewer(settings: Settings) -> str | None:
    """Who reviews; "" where the person would not be named, None where nobody was asked yet."""
    name = settings.value(REVIEWER, None)
    return None if name is None else str(name)


def remember_reviewer(settings: Settings, name: str) -> None:
    settings.setValue(REVIEWER, name)
