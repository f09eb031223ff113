"""What a run found and how it was made, as a JSON file for other programs."""

from __future__ import annotations

import json
from pathlib import Path

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import behind_links, check_folder, written_atomically
from TransformerSegLib.inference.segmentation import Segmentation

_PARTS = {"name", "segments", "provenance"}


def check_report(path: Path, overwrite: bool = False) -> None:
    """Make sure, before a run, that its report can be written; an earlier report is replaced.

    Raises:
        OutputRejected: the folder is missing or not writable, ``path`` is not named as JSON, or something else than a
            report is there already (a scanner's sidecar, a markups file) and ``overwrite`` is False.
    """
    if path.suffix.lower() != ".json" or path.is_dir():
        raise OutputRejected(
            f"“{path.name}” cannot be a report", why="reports are JSON files", remedy="Let its name end in .json"
        )
    check_folder(behind_links(path).parent)
    if path.exists() and not overwrite and not _is_report(path):
        raise OutputRejected(
            f"“{path}” is there already, and is no report",
            why="what it holds would be lost",
            remedy="Name another file for the report, or add --overwrite",
        )


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


def _is_report(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.keys() == _PARTS
