"""UNETR on a CPU in evaluation mode: the same mathematics as MONAI's, with less work. Imports torch: only modules of
networks import it.

Hatamizadeh et al., https://arxiv.org/abs/2103.10504, figure 2: a transformer, of which the features at four depths are
brought to four resolutions and joined (``plane_blocks_module``). The transformer is MONAI's.
"""

from __future__ import annotations

import torch
from torch import nn

from TransformerSegLib.networks.merged_upsampling_module import PlainUpsampling
from TransformerSegLib.networks.plane_blocks_module import (
    STEPS,
    ImageBlock,
    Logits,
    Pending,
    UpsampledBlock,
    join_over_planes,
)
from TransformerSegLib.networks.planes_module import Planes

TAPS = (3, 6, 9)
"""Blocks of the transformer, from 0, whose features are taken beside its last."""


class FastUNETR(nn.Module):
    """Scores as ``network`` gives them.

    Args:
        network: MONAI's ``UNETR`` in three dimensions, with instance norms; it shares its weights.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.transformer = network.vit
        self._grid = tuple(network.feat_size)
        self._size = tuple(side * patch for side, patch in zip(network.feat_size, network.patch_size, strict=True))
        self.image = ImageBlock(network.encoder1.layer)
        self.skips = nn.ModuleList(map(_UpsampledTokens, (network.encoder4, network.encoder3, network.encoder2)))
        joins = (network.decoder5, network.decoder4, network.decoder3, network.decoder2)
        self.joins = nn.ModuleList(join_over_planes(join) for join in joins)
        self.logits = Logits(network.out)
        self.classes = self.logits.classes

    def covers(self, size: tuple[int, ...]) -> bool:
        """Windows of this size: the one it was built for."""
        return size == self._size

    def forward(self, image: torch.Tensor, logits: torch.Tensor) -> None:
        """(C, D, H, W), scored into (classes, D, H, W)."""
        last, hidden = self.transformer(image[None])
        taken = [self._as_planes(hidden[tap]) for tap in TAPS]
        features = self._as_planes(last)
        del last, hidden
        for join, skip in zip(self.joins[:-1], self.skips, strict=True):
            features = join(features, skip(taken.pop())).finished()
        self.logits(self.joins[-1](features, self.image(image)), logits)

    def _as_planes(self, tokens: torch.Tensor) -> Planes:
        return Planes.of(tokens[0].unflatten(0, self._grid))


class _UpsampledTokens(nn.Module):
    """MONAI's ``UnetrPrUpBlock``: tokens brought to a finer grid, twice as fine at a time."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.first = PlainUpsampling(block.transp_conv_init.conv.weight)
        self.further = nn.ModuleList(
            PlainUpsampling(step.conv.weight) if hasattr(step, "conv") else UpsampledBlock(*step)
            for step in block.blocks
        )

    def forward(self, tokens: Planes) -> Pending:
        features = Pending.done(self.first.upsampled(tokens, STEPS))
        for step in self.further:
            coarse = features.finished()
            plain = isinstance(step, PlainUpsampling)
            features = Pending.done(step.upsampled(coarse, STEPS)) if plain else step(coarse)
        return features
