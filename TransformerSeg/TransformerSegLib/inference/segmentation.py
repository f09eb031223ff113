"""What comes back from a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from TransformerSegLib.bundles.card import MAXIMUM_LABEL, SegmentClass
from TransformerSegLib.inference.slabs import slabs


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
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each index axis, in mm."""
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def empty_segments(self) -> tuple[Segment, ...]:
        """The classes of which nothing was found."""
        return tuple(segment for segment in self.segments if segment.empty)

    def mask(self, segment: Segment) -> np.ndarray:
        """Boolean (I, J, K): the voxels of one segment."""
        return self.layers[segment.layer] == segment.definition.label

    def of_classes(self, names: Collection[str]) -> Segmentation:
        """Only the classes of these names: the voxels of all others become background.

        Args:
            names: as in the model's card; their order does not matter.

        Returns:
            with new layers, as many as still hold a class; the provenance says which classes were wanted.

        Raises:
            ValueError: no name is given, or one is not among the segments'.
        """
        known = {segment.definition.name for segment in self.segments}
        if not names or not known.issuperset(names):
            raise ValueError(f"“{', '.join(names)}” are not classes among “{', '.join(sorted(known))}”")
        wanted = [segment for segment in self.segments if segment.definition.name in names]
        old_layers = sorted({segment.layer for segment in wanted})
        layers = []
        for number in old_layers:
            labels = [segment.definition.label for segment in wanted if segment.layer == number]
            layers.append(_only(labels, self.layers[number]))
        options = {**self.provenance.get("options", {}), "classes": [segment.definition.name for segment in wanted]}
        return replace(
            self,
            layers=tuple(layers),
            segments=tuple(replace(segment, layer=old_layers.index(segment.layer)) for segment in wanted),
            provenance={**self.provenance, "options": options},
        )


def _only(labels: list[int], layer: np.ndarray) -> np.ndarray:
    kept = np.zeros(MAXIMUM_LABEL + 1, layer.dtype)
    kept[labels] = labels
    result = np.empty_like(layer)
    for rows in slabs(layer.shape):
        kept.take(layer[rows], out=result[rows], mode="clip")  # other modes make a copy
    return result
