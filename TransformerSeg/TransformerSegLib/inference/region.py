"""A region of interest: the only part of a volume that is segmented."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from TransformerSegLib.errors import RegionRejected
from TransformerSegLib.inference.names import clean_name, shown
from TransformerSegLib.inference.volume import Volume

MARKUPS_SUFFIX = ".json"
BOX_TYPES = ("Box", "BoundingBox")

FEWEST_VOXELS = 2
"""On each axis: a volume with less is no volume."""

ON_THE_FACE_MM = 1e-4
"""A voxel's centre that lies on a face of the region, rounding apart, is inside."""

FARTHEST_MM = 1e6
"""No patient is a kilometre away: a number beyond is a slip, or would overflow further on."""

COORDINATE_SYSTEMS = {"LPS": "LPS", "RAS": "RAS", "0": "RAS", "1": "LPS"}
"""As Slicer takes the field of a markups file: by name, or by the number that old versions wrote."""

MILLIMETRES = ("mm", ["mm", "UCUM", "millimeter"])
"""The two forms of a unit in a markups file: its code, or code, scheme and meaning."""

ALIGNED = 1e-5
"""Sine of the angle between a region's axis and a volume's below which they are taken for parallel: over half a metre
that is five micrometres."""

Box = tuple[slice, slice, slice]
"""Voxels from … to, on each axis."""


@dataclass(frozen=True)
class Crop:
    """The part of a volume's index space in which a region lies.

    Attributes:
        box: the smallest box of voxels that holds every voxel whose centre is in the region.
        has_corners_outside: True where the box holds other voxels too, since region and volume are turned against
            each other: ``Region.inside`` tells which are to be cleared.
    """

    box: Box
    has_corners_outside: bool

    def cut(self, volume: Volume) -> Volume:
        """The volume within the box, with its voxels in a copy of their own.

        Raises:
            RegionRejected: all of them have the same value.
        """
        start = np.array([extent.start for extent in self.box])
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ start
        array = np.ascontiguousarray(volume.array[self.box])
        if array.min() == array.max():
            raise RegionRejected(
                f"Inside the region of interest all voxels of “{volume.name}” have the value {array.flat[0]:g}",
                why="there is nothing to segment",
                remedy="Move it onto the anatomy",
            )
        return replace(volume, array=array, affine=affine)


@dataclass(frozen=True, eq=False)
class Region:
    """A box in the patient, turned or not. Coordinates are RAS, in mm.

    Attributes:
        center: (3,).
        size: (3,) length along each of its own axes.
        axes: 3×3; the columns are its own axes, unit vectors.
    """

    center: np.ndarray
    size: np.ndarray
    axes: np.ndarray

    def crop(self, volume: Volume) -> Crop:
        """Where in a volume the region lies.

        Raises:
            RegionRejected: it misses the volume, or holds fewer than two voxels on an axis.
        """
        to_region = self._from_index(volume.affine)
        box = self._box_around(volume)
        aligned = _is_aligned(to_region[:, :3])
        if not aligned:
            box = self._tightened(volume.affine, box)
        counts = [extent.stop - extent.start for extent in box]
        if min(counts) < FEWEST_VOXELS:
            raise RegionRejected(
                f"The region of interest leaves {'×'.join(map(str, counts))} voxels of “{volume.name}”",
                why=f"it needs at least {FEWEST_VOXELS} on each axis",
                remedy=f"Place it on the volume, {_where(volume)}",
            )
        return Crop(box, not aligned)

    def inside(self, affine: np.ndarray, box: Box) -> np.ndarray:
        """Which voxels of a box have their centres in the region.

        Args:
            affine: 4×4, index → RAS in mm, of the volume.
            box: voxels of the volume; take a slab at a time where memory is short.

        Returns:
            boolean, of the box's shape.
        """
        to_region = self._from_index(affine)
        i, j, k = (np.arange(extent.start, extent.stop) for extent in box)
        inside = np.empty((len(i), len(j), len(k)), bool)
        for plane, index in zip(inside, i, strict=True):
            plane[:] = True
            for (di, dj, dk, origin), half in zip(to_region, self.size / 2 + ON_THE_FACE_MM, strict=True):
                along = (di * index + origin) + dj * j[:, None] + dk * k
                plane &= np.abs(along) <= half
        return inside

    def _from_index(self, affine: np.ndarray) -> np.ndarray:
        """3×4: index → mm along the region's own axes, from its centre."""
        to_region = self.axes.T @ affine[:3]
        to_region[:, 3] -= self.axes.T @ self.center
        return to_region

    def _box_around(self, volume: Volume) -> Box:
        """The box of voxels around the region's corners, cut off at the volume's border; may be empty."""
        corners = self.center + np.array(list(product((-0.5, 0.5), repeat=3))) * self.size @ self.axes.T
        to_index = np.linalg.inv(volume.affine)
        indices = corners @ to_index[:3, :3].T + to_index[:3, 3]
        slack = ON_THE_FACE_MM / np.array(volume.spacing)
        first = np.maximum(np.ceil(indices.min(axis=0) - slack), 0)
        last = np.minimum(np.floor(indices.max(axis=0) + slack), np.array(volume.array.shape) - 1)
        return tuple(slice(int(a), int(max(a, b + 1))) for a, b in zip(first, last, strict=True))

    def _tightened(self, affine: np.ndarray, box: Box) -> Box:
        """The box without the planes on its faces in which no voxel is inside."""
        ranges = [np.zeros(extent.stop - extent.start, bool) for extent in box]
        for index in range(box[0].start, box[0].stop):
            plane = self.inside(affine, (slice(index, index + 1), *box[1:]))[0]
            ranges[0][index - box[0].start] = plane.any()
            ranges[1] |= plane.any(axis=1)
            ranges[2] |= plane.any(axis=0)
        return tuple(_bounds(held, extent.start) for held, extent in zip(ranges, box, strict=True))


