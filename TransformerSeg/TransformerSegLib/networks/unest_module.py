"""UNesT as a torch module: Yu et al., "UNesT: Local Spatial Representation Learning with Hierarchical Transformer for
Efficient Medical Segmentation", https://arxiv.org/abs/2209.14378; its encoder is that of Zhang et al., "Nested
Hierarchical Transformer", https://arxiv.org/abs/2105.12723. Written from the papers; names, sizes and what the papers
leave open are those of the two bundles that the authors published in MONAI's Model Zoo.

Features are (B, C, D, H, W) between the parts, and (B, T blocks, N tokens of a block, C) inside the transformer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from einops import rearrange
from monai.networks.blocks.convolutions import Convolution
from monai.networks.blocks.dynunet_block import UnetOutBlock, get_conv_layer
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrUpBlock
from torch import nn
from torch.nn.functional import max_pool3d, scaled_dot_product_attention

from TransformerSegLib.networks.perceptron_module import Perceptron

NORM_EPSILON = 1e-6
"""Of every LayerNorm."""

MLP_RATIO = 4
"""Hidden features of a perceptron for each that goes in."""


class UNesT(nn.Module):
    """Patches → three levels of blocks that attend each to itself, merged eight to one in between → a convolutional
    decoder with skip connections.

    Args:
        in_channels, out_channels: of the image, and of the logits.
        img_size: voxels along each side of the image, a cube.
        feature_size: a 32nd of the features of the coarsest skip connection.
        patch_size: voxels along each side of a token.
        embed_dim, num_heads, depths: features, heads and transformer blocks of each level, the finest first. The last
            of ``embed_dim`` is 32 times ``feature_size``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: int,
        feature_size: int,
        patch_size: int,
        embed_dim: Sequence[int],
        num_heads: Sequence[int],
        depths: Sequence[int],
    ) -> None:
        super().__init__()
        size = feature_size
        self.nestViT = _NestedTransformer(in_channels, img_size // patch_size, patch_size, embed_dim, num_heads, depths)
        self.encoder1 = _residual(in_channels, 2 * size)
        self.encoder2 = _Doubling(embed_dim[0], 4 * size)
        self.encoder3 = _residual(embed_dim[0], 8 * size)
        self.encoder4 = _residual(embed_dim[1], 16 * size)
        self.decoder5 = _joining(64 * size, 32 * size)
        self.decoder4 = _joining(32 * size, 16 * size)
        self.decoder3 = _joining(16 * size, 8 * size)
        self.decoder2 = _joining(8 * size, 4 * size)
        self.decoder1 = _joining(4 * size, 2 * size)
        self.encoder10 = Convolution(3, 32 * size, 64 * size, strides=2, adn_ordering="AN")
        self.out = UnetOutBlock(3, 2 * size, out_channels)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, S, S, S) → logits (B, out_channels, S, S, S)."""
        patches, levels, normalised = self.nestViT(image)
        features = self.decoder5(self.encoder10(normalised), levels[2])
        features = self.decoder4(features, self.encoder4(levels[1]))
        features = self.decoder3(features, self.encoder3(levels[0]))
        features = self.decoder2(features, self.encoder2(patches))
        return self.out(self.decoder1(features, self.encoder1(image)))


def _residual(inputs: int, outputs: int) -> UnetrBasicBlock:
    """Two convolutions and a shortcut."""
    return UnetrBasicBlock(3, inputs, outputs, kernel_size=3, stride=1, norm_name="instance", res_block=True)


def _joining(inputs: int, outputs: int) -> UnetrUpBlock:
    """Twice as fine, joined with a skip connection of as many features, and two convolutions."""
    return UnetrUpBlock(3, inputs, outputs, kernel_size=3, upsample_kernel_size=2, norm_name="instance", res_block=True)


class _Doubling(nn.Module):
    """Twice as fine, and one mixing of features; neither norm nor activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.transp_conv_init = get_conv_layer(3, inputs, outputs, kernel_size=2, stride=2, is_transposed=True)
        mixing = get_conv_layer(3, outputs, outputs, kernel_size=1, stride=1, is_transposed=True)
        self.blocks = nn.ModuleList([mixing])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.blocks[0](self.transp_conv_init(features))


