"""A run that was confined to a region, joined with what segments were outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import slicer

from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.labelmaps import mask_of
from TransformerSegLib.scene.lattice import Index, Lattice
from TransformerSegLib.scene.volumes import volume_affine

if TYPE_CHECKING:
    from TransformerSegLib.inference.proposal import Proposal
    from TransformerSegLib.inference.region import Region
    from TransformerSegLib.inference.segmentation import Segmentation

Placed = tuple[np.ndarray, Index]


def fits_grid(segment: slicer.vtkSegment, volume_node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether all voxels of a segment are voxels of a volume."""
    shape = volume_node.GetImageData().GetDimensions()
    return _placed(segment, volume_affine(volume_node), shape) is not None


def with_outside(
    result: Segmentation,
    proposal: Proposal,
    target: slicer.vtkSegmentation,
    replaced: Mapping[str, str],
    region: Region,
) -> tuple[Segmentation, Proposal]:
    """A result, with what the segments that it replaces have outside of the region.

    Args:
        result: of a run that was confined to the region.
        proposal: of the same.
        target: the segments that are replaced.
        replaced: class name → segment id; each fits the grid of the result.
        region: in RAS.

    Returns:
        The result and its proposal; both as they are where nothing is outside.
    """
    from TransformerSegLib.inference.proposal import Proposal

    whole = Volume(result.layers[0], result.affine, result.name)
    box = region.crop(whole).box
    inside: Placed = region.inside(result.affine, box), tuple(extent.start for extent in box)
    kept = {}
    for class_name, segment_id in replaced.items():
        placed = _placed(target.GetSegment(segment_id), result.affine, whole.array.shape)
        outside = _without(placed, inside)
        if outside[0].any():
            kept[class_name] = outside
    if not kept:
        return result, proposal
    joined = _joined(result, kept)
    return joined, Proposal.of(joined)


def _joined(result: Segmentation, kept: Mapping[str, Placed]) -> Segmentation:
    """The masks written into copies of the layers; a mask that meets another class gets a layer of its own."""
    layers = dict.fromkeys(range(len(result.layers)))
    segments = []
    for segment in result.segments:
        if segment.definition.name in kept:
            mask, start = kept[segment.definition.name]
            box = tuple(slice(first, first + count) for first, count in zip(start, mask.shape, strict=True))
            layer = result.layers[segment.layer] if layers[segment.layer] is None else layers[segment.layer]
            if layer[box][mask].any():
                own = np.where(result.mask(segment), layer.dtype.type(segment.definition.label), layer.dtype.type(0))
                segment = replace(segment, layer=len(layers))
            else:
                own = layer.copy() if layers[segment.layer] is None else layer
            own[box][mask] = segment.definition.label
            layers[segment.layer] = own
        segments.append(segment)
    written = (result.layers[number] if layer is None else layer for number, layer in layers.items())
    return replace(result, layers=tuple(written), segments=tuple(segments))


def _placed(segment: slicer.vtkSegment, affine: np.ndarray, shape: Index) -> Placed | None:
    """A segment's voxels on a grid; None where they are not all on it."""
    mask = mask_of(segment)
    if mask is None:
        return None
    if not mask.array.size:
        return mask.array, (0, 0, 0)
    lattice = Lattice.between(mask.affine, affine, np.add(mask.start, mask.array.shape))
    if lattice is None:
        return None
    placed, start = lattice.placed(mask.array, mask.start)
    on_grid = min(start) >= 0 and (np.add(start, placed.shape) <= shape).all()
    return (placed, start) if on_grid else None


def _without(placed: Placed, inside: Placed) -> Placed:
    """A mask without the voxels of another."""
    mask, start = placed[0].copy(), placed[1]
    first = np.maximum(start, inside[1])
    stop = np.maximum(np.minimum(np.add(start, mask.shape), np.add(inside[1], inside[0].shape)), first)
    here = mask[tuple(map(slice, first - start, stop - start))]
    here &= ~inside[0][tuple(map(slice, first - inside[1], stop - inside[1]))]
    return mask, start
