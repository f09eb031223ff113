"""Volume and mean intensity of segments as they are now, and word of when they change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import slicer
from vtkmodules.util.misc import calldata_type
from vtkmodules.vtkCommonCore import VTK_STRING

from TransformerSegLib.scene.comparing import differing
from TransformerSegLib.scene.labelmaps import Labels, Mask, labelmap_of, labels_of, mask_of, segments_of
from TransformerSegLib.scene.lattice import Lattice
from TransformerSegLib.scene.target import same_place
from TransformerSegLib.scene.volumes import volume_affine, voxels

if TYPE_CHECKING:
    from TransformerSegLib.inference.statistics import Statistics

MM3_PER_ML = 1000.0


def segment_statistics_of(
    node: slicer.vtkMRMLSegmentationNode,
    segment_id: str,
    volume_node: slicer.vtkMRMLScalarVolumeNode | None,
) -> Statistics:
    """Measure one segment. Touches no more of the volume than the box around it.

    Args:
        volume_node: whose intensities are averaged. The mean is None without a volume, where the segment is empty,
            where it reaches beyond the volume, and where their voxels do not meet.
    """
    from TransformerSegLib.inference.statistics import Statistics

    mask = mask_of(node.GetSegmentation().GetSegment(segment_id))
    if mask is None or not mask.array.size:
        return Statistics(0.0, None, 0)
    count = int(np.count_nonzero(mask.array))
    voxel_ml = abs(float(np.linalg.det(mask.affine))) / MM3_PER_ML
    image = None
    if volume_node is not None and volume_node.GetImageData() is not None and same_place(node, volume_node):
        image = _intensities(mask, volume_node)
    return Statistics(count * voxel_ml, None if image is None else float(image.mean(dtype=np.float64)), count)


def _intensities(mask: Mask, volume_node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray | None:
    """Those of the volume's voxels that are in the mask."""
    image = volume_node.GetImageData()
    if not image.GetNumberOfPoints() or image.GetNumberOfScalarComponents() != 1:
        return None
    reach = np.abs(mask.start) + mask.array.shape
    lattice = Lattice.between(mask.affine, volume_affine(volume_node), reach)
    if lattice is None:
        return None
    placed, start = lattice.placed(mask.array, mask.start)
    if min(start) < 0 or (np.add(start, placed.shape) > image.GetDimensions()).any():
        return None
    box = tuple(slice(first, first + count) for first, count in zip(start, placed.shape, strict=True))
    return voxels(image).transpose(2, 1, 0)[box][placed]


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
        now = _Seen.of(self._segmentation, self._seen)
        changed = now.differing(self._seen)
        self._seen = now
        return changed


@dataclass(frozen=True)
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
        places, copies = {}, {}
        for segment_id, segment in segments_of(segmentation).items():
            labelmap = labelmap_of(segment)
            if labelmap is None:
                continue
            name = id(labelmap)
            places[segment_id] = name, segment.GetLabelValue()
            if name in copies:
                continue
            old = known.get(name)
            unchanged = old is not None and old.labelmap is labelmap and old.modified == labelmap.GetMTime()
            copies[name] = old if unchanged else _Copy.of(labelmap)
        return cls(places, copies)

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
