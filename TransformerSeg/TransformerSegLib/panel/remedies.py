"""The engine's errors, with remedies that can be followed in the panel instead of on the command line."""

from __future__ import annotations

from slicer.i18n import tr as _

from TransformerSegLib.errors import (
    DeviceUnavailable,
    FieldOfViewTooLarge,
    FrameOfReferenceMismatch,
    InputMismatch,
    OtherPatient,
    OutOfMemory,
    SameVolumeTwice,
    ScoresNotFinite,
    TransformerSegError,
    WrongNumberOfInputs,
)


class Unexpected(TransformerSegError):
    """An error that nobody thought of: a fault of the program."""


def for_panel(error: BaseException) -> TransformerSegError:
    """An error fit to be shown in the panel: a typed one keeps its kind, what and why."""
    if not isinstance(error, TransformerSegError):
        return _unexpected(error)
    remedy = _remedy(error)
    if remedy is None:
        return error
    told = type(error)(error.what, why=error.why, remedy=remedy)
    told.__cause__ = error
    return told


def _unexpected(error: BaseException) -> Unexpected:
    told = Unexpected(
        _("Something unexpected happened ({kind})").format(kind=type(error).__name__),
        why=_("that is a fault of the program, and not of what you did"),
        remedy=_("Copy the report, and send it to the makers of TransformerSeg"),
    )
    told.__cause__ = error
    return told


def _remedy(error: TransformerSegError) -> str | None:
    """None where the engine's own remedy holds here too."""
    match error:
        case FieldOfViewTooLarge():
            return _("Place a region around what is to be segmented, or confirm to segment all of it")
        case FrameOfReferenceMismatch():
            return _("Register one to the other, or confirm: a registered image may keep its old frame of reference")
        case InputMismatch():
            return _("Choose a volume that fits, or confirm to segment this one nevertheless")
        case WrongNumberOfInputs():
            return _("Choose one volume for each of them")
        case OtherPatient():
            return _("Choose volumes of one patient")
        case SameVolumeTwice():
            return _("Choose another volume for each input")
        case OutOfMemory():
            return _("Close other programs, or segment only a region of the volume")
        case DeviceUnavailable():
            return _("Choose another device under Advanced")
        case ScoresNotFinite():
            return _("Choose the CPU under Advanced; if that does not help, the model's weights are damaged")
    return None
