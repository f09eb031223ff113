"""What came of the work goes into the scene, as it is by then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from TransformerSegLib.errors import GridMismatch, OutputRejected
from TransformerSegLib.panel.phrases import listed

if TYPE_CHECKING:
    import slicer

    from TransformerSegLib.panel.undertaking import Undertaking
    from TransformerSegLib.panel.work import Finished
    from TransformerSegLib.scene.merging import RunOutcome

FEW_SEGMENTS = 20
"""So many surfaces are made within a few seconds, and are shown without being asked for."""


def put_result(scene: slicer.vtkMRMLScene, undertaking: Undertaking, finished: Finished) -> None:
    """Put a result where it was asked for, or into a new segmentation where that cannot be, and note which.

    Raises:
        GridMismatch: the volume was changed since it was read.
    """
    from TransformerSegLib.scene.display import show_result
    from TransformerSegLib.scene.labelmaps import CLOSED_SURFACE
    from TransformerSegLib.scene.merging import put_run
    from TransformerSegLib.scene.sequences import add_frame

    run, request = undertaking.run, undertaking.request
    if request.again:
        _put_again(scene, undertaking, finished)
        return
    volume_node = scene.GetNodeByID(undertaking.volume_ids[0])
    segmentation, frames = finished.segmentation, undertaking.frames[0]
    target = _target(scene, undertaking, volume_node) if frames is None else None
    had_surfaces = target is not None and target.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE)
    outcome = put_run(scene, segmentation, finished.proposal, volume_node, target, undertaking.region)
    _keep_what_the_model_said(outcome, finished)
    if frames is not None:
        if undertaking.target_id:
            run.notes += (_("Results of all frames go together: they are in a new segmentation."),)
        outcome = replace(outcome, node=add_frame(frames, run.frame - 1, outcome.node))
    run.outcome, run.node_id, run.statistics = outcome, outcome.node.GetID(), finished.statistics
    run.notes = tuple(dict.fromkeys((*run.notes, *segmentation.provenance["notes"], *_kept(outcome))))
    few = len(segmentation.segments) <= FEW_SEGMENTS
    if had_surfaces or (few if request.surfaces is None else request.surfaces):
        show_result(outcome.node, request.smoothing, surfaces=True)


def _put_again(scene: slicer.vtkMRMLScene, undertaking: Undertaking, finished: Finished) -> None:
    """A box of a result, segmented again: into the segments as they are."""
    from TransformerSegLib.scene.clicks import clicks_on

    node = scene.GetNodeByID(undertaking.target_id)
    if node is None:
        undertaking.run.notes += (_("The segmentation was deleted meanwhile."),)
        return
    clicks_on(node).renew(finished.segmentation, undertaking.region, finished.scores)
    undertaking.run.node_id = node.GetID()


def _keep_what_the_model_said(outcome: RunOutcome, finished: Finished) -> None:
    from TransformerSegLib.scene.doubt_record import store_doubt
    from TransformerSegLib.scene.kept_scores import keep_scores

    made = (*outcome.replaced, *outcome.added)
    if finished.scores is not None and finished.doubt is not None:
        keep_scores(outcome.node, made, finished.scores)
        store_doubt(outcome.node, made, finished.doubt)


def _kept(outcome: RunOutcome) -> list[str]:
    """A sentence on the segments that stayed as a person left them."""
    if not outcome.kept:
        return []
    segmentation = outcome.node.GetSegmentation()
    names = listed(f"“{segmentation.GetSegment(segment).GetName()}”" for segment in outcome.kept)
    return [_("Kept as you left them: {names}. What the model found is beside them.").format(names=names)]


def _target(
    scene: slicer.vtkMRMLScene, undertaking: Undertaking, volume_node: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode | None:
    """The segmentation to run into, if it still can be; None for a new one."""
    from TransformerSegLib.scene.target import check_target

    if not undertaking.target_id:
        return None
    target = scene.GetNodeByID(undertaking.target_id)
    if target is None:
        undertaking.run.notes += (_("The segmentation was deleted meanwhile: the result is in a new one."),)
        return None
    try:
        check_target(target, volume_node)
    except (GridMismatch, OutputRejected):
        undertaking.run.notes += (
            _("“{name}” no longer lies on the volume: the result is in a new segmentation.").format(
                name=target.GetName()
            ),
        )
        return None
    return target
