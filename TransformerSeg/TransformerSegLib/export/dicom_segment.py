"""One segment, as DICOM describes it: what it is, which voxels it has, and who made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.inference.proposal import occupied_box

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Code
    from TransformerSegLib.inference.segmentation import Segmentation

Index = tuple[int, int, int]


class HowMade(Enum):
    """As DICOM has it (Segment Algorithm Type)."""

    AUTOMATIC = "AUTOMATIC"
    SEMIAUTOMATIC = "SEMIAUTOMATIC"
    MANUAL = "MANUAL"


@dataclass(frozen=True)
class Algorithm:
    """What made a segment, or made it first.

    Attributes:
        name, version: of the model.
        parameters: names and values, such as the digest of its weights.
    """

    name: str
    version: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class DicomSegment:
    """One segment.

    Attributes:
        name: for people.
        color: red, green, blue, each 0…1.
        category, type: what it is; "tissue" where nothing tells.
        modifier: of the type.
        region: the anatomic region in which it lies.
        how: it was made.
        algorithm: that made it; None only where a person did.
        mask: boolean, cropped.
        start: index (i, j, k) of the mask's first voxel on the grid of the source images.
    """

    name: str
    color: tuple[float, float, float]
    category: Code | None
    type: Code | None
    modifier: Code | None
    region: Code | None
    how: HowMade
    algorithm: Algorithm | None
    mask: np.ndarray
    start: Index

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where the mask lies."""
        return tuple(slice(first, first + size) for first, size in zip(self.start, self.mask.shape, strict=True))


def segments_of_run(segmentation: Segmentation) -> Iterator[DicomSegment]:
    """Those of a run's result that nobody has touched since; the empty ones, too."""
    algorithm = algorithm_of(segmentation.provenance)
    for segment in segmentation.segments:
        mask = segmentation.mask(segment)
        box = occupied_box(mask)
        definition = segment.definition
        yield DicomSegment(
            definition.name,
            definition.color,
            definition.category,
            definition.type,
            definition.modifier,
            None,
            HowMade.AUTOMATIC,
            algorithm,
            mask[box].copy(),
            tuple(extent.start for extent in box),
        )


def algorithm_of(provenance: object) -> Algorithm:
    """What a run's provenance says of the model.

    Args:
        provenance: a mapping with “model”, “version” and “weights_sha256”, as far as they are known.
    """
    known = {key: str(provenance.get(key) or "") for key in ("model", "version", "weights_sha256")}
    digest = known["weights_sha256"]
    parameters = (("weights_sha256", digest),) if digest else ()
    return Algorithm(known["model"] or "unknown", known["version"] or "unknown", parameters)
