"""What a person says of one voxel."""

from __future__ import annotations

from dataclasses import dataclass

Index = tuple[int, int, int]


@dataclass(frozen=True)
class Click:
    """A voxel belongs to a class, or does not.

    Attributes:
        voxel: index (i, j, k) on the grid of the segmentation.
        position: of the class, in the order of the model's card; 0 is the first.
        belongs: False: the voxel does not belong to that class.
    """

    voxel: Index
    position: int
    belongs: bool = True
