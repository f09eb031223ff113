"""What comes back from a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.bundles.card import SegmentClass


@dataclass(frozen=True)
class Segment:
    """One class, as found in one volume.

    Attributes:
        definition: name, colour, label value and terminology, from the model's card.
        layer: which of ``Segmentation.layers`` it lies in. Classes that overlap lie in different layers.
        volume_ml: its volume in millilitres; 0.0 where it is empty.
    """

    definition: SegmentClass
    layer: int
    volume_ml: float

    @property
    def empty(self) -> bool:
        return self.volume_ml == 0.0


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels on the grid of the input volume.

    Attributes:
        layers: one or more label arrays, each of the input's shape (I, J, K), unsigned integers, C-contiguous.
            A voxel of layer n belongs to the segment with ``layer == n`` whose ``definition.label`` it holds;
            0 is background.
        affine: 4×4, float64, index → RAS in mm: the input's own.
        segments: in the card's order, the empty ones included.
        name: for people: the input's name and the model's.
        provenance: what made it, as plain JSON values: model, version, weights_sha256, device, options, versions,
            seconds, time, …
    """

    layers: tuple[np.ndarray, ...]
    affine: np.ndarray
    segments: tuple[Segment, ...]
    name: str
    provenance: Mapping[str, object]

    @property
    def empty_segments(self) -> tuple[Segment, ...]:
        """The classes of which nothing was found."""
        return tuple(segment for segment in self.segments if segment.empty)

    def mask(self, segment: Segment) -> np.ndarray:
        """Boolean (I, J, K): the voxels of one segment."""
        return self.layers[segment.layer] == segment.definition.label
