"""Swin UNETR on a CPU in evaluation mode: the same mathematics as MONAI's, with less work. Imports torch: only modules
of networks import it.

Hatamizadeh et al., https://arxiv.org/abs/2201.01266, figure 1: a Swin transformer (``swin_tokens_module``) whose
features after each stage a convolutional decoder joins (``plane_blocks_module``).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from TransformerSegLib.networks.plane_blocks_module import (
    STEPS,
    ImageBlock,
    Logits,
    Pending,
    PlaneBlock,
    join_over_planes,
)
from TransformerSegLib.networks.planes_module import Planes
from TransformerSegLib.networks.swin_tokens_module import PatchTokens, SwinStage, without_scale
from TransformerSegLib.networks.swin_unetr import SIDE_MULTIPLE


class FastSwinUNETR(nn.Module):
    """Scores as ``network`` gives them.

    Args:
        network: MONAI's ``SwinUNETR`` in three dimensions, with instance norms; it shares its weights.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.encoder = _Encoder(network.swinViT, network.normalize)
        self.image = ImageBlock(network.encoder1.layer)
        self.skips = nn.ModuleList(
            PlaneBlock(encoder.layer) for encoder in (network.encoder4, network.encoder3, network.encoder2)
        )
        self.deepest = PlaneBlock(network.encoder10.layer)
        joins = (network.decoder5, network.decoder4, network.decoder3, network.decoder2, network.decoder1)
        self.joins = nn.ModuleList(join_over_planes(join) for join in joins)
        self.logits = Logits(network.out)
        self.classes = self.logits.classes

    @staticmethod
    def covers(size: tuple[int, ...]) -> bool:
        """Windows of this size. (Of 32³, the deepest features would be a single voxel, which cannot be normalised.)"""
        return all(side % SIDE_MULTIPLE == 0 for side in size) and max(size) > SIDE_MULTIPLE

    def forward(self, image: torch.Tensor, logits: torch.Tensor) -> None:
        """(C, D, H, W), scored into (classes, D, H, W)."""
        taken = list(self.encoder(image[None]))
        features = self.deepest(taken.pop()).finished()
        features = self.joins[0](features, Pending.done(taken.pop())).finished()
        for join, skip in zip(self.joins[1:-1], self.skips, strict=True):
            features = join(features, skip(taken.pop())).finished()
        self.logits(self.joins[-1](features, self.image(image)), logits)


class _Encoder(nn.Module):
    """MONAI's ``SwinTransformer``."""

    def __init__(self, transformer: nn.Module, normalised: bool) -> None:
        super().__init__()
        self._normalised = normalised
        self.patches = PatchTokens(transformer.patch_embed)
        layers = (transformer.layers1, transformer.layers2, transformer.layers3, transformer.layers4)
        self.stages = nn.ModuleList(SwinStage(layer[0]) for layer in layers)
        if transformer.use_v2:
            first = (transformer.layers1c, transformer.layers2c, transformer.layers3c, transformer.layers4c)
            self.convolutions = nn.ModuleList(PlaneBlock(blocks[0].layer) for blocks in first)
        else:
            self.convolutions = None

    def forward(self, image: torch.Tensor) -> Iterator[Planes]:
        """(1, C, D, H, W) → the features of half, a 4th, … and a 32nd of the resolution."""
        features = self.patches(image)
        yield self._taken(features)
        for number, stage in enumerate(self.stages):
            if self.convolutions is not None:
                features = self.convolutions[number](Planes.of(features[0])).finished().whole[None]
            features = stage(features)
            yield self._taken(features)

    def _taken(self, features: torch.Tensor) -> Planes:
        return Planes.of(without_scale(features[0]) if self._normalised else features[0], steps=STEPS)
