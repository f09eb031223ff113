"""Word of which segments change, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import slicer
from vtkmodules.util.misc import calldata_type
from vtkmodules.vtkCommonCore import VTK_STRING

from TransformerSegLib.scene.announced import box_changed_since
from TransformerSegLib.scene.comparing import differing
from TransformerSegLib.scene.labelmaps import Labels, labelmap_of, labels_of, segments_of


class SegmentWatcher:
    """Says which segments of a segmentation change: their voxels, names, colours, tags; added and removed ones, too.

    Where segments share a labelmap, Slicer tells that it changed, but not for which of them; a copy of it is kept, and
    compared.

    Args:
        node: the segmentation. Its segments may come and go.
        on_change: called at once, from within what changes them, with their ids.
    """

    def __init__(self, node: slicer.vtkMRMLSegmentationNode, on_change: Callable[[set[str]], None]) -> None:
        self._node = node
        self._on_change = on_change
        self._of_node = node.AddObserver("ModifiedEvent", self._on_node)
        self._observers: list[int] = []
        self._watch()

    def close(self) -> None:
        """Stop watching; a second time does nothing."""
        self._node.RemoveObserver(self._of_node)
        self._unwatch()
        self._seen = _Seen({}, {})

    def _watch(self) -> None:
        self._segmentation: slicer.vtkSegmentation = self._node.GetSegmentation()
        self._seen = _Seen.of(self._segmentation)
        events = slicer.vtkSegmentation
        for event, called in (
            (events.SegmentAdded, self._on_list),
            (events.SegmentRemoved, self._on_list),
            (events.SegmentModified, self._on_segment),
        ):
            self._observers.append(self._segmentation.AddObserver(event, called))
        self._observers.append(self._segmentation.AddObserver(events.SourceRepresentationModified, self._on_voxels))

    def _unwatch(self) -> None:
        for observer in self._observers:
            self._segmentation.RemoveObserver(observer)
        self._observers = []

    def _on_node(self, *_: object) -> None:
        """A node that shows a sequence gets other segments with each frame."""
        if self._node.GetSegmentation() is self._segmentation:
            return
        before = set(self._segmentation.GetSegmentIDs())
        self._unwatch()
        self._watch()
        self._on_change(before | set(self._segmentation.GetSegmentIDs()))

    @calldata_type(VTK_STRING)
    def _on_list(self, _caller: slicer.vtkSegmentation, _event: str, segment_id: str | None = None) -> None:
        if segment_id is not None:
            self._on_change({segment_id})

    @calldata_type(VTK_STRING)
    def _on_segment(self, _caller: slicer.vtkSegmentation, _event: str, segment_id: str | None = None) -> None:
        if segment_id is not None and not self._only_moved(segment_id):
            self._on_change({segment_id})

    def _only_moved(self, segment_id: str) -> bool:
        """Whether a segment came to another labelmap: word of its voxels, if they changed, follows."""
        segment = self._segmentation.GetSegment(segment_id)
        before = self._seen.places.get(segment_id)
        if segment is None or before is None or labelmap_of(segment) is None:
            return False
        return before != (id(labelmap_of(segment)), segment.GetLabelValue())

    def _on_voxels(self, *_: object) -> None:
        changed = self._voxels_changed()
        if changed:
            self._on_change(changed)

    def _voxels_changed(self) -> set[str]:
        places = _places(self._segmentation)
        if places == self._seen.places:
            return self._seen.follow()
        now = _Seen.of(self._segmentation, self._seen)
        changed = now.differing(self._seen)
        self._seen = now
        return changed


@dataclass
class _Copy:
    """A labelmap as it was.

    Attributes:
        labelmap: itself, which keeps its address from being given to another.
        modified: the time at which it was last changed.
        labels: a copy of them.
    """

    labelmap: slicer.vtkOrientedImageData
    modified: int
    labels: Labels

    @classmethod
    def of(cls, labelmap: slicer.vtkOrientedImageData) -> Self:
        labels = labels_of(labelmap)
        return cls(labelmap, labelmap.GetMTime(), replace(labels, array=labels.array.copy(order="K")))

    def follow(self, members: Mapping[str, tuple[int, int]]) -> set[str]:
        """Become what the labelmap is now; which of its segments are others than before. Only in the box where it was
        changed, if that is known."""
        before = self.modified
        if before == self.labelmap.GetMTime():
            return set()
        then, now = self.labels, labels_of(self.labelmap)
        self.modified = self.labelmap.GetMTime()
        if not then.same_place(now):
            self.labels = replace(now, array=now.array.copy(order="K"))
            return _differing(members, then, now)
        box = box_changed_since(self.labelmap, before) or (slice(None),) * 3
        changed = differing(members, (then.array[box], then.start), (now.array[box], then.start), axis=2)
        then.array[box] = now.array[box]  # in its place: to ask for so much memory anew takes longer than to fill it
        return changed


@dataclass(frozen=True)
class _Seen:
    """What the segments were when somebody last looked.

    Attributes:
        places: segment id → its labelmap's name here, and its label.
        copies: by those names.
    """

    places: dict[str, tuple[int, int]]
    copies: dict[int, _Copy]

    @classmethod
    def of(cls, segmentation: slicer.vtkSegmentation, before: _Seen | None = None) -> Self:
        known = {} if before is None else before.copies
        copies: dict[int, _Copy] = {}
        for segment in segments_of(segmentation).values():
            labelmap = labelmap_of(segment)
            if labelmap is None or id(labelmap) in copies:
                continue
            old = known.get(id(labelmap))
            unchanged = old is not None and old.modified == labelmap.GetMTime()
            copies[id(labelmap)] = old if unchanged else _Copy.of(labelmap)
        return cls(_places(segmentation), copies)

    def follow(self) -> set[str]:
        """Become what the segments are now, of which each has the labelmap and the label that it had; the ids of those
        whose voxels are others."""
        members: dict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
        for segment_id, (name, label) in self.places.items():
            members[name][segment_id] = label, label
        return set().union(*(copy.follow(members[name]) for name, copy in self.copies.items()))

    def differing(self, before: _Seen) -> set[str]:
        """Ids of the segments whose voxels are others than before."""
        changed = self.places.keys() - before.places.keys()
        groups = defaultdict(dict)
        for name in self.places.keys() & before.places.keys():
            (old, old_label), (new, new_label) = before.places[name], self.places[name]
            groups[old, new][name] = old_label, new_label
        for (old, new), members in groups.items():
            then, now = before.copies[old], self.copies[new]
            if then is not now or any(labels[0] != labels[1] for labels in members.values()):
                changed |= _differing(members, then.labels, now.labels)
        return changed


def _differing(members: dict[str, tuple[int, int]], then: Labels, now: Labels) -> set[str]:
    if not np.array_equal(then.affine, now.affine):
        return set(members)
    return differing(members, (then.array, then.start), (now.array, now.start), axis=2)


def _places(segmentation: slicer.vtkSegmentation) -> dict[str, tuple[int, int]]:
    """Segment id → its labelmap's name, and its label; of those that have one."""
    segments = segments_of(segmentation)
    labelmaps = {segment_id: labelmap_of(segment) for segment_id, segment in segments.items()}
    return {
        segment_id: (id(labelmap), segments[segment_id].GetLabelValue())
        for segment_id, labelmap in labelmaps.items()
        if labelmap is not None
    }
