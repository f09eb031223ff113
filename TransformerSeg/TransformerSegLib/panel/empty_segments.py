"""Why a structure may not have been found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from TransformerSegLib.scene.run_records import run_records

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode


def reason_for_empty(node: vtkMRMLSegmentationNode) -> str:
    """The likeliest reason, told from how the last run was made."""
    records = run_records(node)
    return likely_reason(records[-1] if records else {})


def likely_reason(record: Mapping[str, object]) -> str:
    """The likeliest reason why a class stayed empty, as a sentence.

    Args:
        record: of the run (``run_records``); empty where nothing is known of it.
    """
    options = record.get("options")
    options = options if isinstance(options, Mapping) else {}
    if options.get("region"):
        return _("Perhaps outside of the box.")
    if options.get("accept_mismatch"):
        return _("Perhaps since the input is unlike what the model was trained on.")
    if record:
        return _("Perhaps outside of the image, or unlike what the model was trained on.")
    return _("Perhaps outside of the image.")
