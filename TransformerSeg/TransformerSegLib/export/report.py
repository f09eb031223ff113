"""What a run found and how it was made, as a JSON file for other programs."""

from __future__ import annotations

import json
from pathlib import Path

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import check_folder, written_atomically
from TransformerSegLib.inference.segmentation import Segmentation


def check_report(path: Path) -> None:
    """Make sure, before a run, that its report can be written; one that is there already is replaced.

    Raises:
        OutputRejected: the folder is missing or not writable, or ``path`` is not named as JSON.
    """
    if path.suffix.lower() != ".json" or path.is_dir():
        raise OutputRejected(
            f"“{path.name}” cannot be a report", why="reports are JSON files", remedy="Let its name end in .json"
        )
    check_folder(path.parent)


def write_report(path: Path, segmentation: Segmentation) -> None:
    """Write name, segments with their volumes in mL (empty ones marked), and provenance.

    Raises:
        OutputRejected: the file could not be written.
    """
    segments = [
        {
            "name": segment.definition.name,
            "label": segment.definition.label,
            "layer": segment.layer,
            "volume_ml": segment.volume_ml,
            "empty": segment.empty,
            "code": segment.definition.type.model_dump() if segment.definition.type else None,
        }
        for segment in segmentation.segments
    ]
    content = {"name": segmentation.name, "segments": segments, "provenance": dict(segmentation.provenance)}
    with written_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
