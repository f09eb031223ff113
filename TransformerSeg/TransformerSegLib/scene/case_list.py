"""The list of reviewed cases in a folder, as a training takes it: volumes, segments, and who signed them off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.export.output import written_atomically

if TYPE_CHECKING:
    from TransformerSegLib.scene.sign_off import Review

LIST_NAME = "cases.json"

_MAKER = "TransformerSeg: reviewed cases"
"""Says that a list is this project's, and may be added to."""


def add_to_list(folder: Path, cases: Mapping[Path, tuple[Path, Review | None]]) -> Path | None:
    """Add cases to the folder's list, or make one; cases that are in it already are replaced.

    Args:
        cases: of each, its segments → its volume, and the review that it was signed off by.

    Returns:
        The list; None where the folder has one that somebody else wrote, which stays as it is.

    Raises:
        OutputRejected: it could not be written.
    """
    path = folder / LIST_NAME
    known = _known(path)
    if known is None:
        return None
    entries = {entry["label"]: entry for entry in known if (folder / entry["label"]).is_file()}
    for label, (image, review) in cases.items():
        entry = {"image": image.name, "label": label.name}
        entries[label.name] = entry if review is None else {**entry, "reviewed": _reviewed(review)}
    content = {"name": folder.resolve().name, "description": _MAKER, "training": list(entries.values())}
    with written_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _reviewed(review: Review) -> dict[str, object]:
    return {
        "by": review.by,
        "time": review.time,
        "segments": [segment.name for segment in review.segments.values()],
        "voxels_changed_by_clicks": review.by_clicks,
        "voxels_changed_by_hand": review.by_hand,
    }


def _known(path: Path) -> list[dict[str, object]] | None:
    """The cases of a list; none where there is no file; None where it is somebody else's."""
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content["training"] if content["description"] == _MAKER else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    is_list = isinstance(entries, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("label"), str) for entry in entries
    )
    return entries if is_list else None
