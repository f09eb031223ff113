"""One undo takes a whole run back, and nothing else: what a person drew since then stays."""

from __future__ import annotations

import slicer
from slicer.util import NodeModify

from TransformerSegLib.scene.history import Before, Step, forget_last_step, last_step
from TransformerSegLib.scene.labelmaps import BINARY_LABELMAP, drop_strays, labelmap_of, segments_of
from TransformerSegLib.scene.made import note_as_made, protected_segments, refresh_makers
from TransformerSegLib.scene.merging import finish_segments, unused
from TransformerSegLib.scene.run_records import remove_record, run_records
from TransformerSegLib.scene.segment_tags import STATE_TAG, State
from TransformerSegLib.scene.stored_proposals import discard_unused_proposals, store_proposal
from TransformerSegLib.scene.target import check_labelmaps


def can_undo(node: slicer.vtkMRMLSegmentationNode | None) -> bool:
    """Whether a run into this segmentation can be taken back: one of the last ten, since the scene was opened."""
    return node is not None and node.GetScene() is not None and last_step(node) is not None


def undo_run(node: slicer.vtkMRMLSegmentationNode) -> str:
    """Take the last run back.

    Segments that it replaced are again as they were before; those that it added are removed. Where a person drew in
    one of them since, or declared it completed, that one is kept: an added one as it is, a replaced one beside the one
    that comes back. Names and colours stay as they are.

    Returns:
        What was done, in words.

    Raises:
        OutputRejected: the segments are kept as surfaces now.
        ValueError: there is no run to take back, or the node was deleted.
    """
    if not can_undo(node):
        raise ValueError(f"no run into “{node.GetName()}” can be taken back")
    step = last_step(node)
    check_labelmaps(node)
    with NodeModify(node):
        undoing = _Undoing(node, step)
        undoing.take_back()
    forget_last_step(node)
    return undoing.in_words()


class _Undoing:
    def __init__(self, node: slicer.vtkMRMLSegmentationNode, step: Step) -> None:
        self._node = node
        self._segmentation: slicer.vtkSegmentation = node.GetSegmentation()
        self._step = step
        self._record = next((record for record in run_records(node) if record.get("run") == step.run), {})
        self._removed = 0
        self._kept: list[str] = []

    def take_back(self) -> None:
        there = segments_of(self._segmentation)
        of_run = [name for name in (*self._step.replaced, *self._step.added) if name in there]
        protected = protected_segments(self._node, of_run)
        left = [labelmap_of(there[name]) for name in of_run]
        for identifier, proposal in self._step.proposals.items():
            store_proposal(self._node, proposal, identifier)
        for name in self._step.added:
            if name in protected:
                self._kept.append(there[name].GetName())
            elif name in there:
                self._remove(name)
        for name, before in self._step.replaced.items():
            if name in protected:
                self._keep_beside(name, before)
            self._bring_back(name, before)
        restored = [before.labelmap for before in self._step.replaced.values()]
        drop_strays(self._segmentation, [labelmap for labelmap in (*left, *restored) if labelmap is not None])
        note_as_made(self._node, self._step.replaced)
        refresh_makers(self._node)
        finish_segments(self._node, of_run)
        discard_unused_proposals(self._node.GetScene())
        if not self._kept:
            remove_record(self._node, self._step.run)

    def in_words(self) -> str:
        """ "Run 2 (hippocampus_swin_unetr) was taken back: 2 segments restored, 1 removed"."""
        model = self._record.get("model")
        which = f"Run {self._step.run}" + (f" ({model})" if model else "")
        done = [
            f"{number} segment{'' if number == 1 else 's'} {verb}"
            for number, verb in ((len(self._step.replaced), "restored"), (self._removed, "removed"))
            if number
        ]
        words = f"{which} was taken back" + (f": {', '.join(done)}" if done else "")
        if self._kept:
            words += f". Kept, since it was changed or completed: {', '.join(f'“{name}”' for name in self._kept)}"
        return words

    def _remove(self, name: str) -> None:
        # Slicer would copy the shared labelmap for a segment that still holds it.
        self._segmentation.GetSegment(name).RemoveAllRepresentations()
        self._segmentation.RemoveSegment(name)
        self._removed += 1

    def _keep_beside(self, name: str, before: Before) -> None:
        """A copy, with voxels of its own, of a segment that a person changed since the run."""
        changed = self._segmentation.GetSegment(name)
        names = [segment.GetName() for segment in segments_of(self._segmentation).values()]
        copy = slicer.vtkSegment()
        copy.DeepCopy(changed)
        copy.SetName(unused(names, f"{changed.GetName()} (changed after run {self._step.run})"))
        copy.SetNameAutoGenerated(False)
        copy.SetColorAutoGenerated(False)
        ids = self._segmentation.GetSegmentIDs()
        copy_id = unused(ids, f"{name}_changed")
        state = State.of(changed, name)
        if state is not None:
            copy.SetTag(STATE_TAG, State(state.proposal, state.layer, state.label, copy_id).as_tag())
        self._segmentation.AddSegment(copy, copy_id, *ids[ids.index(name) + 1 :][:1])
        slicer.vtkSlicerSegmentationsModuleLogic.SetSegmentStatus(changed, before.status)
        self._kept.append(copy.GetName())

    def _bring_back(self, name: str, before: Before) -> None:
        segment = self._segmentation.GetSegment(name)
        if segment is not None:
            before.restore(segment)
            return
        segment = slicer.vtkSegment()  # a person deleted it since
        segment.SetName(before.name)
        segment.SetNameAutoGenerated(False)
        segment.SetColor(before.color)
        segment.SetColorAutoGenerated(False)
        segment.AddRepresentation(BINARY_LABELMAP, before.labelmap)
        before.restore(segment)
        self._segmentation.AddSegment(segment, name)
