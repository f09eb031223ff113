"""Swin UNETR's encoder with the heads of its self-supervised pretraining, as a torch module: Tang et al.,
"Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image Analysis", https://arxiv.org/abs/2111.14791,
section 3.2. Written from the paper; what it leaves open (widths, and how features come back to full size) is that of
the authors' published trainer, but for three things, the first two because a small patch has very few features at the
end:

- The rotation head and the contrastive head read the mean of all features of the coarsest level, not one feature each.
- The reconstruction head normalises over all of a sub-volume's features at once. Normalised channel by channel, the two
  voxels that are left of a patch of 32×64×32 would say no more than which of them is larger.
- What the contrastive head reads is brought to mean 0 and deviation 1 over the views of the step, as the batch
  normalisation in the head of SimCLR does (Chen et al. 2020, https://arxiv.org/abs/2002.05709, section 2.1 and appendix
  B). Crops of one organ resemble each other so much that without it all views soon point the same way: the loss stays
  at the logarithm of 2N − 1, and nothing is learned from it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from monai.networks.nets import SwinUNETR
from torch import nn

ROTATIONS = 4
"""Quarter turns that are told apart: 0°, 90°, 180°, 270°."""

CONTRASTIVE_FEATURES = 512

HALVINGS = 5
"""The patch embedding and four mergings halve each side of a sub-volume; the reconstruction doubles it as often."""

COARSEST = 16
"""Features of the coarsest level, in copies of the finest's; the reconstruction comes down to the finest's again."""

VARIANCE_FLOOR = 1e-5
"""As of torch's normalisations."""


class Predictions(NamedTuple):
    """What the heads make of B views.

    Attributes:
        rotation: (B, 4), logits of the quarter turns.
        contrastive: (B, 512), compared by their directions, which depend on all B views.
        reconstruction: (B, C, I, J, K), the views without masks.
    """

    rotation: torch.Tensor
    contrastive: torch.Tensor
    reconstruction: torch.Tensor


class SwinUNETRPretraining(nn.Module):
    """The encoder of a Swin UNETR, under the name that it has there (``swinViT``), and three heads.

    Args:
        network: with random weights; its decoder is not used.
        in_channels: of the image.
        feature_size: of the network.
    """

    def __init__(self, network: SwinUNETR, in_channels: int, feature_size: int) -> None:
        super().__init__()
        features = COARSEST * feature_size
        self.normalize = network.normalize
        self.swinViT = network.swinViT
        self.rotation_head = nn.Linear(features, ROTATIONS)
        self.contrastive_head = nn.Linear(features, CONTRASTIVE_FEATURES)
        self.conv = _reconstruction(features, in_channels)

    def forward(self, views: torch.Tensor) -> Predictions:
        """
        Args:
            views: (B, C, I, J, K) float32, masked; sides as the network's windows.
        """
        coarsest = self.swinViT(views.contiguous(), self.normalize)[-1]
        pooled = coarsest.mean((2, 3, 4))
        return Predictions(
            self.rotation_head(pooled), self.contrastive_head(_standardised(pooled)), self.conv(coarsest)
        )


def _standardised(features: torch.Tensor) -> torch.Tensor:
    """(B, F), each feature with mean 0 and deviation 1 over the views."""
    variance, mean = torch.var_mean(features, 0, correction=0)
    return (features - mean) * torch.rsqrt(variance + VARIANCE_FLOOR)


def _reconstruction(features: int, out_channels: int) -> nn.Sequential:
    """(B, features, i, j, k) → (B, out_channels, 32i, 32j, 32k): as often convolved and doubled as it was halved."""
    layers: list[tuple[str, nn.Module]] = []
    incoming = features
    for step in range(1, HALVINGS + 1):
        outgoing = features // min(2**step, COARSEST)
        block = nn.Sequential(
            nn.Conv3d(incoming, outgoing, kernel_size=3, padding=1),
            nn.GroupNorm(1, outgoing),
            nn.LeakyReLU(),
            nn.Upsample(scale_factor=2, mode="trilinear"),
        )
        layers.append((f"doubling{step}", block))
        incoming = outgoing
    layers.append(("image", nn.Conv3d(incoming, out_channels, kernel_size=1)))
    return nn.Sequential(OrderedDict(layers))
