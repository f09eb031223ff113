"""What a run found and how it was made, as a JSON file for other programs."""

from __future__ import annotations

import json
from pathlib import Path

from TransformerSegLib.export.output import check_side_file, written_atomically
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.interaction.doubt import Doubt

_PARTS = {"name", "segments", "provenance"}
_FURTHER_PARTS = {"doubtful_places"}


def check_report(path: Path, overwrite: bool = False) -> None:
    """Make sure, before a run, that its report can be written; an earlier report is replaced.

    Raises:
        OutputRejected: the folder is missing or not writable, ``path`` is not named as JSON, or something else than a
            report is there already (a scanner's sidecar, a markups file) and ``overwrite`` is False.
    """
    check_side_file(path, "report", ".json", _is_report, overwrite)


def write_report(path: Path, segmentation: Segmentation, doubt: Doubt | None = None) -> None:
    """Write name, segments with their volumes in mL (empty ones marked), and provenance.

    Args:
        doubt: doubtful places, the worst first, each with its middle in RAS mm and the volume in mL that is probably
            wrong, are written too, and of each segment the Dice to expect; None: nothing is known.

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
    if doubt is not None:
        for segment in segments:
            segment["expected_dice"] = round(doubt.dice[segment["name"]], 4)
        content["doubtful_places"] = [
            {
                "ras_mm": (segmentation.affine @ (*place.centre, 1.0))[:3].round(3).tolist(),
                "wrong_ml": round(place.wrong_ml, 5),
            }
            for place in doubt.places
        ]
    with written_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_report(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.keys() - _FURTHER_PARTS == _PARTS
