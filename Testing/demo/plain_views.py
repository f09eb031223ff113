"""Slice views without Slicer, for machines on which VTK cannot draw."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import SimpleITK
from looking import PLANES, Focus, Plane, window
from view_image import ViewImage, edge_letters

from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.inference.volume import Volume

_FILL_OPACITY = 0.35
_OUTLINE_PIXELS = 4
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


def draw_views(
    volume: Volume, segmentation: Segmentation, reference: Segmentation | None, focus: Focus, size: int
) -> list[ViewImage]:
    """The axial, coronal and sagittal view, ``size`` pixels high and wide; the reference by its outlines."""
    return [_draw(plane, volume, segmentation, reference, focus, size) for plane in PLANES]


def _draw(
    plane: Plane, volume: Volume, segmentation: Segmentation, reference: Segmentation | None, focus: Focus, size: int
) -> ViewImage:
    low, high = window(volume)
    gray = np.clip((_cut(volume.array, volume.affine, plane, focus, size, low) - low) / (high - low), 0, 1)
    pixels = np.repeat(gray[..., None], 3, axis=-1)
    for inside, color in _regions(segmentation, plane, focus, size):
        pixels[inside] = (1 - _FILL_OPACITY) * pixels[inside] + _FILL_OPACITY * color
        pixels[_outline(inside, _OUTLINE_PIXELS)] = color
    for inside, color in _regions(reference, plane, focus, size) if reference is not None else ():
        pixels[_outline(inside, _OUTLINE_PIXELS // 2)] = color
    letters = edge_letters(plane.right, plane.up)
    return ViewImage(plane.name, plane.color, np.uint8(pixels * 255 + 0.5), letters, focus.field_of_view(plane))


def _regions(
    segmentation: Segmentation, plane: Plane, focus: Focus, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each segment the pixels (size, size) that lie in it, and its colour."""
    for segment in segmentation.segments:
        if not segment.empty:
            cut = _cut(segmentation.mask(segment), segmentation.affine, plane, focus, size)
            yield cut > 0.5, np.array(segment.definition.color)


def _cut(
    array: np.ndarray, affine: np.ndarray, plane: Plane, focus: Focus, size: int, outside: float = 0.0
) -> np.ndarray:
    """Values on the plane, linearly interpolated: (size, size), top row first."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T, np.float32))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((_RAS_TO_LPS[:, None] * affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin((_RAS_TO_LPS * affine[:3, 3]).tolist())

    pixel = focus.field_of_view(plane) / size
    right, down = np.array(plane.right), -np.array(plane.up)
    corner = focus.centre_in(plane) - (size - 1) / 2 * pixel * (right + down)
    axes = np.stack([right, down, np.cross(right, down)], axis=1)
    cut = SimpleITK.Resample(
        image,
        [size, size, 1],
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        (_RAS_TO_LPS * corner).tolist(),
        [pixel, pixel, pixel],
        (_RAS_TO_LPS[:, None] * axes).ravel().tolist(),
        outside,
    )
    return SimpleITK.GetArrayFromImage(cut)[0]


def _outline(inside: np.ndarray, thickness: int) -> np.ndarray:
    """The pixels of a region that lie within ``thickness`` of its edge."""
    kept = inside.copy()
    for _ in range(thickness):
        shrunk = kept.copy()
        shrunk[1:] &= kept[:-1]
        shrunk[:-1] &= kept[1:]
        shrunk[:, 1:] &= kept[:, :-1]
        shrunk[:, :-1] &= kept[:, 1:]
        kept = shrunk
    return inside & ~kept
