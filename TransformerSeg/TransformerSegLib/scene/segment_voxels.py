"""Voxels of segments read and written on the grid of the volume that was segmented, whatever labelmaps they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import slicer
from vtkmodules.util.numpy_support import get_vtk_array_type

from TransformerSegLib.errors import GridMismatch
from TransformerSegLib.scene.announced import changing
from TransformerSegLib.scene.labelmaps import Labels, labelmap_of, labels_of
from TransformerSegLib.scene.lattice import Index, Lattice
from TransformerSegLib.scene.volumes import voxels, vtk_matrix

Box = tuple[slice, slice, slice]

MARGIN_VOXELS = 8
"""A labelmap that is too small for what is written grows by more than it has to: the next click comes beside it."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Of the volume that was segmented.

    Attributes:
        shape: (I, J, K).
        affine: 4×4, index → mm in the frame of the segmentation node.
    """

    shape: Index
    affine: np.ndarray


@dataclass(frozen=True, eq=False)
class Change:
    """Voxels that change.

    Attributes:
        at: (n, 3), indices on the grid.
        before, after: (n,): numbers; 0: none.
    """

    at: np.ndarray
    before: np.ndarray
    after: np.ndarray


Members = Mapping[int, slicer.vtkSegment]
"""Number → segment."""


def read_numbers(members: Members, grid: Grid, box: Box, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """What segments hold in a box.

    Returns:
        numbers, of the box's shape, and where several segments hold a voxel: the last of them is given there.

    Raises:
        GridMismatch: a segment's voxels do not meet those of the grid.
    """
    shape = tuple(extent.stop - extent.start for extent in box)
    numbers, several = np.zeros(shape, dtype), np.zeros(shape, bool)
    for labelmap, number_of in _by_labelmap(members).items():
        labels = labels_of(labelmap)
        if not labels.array.size:
            continue
        view, start = _lattice(labels, grid).placed(labels.array, labels.start)
        here, there = _meeting(box, view.shape, start)
        if here is None:
            continue
        found = _looked_up(view[there], number_of, dtype)
        several[here] |= (found > 0) & (numbers[here] > 0)
        np.copyto(numbers[here], found, where=found > 0)
    return numbers, several


def write_numbers(segmentation: slicer.vtkSegmentation, members: Mapping[int, str], grid: Grid, change: Change) -> None:
    """Change voxels, and nothing else; each labelmap tells of it once.

    A segment that shares a labelmap with others that must not lose a voxel to it gets one of its own.

    Args:
        members: number → segment id.
    """
    _give_way(segmentation, members, grid, change)
    segments = {number: segmentation.GetSegment(name) for number, name in members.items()}
    for labelmap, number_of in _by_labelmap(segments).items():
        label_of = {number: label for label, number in number_of.items()}
        concerned = np.isin(change.before, list(label_of)) | np.isin(change.after, list(label_of))
        if not concerned.any():
            continue
        wanted = np.array([label_of.get(number, 0) for number in change.after[concerned]])
        old = np.array([label_of.get(number, 0) for number in change.before[concerned]])
        _write(labelmap, grid, change.at[concerned], old, wanted)


def _write(
    labelmap: slicer.vtkOrientedImageData, grid: Grid, at: np.ndarray, old: np.ndarray, wanted: np.ndarray
) -> None:
    labels = labels_of(labelmap)
    own = _own_indices(labels, grid, at)
    there = _values(labels, own)
    # What is to be taken away may be gone, or be another segment's, by now.
    changes = np.where(wanted > 0, there != wanted, (there == old) & (there > 0))
    if not changes.any():
        return
    own, wanted = own[changes], wanted[changes]
    low, high = own.min(axis=0), own.max(axis=0)
    first, stop = np.array(labels.start), np.add(labels.start, labels.array.shape)
    if labels.array.size and (low >= first).all() and (high < stop).all():
        box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low - first, high - first, strict=True))
        with changing(labelmap, box):
            labels.array[tuple((own - first).T)] = wanted
    else:
        _write_grown(labelmap, labels, grid, own, wanted)


def _write_grown(
    labelmap: slicer.vtkOrientedImageData, labels: Labels, grid: Grid, own: np.ndarray, wanted: np.ndarray
) -> None:
    """As a new image that takes the place of the old one's content at once."""
    low, high = own.min(axis=0) - MARGIN_VOXELS, own.max(axis=0) + MARGIN_VOXELS + 1
    corners = _own_indices(labels, grid, np.array([(0, 0, 0), np.subtract(grid.shape, 1)]))
    low, high = np.maximum(low, corners.min(axis=0)), np.minimum(high, corners.max(axis=0) + 1)
    if labels.array.size:
        low = np.minimum(low, labels.start)
        high = np.maximum(high, np.add(labels.start, labels.array.shape))
    dtype = labels.array.dtype if labels.array.size else np.min_scalar_type(int(wanted.max()))
    grown = slicer.vtkOrientedImageData()
    grown.SetExtent([int(bound) for pair in zip(low, high - 1, strict=True) for bound in pair])
    grown.AllocateScalars(get_vtk_array_type(dtype), 1)
    grown.SetImageToWorldMatrix(vtk_matrix(labels.affine if labels.array.size else grid.affine))
    array = voxels(grown).transpose(2, 1, 0)
    array[:] = 0
    if labels.array.size:
        place = np.subtract(labels.start, low)
        array[tuple(slice(p, p + n) for p, n in zip(place, labels.array.shape, strict=True))] = labels.array
    array[tuple((own - low).T)] = wanted
    labelmap.DeepCopy(grown)


