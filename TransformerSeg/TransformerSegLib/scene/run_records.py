"""Which runs made a segmentation: kept on its node, and saved with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import slicer

from TransformerSegLib.export.segment_metadata import TAG_PREFIX

if TYPE_CHECKING:
    from TransformerSegLib.inference.segmentation import Segmentation

RECORDS_ATTRIBUTE = f"{TAG_PREFIX}runs"
LAST_RUN_ATTRIBUTE = f"{TAG_PREFIX}last_run"

RECORDED = ("model", "version", "weights_sha256", "licence", "options", "device", "time", "seconds")


def run_records(node: slicer.vtkMRMLSegmentationNode) -> list[dict[str, object]]:
    """One for each run into this segmentation that was not taken back, the oldest first.

    Returns:
        of each: ``run`` (its number, from 1), ``classes`` (names), and of its provenance ``model``, ``version``,
        ``weights_sha256``, ``licence``, ``options``, ``device``, ``time`` and ``seconds``.
    """
    try:
        records = json.loads(node.GetAttribute(RECORDS_ATTRIBUTE) or "[]")
    except ValueError:
        return []
    return [record for record in records if isinstance(record, dict)] if isinstance(records, list) else []


def next_run_number(node: slicer.vtkMRMLSegmentationNode) -> int:
    """Numbers are never given twice, since names of segments and tags carry them."""
    last = node.GetAttribute(LAST_RUN_ATTRIBUTE) or ""
    numbers = [record["run"] for record in run_records(node) if isinstance(record.get("run"), int)]
    return max([int(last) if last.isdecimal() else 0, *numbers]) + 1


def add_record(node: slicer.vtkMRMLSegmentationNode, run: int, segmentation: Segmentation) -> None:
    """Note a run."""
    record: dict[str, object] = {"run": run, "classes": [segment.definition.name for segment in segmentation.segments]}
    record |= {key: segmentation.provenance[key] for key in RECORDED if key in segmentation.provenance}
    _write(node, [*run_records(node), record])
    node.SetAttribute(LAST_RUN_ATTRIBUTE, str(run))


def remove_record(node: slicer.vtkMRMLSegmentationNode, run: int) -> None:
    """Forget a run that was taken back. Its number is not given again."""
    _write(node, [record for record in run_records(node) if record.get("run") != run])


def _write(node: slicer.vtkMRMLSegmentationNode, records: list[dict[str, object]]) -> None:
    node.SetAttribute(RECORDS_ATTRIBUTE, json.dumps(records, ensure_ascii=False))
