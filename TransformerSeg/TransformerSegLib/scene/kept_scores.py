"""What was kept of the scores of runs: as long as their proposals are there, and within a budget. Not saved."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import slicer

from TransformerSegLib.scene.segment_tags import State
from TransformerSegLib.scene.stored_proposals import stored_proposal

if TYPE_CHECKING:
    from TransformerSegLib.inference.proposal import Proposal
    from TransformerSegLib.interaction.run_scores import RunScores

BUDGET_BYTES = 512 * 10**6
"""For all runs together; the oldest are forgotten first."""

_kept: WeakKeyDictionary[Proposal, RunScores] = WeakKeyDictionary()


def keep_scores(node: slicer.vtkMRMLSegmentationNode, segment_ids: tuple[str, ...], scores: RunScores) -> None:
    """Keep those of a run whose segments these are."""
    for segment_id in segment_ids:
        state = State.of(node.GetSegmentation().GetSegment(segment_id), segment_id)
        proposal = stored_proposal(node, state.proposal) if state else None
        if proposal is not None:
            keep(proposal, scores)
            return


def keep(proposal: Proposal, scores: RunScores) -> None:
    """Keep those of a run that proposed this."""
    _kept.pop(proposal, None)
    _kept[proposal] = scores
    total = sum(kept.bytes for kept in _kept.values())
    for oldest in list(_kept):
        if total <= BUDGET_BYTES or oldest is proposal:
            break
        total -= _kept.pop(oldest).bytes


def scores_of(proposal: Proposal) -> RunScores | None:
    """None where nothing was kept: labels must do."""
    return _kept.get(proposal)
