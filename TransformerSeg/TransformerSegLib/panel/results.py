"""Which segmentation of the scene is the result, and what is known of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from TransformerSegLib.scene.run_records import run_records

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLScene, vtkMRMLSegmentationNode

    from TransformerSegLib.inference.statistics import Statistics
    from TransformerSegLib.panel.run import Run


def latest_result(scene: vtkMRMLScene) -> vtkMRMLSegmentationNode | None:
    """The segmentation with the most recent run; None where no segmentation came of a run."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
    made = [(records[-1].get("time", ""), node) for node in nodes if (records := run_records(node))]
    return max(made, key=lambda pair: pair[0])[1] if made else None


def volume_of(node: vtkMRMLSegmentationNode) -> vtkMRMLScalarVolumeNode | None:
    """The volume that a segmentation was made from."""
    return node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())


def figures_by_segment(node: vtkMRMLSegmentationNode, run: Run) -> dict[str, Statistics]:
    """What the run measured, by segment id: of the segments that it made, not of those that it kept."""
    if run.outcome is None:  # a box of it was segmented again
        return {}
    segmentation = node.GetSegmentation()
    made = (*run.outcome.replaced, *run.outcome.added)
    labels = {segment_id: segmentation.GetSegment(segment_id).GetLabelValue() for segment_id in made}
    return {segment_id: run.statistics[label] for segment_id, label in labels.items() if label in run.statistics}


def last_run_words(node: vtkMRMLSegmentationNode) -> str:
    """Which run made a segmentation last, and when: of a scene that was reopened. "" where none did."""
    records = run_records(node)
    if not records:
        return ""
    model, time = records[-1].get("model", ""), str(records[-1].get("time", ""))
    return _("Last run: {model}, {time}").format(model=model, time=_local(time))


def _local(time: str) -> str:
    """A time in ISO format, in the computer's own time zone, to the minute."""
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return time