def read_region(text: str | Path) -> Region:
    """A region from its six bounds, or from a file.

    Args:
        text: "x1,x2,y1,y2,z1,z2": right, anterior and superior in mm, either order within a pair; or the path of a
            markups file of Slicer (``.mrk.json``) with one region of interest, a box, turned or not
            (https://slicer.readthedocs.io/en/latest/developer_guide/modules/markups.html#markups-json-file-format).

    Raises:
        RegionRejected: it is neither.
    """
    if str(text).lower().endswith(MARKUPS_SUFFIX):
        return _read_markups(Path(text))
    try:
        bounds = np.array([float(number) for number in str(text).split(",")]).reshape(3, 2)
    except ValueError as error:
        raise RegionRejected(
            f"“{clean_name(str(text))}” is no region of interest",
            why="that takes six numbers, or a markups file of Slicer (.mrk.json)",
            remedy="Write x1,x2,y1,y2,z1,z2 in RAS millimetres, without spaces",
        ) from error
    with np.errstate(over="ignore"):  # infinite, and refused
        center, size = bounds.mean(axis=1), np.abs(bounds[:, 1] - bounds[:, 0])
    return _region(center, size, np.eye(3), str(text))


def _read_markups(path: Path) -> Region:
    try:
        markups = json.loads(path.read_text(encoding="utf-8"))["markups"]
        if len(markups) != 1 or markups[0]["type"] != "ROI" or markups[0]["roiType"] not in BOX_TYPES:
            raise ValueError("not one region of interest that is a box")
        (roi,) = markups
        if roi.get("insideOut"):
            raise ValueError("the region is turned inside out")
        if roi.get("coordinateUnits", "mm") not in MILLIMETRES:
            raise ValueError("not in millimetres")
        system = COORDINATE_SYSTEMS[str(roi.get("coordinateSystem", "LPS"))]
        center = np.array(roi["center"], np.float64).reshape(3)
        size = np.array(roi["size"], np.float64).reshape(3)
        axes = np.array(roi.get("orientation", np.diag([-1, -1, 1])), np.float64).reshape(3, 3)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise RegionRejected(
            f"No region of interest can be read from “{shown(path)}”",
            why="that takes a markups file with one ROI, a box that is not inside out, in millimetres in LPS or RAS",
            remedy="Save the ROI node in Slicer as .mrk.json, and give that file",
        ) from error
    if system == "LPS":
        center, axes = center * (-1, -1, 1), np.diag([-1, -1, 1]) @ axes
    return _region(center, size, axes, path.name)


def _region(center: np.ndarray, size: np.ndarray, axes: np.ndarray, called: str) -> Region:
    near = all((np.abs(numbers) <= FARTHEST_MM).all() for numbers in (center, size, axes))  # false of NaN, too
    if not near or (size <= 0).any() or not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise RegionRejected(
            f"The region of interest “{clean_name(called)}” is no box",
            why="its bounds have to differ and to lie within a kilometre, and its axes to be at right angles",
            remedy="Give x1,x2,y1,y2,z1,z2 in RAS millimetres, or a markups ROI file",
        )
    return Region(center, size, axes)


def _is_aligned(to_region: np.ndarray) -> bool:
    """Whether each axis of the volume runs along one of the region's."""
    directions = np.abs(to_region / np.linalg.norm(to_region, axis=0))
    return bool((np.sort(directions, axis=0)[1] < ALIGNED).all())


def _bounds(held: np.ndarray, start: int) -> slice:
    indices = np.flatnonzero(held)
    if indices.size == 0:
        return slice(start, start)
    return slice(start + int(indices[0]), start + int(indices[-1]) + 1)


def _where(volume: Volume) -> str:
    """ "R −80.0 to 80.0, …": where the volume lies."""
    corners = np.array(list(product(*((-0.5, count - 0.5) for count in volume.array.shape))))
    places = corners @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    return ", ".join(
        f"{letter} {low:.1f} to {high:.1f}"
        for letter, low, high in zip("RAS", places.min(axis=0), places.max(axis=0), strict=True)
    )
