"""A network asked about an image and about its mirror images. Imports torch: only modules of networks import it.

Isensee et al., "nnU-Net", https://arxiv.org/abs/1904.08128, average so what was trained on mirrored patches.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import nn

FIRST_SPATIAL = 2
"""Axis of an image (B, C, D, H, W)."""


class Mirrored(nn.Module):
    """The mean of a network's scores for an image and for all its mirror images, these turned back.

    Args:
        network: (B, C, D, H, W) → (B, classes, D, H, W).
        axes: of the window, 0 to 2, along which training mirrored; each doubles the work.
    """

    def __init__(self, network: nn.Module, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        spatial = [FIRST_SPATIAL + axis for axis in axes]
        self._flips = [some for count in range(1, len(spatial) + 1) for some in combinations(spatial, count)]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores = self.network(images)
        for axes in self._flips:
            scores = scores + self.network(images.flip(axes)).flip(axes)
        return scores / (1 + len(self._flips))