class _NestedTransformer(nn.Module):
    """The encoder.

    Args:
        grid: tokens along each side of the finest level.
    """

    def __init__(
        self,
        inputs: int,
        grid: int,
        patch_size: int,
        embed_dim: Sequence[int],
        num_heads: Sequence[int],
        depths: Sequence[int],
    ) -> None:
        super().__init__()
        embedding = nn.Conv3d(inputs, embed_dim[0], kernel_size=patch_size, stride=patch_size)
        self.patch_embed = nn.Sequential(OrderedDict(proj=embedding))
        # One block at the coarsest level, twice as many along each side at each finer one.
        side = grid // 2 ** (len(depths) - 1)
        self.levels = nn.ModuleList()
        for level, (features, heads, depth) in enumerate(zip(embed_dim, num_heads, depths, strict=True)):
            blocks = (grid // side) // 2**level
            pool = _Pooling(embed_dim[level - 1], features) if level else nn.Identity()
            self.levels.append(_Level(pool, blocks, side, features, heads, depth))
        self.norm = nn.LayerNorm(embed_dim[-1], eps=NORM_EPSILON)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
        """(B, C, S, S, S) → the embedded patches; the features of each level; those of the last one, normalised."""
        patches = self.patch_embed(image)
        features, of_levels = patches, []
        for level in self.levels:
            features = level(features)
            of_levels.append(features)
        return patches, of_levels, _over_channels(self.norm, features)


class _Level(nn.Module):
    """Tokens are cut into cubic blocks, in the order D, H, W; each token attends to those of its block.

    Args:
        pool: comes first.
        blocks, side: blocks along each side of the level, tokens along each side of a block.
    """

    def __init__(self, pool: nn.Module, blocks: int, side: int, features: int, heads: int, depth: int) -> None:
        super().__init__()
        self.cut = {"d": blocks, "h": blocks, "w": blocks, "x": side, "y": side, "z": side}
        self.pos_embed = nn.Parameter(torch.zeros(1, blocks**3, side**3, features))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.pool = pool
        self.transformer_encoder = nn.Sequential(*(_TransformerBlock(features, heads) for _ in range(depth)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        tokens = rearrange(self.pool(features), "b c (d x) (h y) (w z) -> b (d h w) (x y z) c", **self.cut)
        tokens = self.transformer_encoder(tokens + self.pos_embed)
        return rearrange(tokens, "b (d h w) (x y z) c -> b c (d x) (h y) (w z)", **self.cut)


class _Pooling(nn.Module):
    """Half the resolution, other features."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel_size=3, padding=1)
        self.norm = nn.LayerNorm(outputs, eps=NORM_EPSILON)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return max_pool3d(_over_channels(self.norm, self.conv(features)), kernel_size=3, stride=2, padding=1)


class _TransformerBlock(nn.Module):
    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(features, eps=NORM_EPSILON)
        self.attn = _BlockAttention(features, heads)
        self.norm2 = nn.LayerNorm(features, eps=NORM_EPSILON)
        self.mlp = Perceptron(features, MLP_RATIO * features, drop_rate=0.0)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class _BlockAttention(nn.Module):
    """Self-attention within each block. The heads' answers are interleaved: feature c of head h becomes c·heads + h."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        split = "b t n (kind h c) -> kind (b t) h n c"
        query, key, value = rearrange(self.qkv(tokens), split, kind=3, h=self.heads)
        answers = scaled_dot_product_attention(query, key, value)
        return self.proj(rearrange(answers, "(b t) h n c -> b t n (c h)", b=len(tokens)))


def _over_channels(norm: nn.LayerNorm, features: torch.Tensor) -> torch.Tensor:
    """A LayerNorm over the features of each voxel: (B, C, D, H, W) → the same."""
    return norm(features.movedim(1, -1)).movedim(-1, 1)