def _give_way(segmentation: slicer.vtkSegmentation, members: Mapping[int, str], grid: Grid, change: Change) -> None:
    """Take segments out of labelmaps in which others hold voxels that they are to get."""
    for number in np.unique(change.after):
        if number not in members:
            continue
        segment = segmentation.GetSegment(members[number])
        labelmap = labelmap_of(segment)
        labels = labels_of(labelmap)
        if not labels.array.size:
            continue
        gets = change.after == number
        there = _values(labels, _own_indices(labels, grid, change.at[gets]))
        segments = {other: segmentation.GetSegment(name) for other, name in members.items()}
        giving = {other: one.GetLabelValue() for other, one in segments.items() if labelmap_of(one) is labelmap}
        given = np.array([giving.get(other, 0) for other in change.before[gets]])
        if ((there != 0) & (there != given) & (there != segment.GetLabelValue())).any():
            segmentation.SeparateSegmentLabelmap(members[number])


def _by_labelmap(members: Members) -> dict[slicer.vtkOrientedImageData, dict[int, int]]:
    """Labelmap → label in it → number."""
    result: dict[slicer.vtkOrientedImageData, dict[int, int]] = defaultdict(dict)
    for number, segment in members.items():
        labelmap = labelmap_of(segment)
        if labelmap is not None:
            result[labelmap][segment.GetLabelValue()] = number
    return result


def _looked_up(labels: np.ndarray, number_of: Mapping[int, int], dtype: np.dtype) -> np.ndarray:
    if len(number_of) == 1:
        [(label, number)] = number_of.items()
        return (labels == label).astype(dtype) * dtype.type(number)
    table = np.zeros(max(number_of) + 2, dtype)  # the last one is of all labels beyond
    table[list(number_of)] = list(number_of.values())
    return table.take(labels, mode="clip")


def _lattice(labels: Labels, grid: Grid) -> Lattice:
    lattice = Lattice.between(labels.affine, grid.affine, labels.reach)
    if lattice is None:
        raise GridMismatch(
            "The segment no longer lies on the voxels of the volume that was segmented",
            why="clicks change voxels of the model's result where they are",
            remedy="Undo what moved or resampled it, or segment again",
        )
    return lattice


def _own_indices(labels: Labels, grid: Grid, at: np.ndarray) -> np.ndarray:
    """(n, 3): indices on a labelmap's own grid."""
    if not labels.array.size:
        return at
    lattice = _lattice(labels, grid)
    own = np.empty_like(at)
    for along, (axis, sign, offset) in enumerate(zip(lattice.axes, lattice.signs, lattice.offset, strict=True)):
        own[:, axis] = sign * (at[:, along] - offset)
    return own


def _values(labels: Labels, own: np.ndarray) -> np.ndarray:
    """(n,); 0 outside of the labelmap."""
    place = own - np.array(labels.start)
    inside = ((place >= 0) & (place < labels.array.shape)).all(axis=1)
    result = np.zeros(len(own), np.int64)
    result[inside] = labels.array[tuple(place[inside].T)]
    return result


def _meeting(box: Box, shape: Index, start: Index) -> tuple[Box, Box] | tuple[None, None]:
    """The shared part of a box and of an array on the grid: seen from the box, and from the array."""
    here, there = [], []
    for extent, size, first in zip(box, shape, start, strict=True):
        low, high = max(extent.start, first), min(extent.stop, first + size)
        if low >= high:
            return None, None
        here.append(slice(low - extent.start, high - extent.start))
        there.append(slice(low - first, high - first))
    return tuple(here), tuple(there)
