"""Feature maps as planes, one behind the other. Imports torch: only modules of networks import it.

The features of a voxel lie side by side (channels last): a plane is an image for a two-dimensional convolution, and the
row of a matrix for a linear layer, without being copied.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from TransformerSegLib.networks.kept_memory_module import taken

TILES = (4, 6)
"""Planes that a ``winograd_module`` convolution may make at a time: even numbers."""

KERNEL = 3
"""Its length along each axis."""


@dataclass(frozen=True, eq=False)
class Planes:
    """A feature map of one sample in a buffer with room before and behind it.

    Attributes:
        buffer: (slots, H, W, C), contiguous.
        first: the slot of plane 0.
        depth: D, the number of planes.
    """

    buffer: torch.Tensor
    first: int
    depth: int

    @classmethod
    def empty(cls, depth: int, height: int, width: int, features: int, steps: int = 0) -> Planes:
        """Room for planes that so many convolutions in place will each push one slot forward. float32, on the CPU."""
        tile = tile_for(depth)
        slots = steps + 1 + tiles_of(depth, tile) * tile + 1
        buffer = taken(slots * height * width * features).view(slots, height, width, features)
        return cls(buffer, steps + 1, depth)

    @classmethod
    def of(cls, features: torch.Tensor, steps: int = 0) -> Planes:
        """A copy of features (D, H, W, C), with cleared margins."""
        made = cls.empty(*features.shape, steps=steps)
        made[0 : made.depth] = features
        made.clear_margins()
        return made

    def __getitem__(self, planes: slice) -> torch.Tensor:
        """(planes, H, W, C), a view. Plane -1, and those from ``depth`` on, are slots beside the map."""
        return self.buffer[self.first + planes.start : self.first + planes.stop]

    def __setitem__(self, planes: slice, features: torch.Tensor) -> None:
        self[planes].copy_(features)

    @property
    def whole(self) -> torch.Tensor:
        """(D, H, W, C), a view."""
        return self[0 : self.depth]

    @property
    def volume(self) -> torch.Tensor:
        """(1, C, D, H, W), a view."""
        return self.whole.permute(3, 0, 1, 2)[None]

    def pushed(self) -> Planes:
        """Where a convolution that reads this map writes its own, so that it may overwrite it: one slot before."""
        return Planes(self.buffer, self.first - 1, self.depth)

    def clear_margins(self) -> None:
        """Zeros before and behind the map: what a convolution of kernel 3 finds outside of it."""
        self[-1:0].zero_()
        self.buffer[self.first + self.depth :].zero_()


def tile_for(depth: int) -> int:
    """The tile that takes the fewest products for so many planes."""
    return min(TILES, key=lambda tile: tiles_of(depth, tile) * (tile + KERNEL - 1))


def tiles_of(depth: int, tile: int) -> int:
    """Tiles that cover so many planes."""
    return -(-depth // tile)


def as_images(planes: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C) → (N, C, H, W), a view."""
    return planes.permute(0, 3, 1, 2)


def as_planes(images: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) → (N, H, W, C), a view."""
    return images.permute(0, 2, 3, 1)


def as_rows(planes: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C), contiguous → (N·H·W, C), a view."""
    return planes.view(-1, planes.shape[-1])
