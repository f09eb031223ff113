"""Where to look: the three planes through what was segmented, and how much of the volume around it is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.inference.volume import Volume

# The largest side of the box is enlarged by this for a view.
_MARGIN = 1.3
_SMALLEST_FIELD_OF_VIEW_MM = 30.0
# Which part of the intensities is shown between black and white.
_DARKEST_PERCENTILE, _BRIGHTEST_PERCENTILE = 0.5, 99.7
_CT_SOFT_TISSUE_HU = (-160.0, 240.0)


@dataclass(frozen=True)
class Plane:
    """A slice view, as Slicer and radiologists orient it.

    Attributes:
        name: Slicer's name of the orientation.
        right, up: what the image's right and upper edge look towards, in RAS.
        normal: the RAS axis across the plane.
        color: of Slicer's view of this orientation.
    """

    name: str
    right: tuple[int, int, int]
    up: tuple[int, int, int]
    normal: int
    color: str


PLANES = (
    Plane("Axial", (-1, 0, 0), (0, 1, 0), 2, "#F34A33"),
    Plane("Coronal", (-1, 0, 0), (0, 0, 1), 1, "#6EB04B"),
    Plane("Sagittal", (0, -1, 0), (0, 0, 1), 0, "#EDD54C"),
)


@dataclass(frozen=True)
class Focus:
    """What was segmented, as a box, and the planes to show.

    Attributes:
        low, high: corners of the box, RAS mm.
        cuts: where the sagittal, coronal and axial plane cut the R, A and S axis, mm.
    """

    low: np.ndarray
    high: np.ndarray
    cuts: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """The middle of the box, RAS mm."""
        return (self.low + self.high) / 2

    def centre_in(self, plane: Plane) -> np.ndarray:
        """The point in the middle of a slice view, RAS mm."""
        centre = self.centre
        centre[plane.normal] = self.cuts[plane.normal]
        return centre

    def field_of_view(self, plane: Plane) -> float:
        """Side of the square that a slice view shows, mm."""
        return max(_MARGIN * np.delete(self.high - self.low, plane.normal).max(), _SMALLEST_FIELD_OF_VIEW_MM)


def focus_on(segmentation: Segmentation) -> Focus:
    """All that was found, cut where the most of all classes is seen; the whole volume where nothing was found."""
    points = [_voxel_centres(segmentation.mask(segment), segmentation.affine) for segment in segmentation.segments]
    points = [found for found in points if len(found)]
    if not points:
        # two voxels an axis, stretched to the corners of the whole grid
        stretch = np.array([size - 1 for size in segmentation.layers[0].shape] + [1])
        corners = _voxel_centres(np.ones((2, 2, 2), bool), segmentation.affine * stretch)
        low, high = corners.min(axis=0), corners.max(axis=0)
        return Focus(low, high, (low + high) / 2)
    low = np.min([found.min(axis=0) for found in points], axis=0)
    high = np.max([found.max(axis=0) for found in points], axis=0)
    return Focus(low, high, np.array([_richest_plane([found[:, axis] for found in points]) for axis in range(3)]))


def window(volume: Volume) -> tuple[float, float]:
    """The intensities that are shown black and white: soft tissue for CT, nearly the whole range for others."""
    if volume.modality == "CT":
        return _CT_SOFT_TISSUE_HU
    low, high = np.percentile(volume.array, (_DARKEST_PERCENTILE, _BRIGHTEST_PERCENTILE))
    return float(low), float(max(high, low + 1e-6))


def _voxel_centres(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]


def _richest_plane(coordinates: list[np.ndarray]) -> float:
    """The coordinate at which the most of all classes lies, mm.

    The square roots of the classes' areas are summed, so that a plane through two classes is preferred to a plane
    through the larger of them alone.
    """
    steps = np.unique(np.concatenate(coordinates).round())
    edges = np.append(steps - 0.5, steps[-1] + 0.5)
    richness = sum(np.sqrt(np.histogram(found, edges)[0]) for found in coordinates)
    return float(steps[int(np.argmax(richness))])
