"""The layers of MONAI's ``SwinUNETR``, under its names, without MONAI. Imports torch: only modules of networks import
it.

To load MONAI takes longer than to segment a small volume. What a fast form needs of the network are its tensors, and
how they lie in it: these are here, and a state dict of the one fits the other. They cannot be run by themselves, but
for the merging of patches and the perceptron.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import gelu

CORNERS = tuple(product(range(2), repeat=3))
CORNERS_OF_MERGING = tuple(sorted(CORNERS, key=lambda corner: (sum(corner), [-side for side in corner])))
"""MONAI's ``mergingv2`` and, from 1.5 on, ``merging``."""


class Kind(NamedTuple):
    """Of Swin UNETR, as its architecture has it."""

    in_channels: int
    out_channels: int
    features: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: tuple[int, int, int]
    ratio: float
    qkv_bias: bool
    patch_norm: bool
    normalize: bool
    use_v2: bool
    corners: tuple[tuple[int, int, int], ...]


class SwinUNETRLayers(nn.Module):
    """``monai.networks.nets.SwinUNETR`` of patches of 2×2×2 voxels, with instance norms, which have no tensors."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        size = kind.features
        self.normalize = kind.normalize
        self.swinViT = _Transformer(kind)
        self.encoder1 = _Encoder(kind.in_channels, size)
        self.encoder2 = _Encoder(size, size)
        self.encoder3 = _Encoder(2 * size, 2 * size)
        self.encoder4 = _Encoder(4 * size, 4 * size)
        self.encoder10 = _Encoder(16 * size, 16 * size)
        self.decoder5 = _Decoder(16 * size, 8 * size)
        self.decoder4 = _Decoder(8 * size, 4 * size)
        self.decoder3 = _Decoder(4 * size, 2 * size)
        self.decoder2 = _Decoder(2 * size, size)
        self.decoder1 = _Decoder(size, size)
        self.out = _Named(conv=_Named(conv=nn.Conv3d(size, kind.out_channels, 1)))


class _Named(nn.Module):
    """Layers by their names."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)


def _convolution(inputs: int, outputs: int, side: int) -> nn.Module:
    return _Named(conv=nn.Conv3d(inputs, outputs, side, padding=side // 2, bias=False))


class _ResidualBlock(nn.Module):
    """``UnetResBlock``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _convolution(inputs, outputs, 3), _convolution(outputs, outputs, 3)
        self.downsample = inputs != outputs
        if self.downsample:
            self.conv3 = _convolution(inputs, outputs, 1)


class _Encoder(nn.Module):
    """``UnetrBasicBlock``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = _ResidualBlock(inputs, outputs)


class _Decoder(nn.Module):
    """``UnetrUpBlock``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.transp_conv = _Named(conv=nn.ConvTranspose3d(inputs, outputs, 2, stride=2, bias=False))
        self.conv_block = _ResidualBlock(2 * outputs, outputs)


class _Transformer(nn.Module):
    """``SwinTransformer``."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.use_v2 = kind.use_v2
        self.patch_embed = _PatchEmbedding(kind)
        for stage, (depth, heads) in enumerate(zip(kind.depths, kind.heads, strict=True)):
            features = kind.features * 2**stage
            setattr(self, f"layers{stage + 1}", nn.ModuleList([_Stage(kind, features, depth, heads)]))
            if kind.use_v2:
                setattr(self, f"layers{stage + 1}c", nn.ModuleList([_Encoder(features, features)]))


class _PatchEmbedding(nn.Module):
    """``PatchEmbed``."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.patch_size = (2, 2, 2)
        self.proj = nn.Conv3d(kind.in_channels, kind.features, 2, stride=2)
        self.norm = nn.LayerNorm(kind.features) if kind.patch_norm else None


class _Stage(nn.Module):
    """``BasicLayer``."""

    def __init__(self, kind: Kind, features: int, depth: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(kind, features, heads, shifted=bool(n % 2)) for n in range(depth))
        self.downsample = _Merging(features, kind.corners)


class _Block(nn.Module):
    """``SwinTransformerBlock``."""

    def __init__(self, kind: Kind, features: int, heads: int, shifted: bool) -> None:
        super().__init__()
        self.window_size = kind.window
        self.shift_size = tuple(side // 2 if shifted else 0 for side in kind.window)
        self.norm1, self.norm2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.attn = _Attention(kind, features, heads)
        self.mlp = _Perceptron(features, int(features * kind.ratio))


class _Attention(nn.Module):
    """``WindowAttention``."""

    def __init__(self, kind: Kind, features: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.scale = heads, (features // heads) ** -0.5
        places = [2 * side - 1 for side in kind.window]
        self.relative_position_bias_table = nn.Parameter(torch.zeros(places[0] * places[1] * places[2], heads))
        self.register_buffer("relative_position_index", _positions(kind.window))
        self.qkv = nn.Linear(features, 3 * features, bias=kind.qkv_bias)
        self.proj = nn.Linear(features, features)


def _positions(window: tuple[int, int, int]) -> torch.Tensor:
    """(n, n): which row of the table holds the bias of a token for another one, by how far apart they lie."""
    count = window[0] * window[1] * window[2]
    positions = torch.zeros((count, count), dtype=torch.long)
    if positions.is_meta:  # only the shape is wanted
        return positions
    for axis, side in enumerate(window):
        shape = [side if other == axis else 1 for other in range(3)]
        place = torch.arange(side).view(shape).expand(window).reshape(count)
        positions = positions * (2 * side - 1) + (place[:, None] - place[None, :] + side - 1)
    return positions


class _Perceptron(nn.Module):
    """``MLPBlock``."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(features, hidden), nn.Linear(hidden, features)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.linear2(gelu(self.linear1(tokens)))


class _Merging(nn.Module):
    """``PatchMerging`` and ``PatchMergingV2``, by the corners of each 2×2×2 block in the order in which they join."""

    def __init__(self, features: int, corners: tuple[tuple[int, int, int], ...]) -> None:
        super().__init__()
        self._corners = corners
        self.reduction = nn.Linear(8 * features, 2 * features, bias=False)
        self.norm = nn.LayerNorm(8 * features)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D, H, W, C), even sides → (B, D/2, H/2, W/2, 2C)."""
        corners = [features[:, i::2, j::2, k::2, :] for i, j, k in self._corners]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))
