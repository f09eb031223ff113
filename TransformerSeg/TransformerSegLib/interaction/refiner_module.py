"""The network behind the learned refinement: small enough to answer a click on one core."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import leaky_relu

MAPS = 9
"""What it sees of a class: see ``refining.maps``."""

FEATURES = 16
SLOPE = 0.1
LOGITS_A_UNIT = 4.0


class Refiner(nn.Module):
    """Three dilated 3×3×3 convolutions, whose weights all classes share, so that it serves any number of them.

    At first it answers nought everywhere: the correction stays what it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(MAPS, FEATURES, 3, padding=1)
        self.second = nn.Conv3d(FEATURES, FEATURES, 3, padding=2, dilation=2)
        self.third = nn.Conv3d(FEATURES, FEATURES, 3, padding=3, dilation=3)
        self.answer = nn.Conv3d(FEATURES, 1, 1)
        nn.init.zeros_(self.answer.weight)
        nn.init.zeros_(self.answer.bias)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(classes, MAPS, i, j, k) → (classes, i, j, k): what is added to each class's score."""
        features = leaky_relu(self.first(maps), SLOPE)
        features = features + leaky_relu(self.second(features), SLOPE)
        features = features + leaky_relu(self.third(features), SLOPE)
        return LOGITS_A_UNIT * self.answer(features)[:, 0]
