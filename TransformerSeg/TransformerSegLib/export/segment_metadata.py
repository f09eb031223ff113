"""What Slicer keeps with a segment beside its voxels: a stable id, the terminology, tags of provenance.

Both ways to Slicer, a ``.seg.nrrd`` file and a segmentation node, say the same because both ask here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Code, SegmentClass

TERMINOLOGY_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"
TAG_PREFIX = "TransformerSeg."

REVIEW_TAG = f"{TAG_PREFIX}review"
"""Of a segment that was signed off: by whom, when, and with which voxels, as JSON."""

_NO_CODE = "^^"
# Slicer separates codes by ~, their parts by ^, and tags by |, without a way to escape them.
_SEPARATORS = str.maketrans(dict.fromkeys("~^|\n", " "))


def segment_id(definition: SegmentClass) -> str:
    """The same for the same class in every run, so that scripts and re-runs find it."""
    return f"Segment_{definition.label}"


def terminology_entry(definition: SegmentClass) -> str:
    """The class's codes as Slicer writes them in the tag ``TerminologyEntry``; empty where the card has none.

    The format, from the segmentations page of Slicer's user guide: context, category, type, modifier, anatomic
    context, region, region modifier, separated by ``~``; each code as ``scheme^value^meaning``.
    """
    if definition.category is None or definition.type is None:
        return ""
    codes = (_coded(code) for code in (definition.category, definition.type, definition.modifier))
    return "~".join((TERMINOLOGY_CONTEXT, *codes, ANATOMIC_CONTEXT, _NO_CODE, _NO_CODE))


def provenance_tags(provenance: Mapping[str, object]) -> dict[str, str]:
    """``TransformerSeg.<key>`` → value: text as it is, everything else as JSON."""
    return {TAG_PREFIX + key: _tag_value(value) for key, value in provenance.items()}


def _coded(code: Code | None) -> str:
    if code is None:
        return _NO_CODE
    return "^".join(part.translate(_SEPARATORS) for part in (code.scheme, code.value, code.meaning))


def _tag_value(value: object) -> str:
    if isinstance(value, str):
        return value.translate(str.maketrans("|\n", "/ "))
    return json.dumps(value, ensure_ascii=False, sort_keys=True).replace("|", "\\u007c")


@dataclass(frozen=True)
class SegmentCodes:
    """What a terminology entry says, as far as it says it.

    Attributes:
        category, type, modifier: of the segmented property.
        region: anatomic region in which it lies.
    """

    category: Code | None = None
    type: Code | None = None
    modifier: Code | None = None
    region: Code | None = None


def codes_of(entry: str) -> SegmentCodes:
    """The codes of a terminology entry, as ``terminology_entry`` or a person in Slicer wrote it."""
    parts = entry.split("~")
    category, type_, modifier, region = (
        _decoded(parts[place]) if place < len(parts) else None for place in (1, 2, 3, 5)
    )
    return SegmentCodes(category, type_, modifier, region)


def _decoded(text: str) -> Code | None:
    from TransformerSegLib.bundles.card import Code

    scheme, value, meaning, *_ = (*text.split("^"), "", "", "")
    return Code(scheme=scheme, value=value, meaning=meaning or value) if scheme and value else None
