"""Which licences a person has read."""

from __future__ import annotations

import hashlib

from TransformerSegLib.bundles.library import ModelSummary
from TransformerSegLib.panel.settings import Settings

_KEY = "TransformerSeg/AcknowledgedLicences"


class Licences:
    """Licences that restrict, acknowledged once for each model; kept in the settings of the user.

    A licence whose text changed has to be acknowledged again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def accepted(self, model: ModelSummary) -> bool:
        """Whether the model may be used: its licence restricts nothing, or was acknowledged."""
        return not model.restricted or self._settings.value(_key(model)) == _fingerprint(model)

    def accept(self, model: ModelSummary, accepted: bool = True) -> None:
        """Remember that the licence was acknowledged, or that this was taken back."""
        self._settings.setValue(_key(model), _fingerprint(model) if accepted else "")


def _key(model: ModelSummary) -> str:
    return f"{_KEY}/{model.name}"


def _fingerprint(model: ModelSummary) -> str:
    return hashlib.sha256(model.licence.encode()).hexdigest()
