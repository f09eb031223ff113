"""Why Segment cannot be pressed yet, in one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slicer.i18n import tr as _

from TransformerSegLib.bundles.library import ModelSummary
from TransformerSegLib.errors import FrameOfReferenceMismatch
from TransformerSegLib.panel.checking import InputCheck, Verdict
from TransformerSegLib.panel.library_work import Change, Kind


@dataclass(frozen=True)
class Choices:
    """What is chosen in the panel, as far as Segment depends on it.

    Attributes:
        has_volumes: the scene holds a volume.
        model: None where the library is empty.
        change: what is being done to the model, or to all of them, and has to be waited for; None: nothing.
        licence_accepted: the model's licence restricts nothing, or was acknowledged.
        inputs: channel name → whether a volume is chosen for it.
        check: None where not every input is chosen.
        confirmed: a mismatch was confirmed.
        any_structure: at least one structure is wanted.
    """

    has_volumes: bool
    model: ModelSummary | None
    change: Change | None
    licence_accepted: bool
    inputs: Mapping[str, bool]
    check: InputCheck | None
    confirmed: bool
    any_structure: bool


def reason_not_ready(choices: Choices) -> str:
    """What is to be done before Segment can be pressed; "" where nothing is."""
    if not choices.has_volumes:
        return _("Load a volume first")
    if choices.model is None:
        return _("Import a model first")
    if choices.model.fault:
        return _("This model cannot be used: choose another")
    if choices.change is not None or not choices.model.on_disk:
        return _reason_of_absence(choices)
    missing = [name for name, chosen in choices.inputs.items() if not chosen]
    if missing:
        return _choose(missing, several=len(choices.inputs) > 1)
    return _reason_of_check(choices) or _reason_of_choice(choices)


def _reason_of_absence(choices: Choices) -> str:
    if choices.change is not None:
        return _("Wait until the model is there") if choices.change.kind is Kind.DOWNLOAD else _("Wait a moment")
    if not choices.licence_accepted:
        return _("Read and acknowledge the licence of this model, then download it")
    return _("Download this model first")


def _choose(missing: list[str], several: bool) -> str:
    if not several:
        return _("Choose the volume to segment")
    return _("Choose the volume for {channels}").format(channels=", ".join(missing))


def _reason_of_check(choices: Choices) -> str:
    check = choices.check
    if check is None or check.verdict in (Verdict.FITS, Verdict.UNCHECKED):
        return ""
    if check.verdict is Verdict.REFUSED:
        return check.error.remedy if check.error else check.line
    if choices.confirmed:
        return ""
    if check.suggests_region:
        return _("Place the box, or confirm to segment all of it")
    if isinstance(check.error, FrameOfReferenceMismatch):
        return check.error.remedy
    return _("Choose a volume that fits, or confirm")


def _reason_of_choice(choices: Choices) -> str:
    if not choices.licence_accepted:
        return _("Read and acknowledge the licence of this model")
    if not choices.any_structure:
        return _("Tick at least one structure")
    return ""
