"""The module of Swin-Unet: Cao et al., "Swin-Unet: Unet-like Pure Transformer for Medical Image Segmentation",
https://arxiv.org/abs/2105.05537, on the blocks of Liu et al., "Swin Transformer", https://arxiv.org/abs/2103.14030.

Written from the papers. The tensors have the names of the official ``SwinTransformerSys``
(github.com/HuCaoFighting/Swin-Unet, ``networks/swin_transformer_unet_skip_expand_decoder_sys.py``), buffers included,
so that its checkpoints load. Feature maps are (B, H, W, C) throughout.
"""

from __future__ import annotations

import torch
from torch import nn

from TransformerSegLib.networks.perceptron_module import Perceptron
from TransformerSegLib.networks.swin_unet import PATCH_SIDE, STAGES, SwinUnet

APART = -100.0
"""Added to the attention between pixels that the cyclic shift brought together, but that are not neighbours."""

INITIAL_DEVIATION = 0.02
"""Standard deviation of what linear layers and position tables begin with (Swin Transformer, its official code)."""

POSITION_TABLES = ("relative_position_bias_table", "absolute_pos_embed")

CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""The pixels of each 2×2 block, as (row, column), in the order in which patch merging joins their features."""


class SwinUnetModule(nn.Module):
    """(B, 1 or stem_channels, img_size, img_size) → (B, out_channels, img_size, img_size); one channel is repeated."""

    def __init__(self, sizes: SwinUnet) -> None:
        super().__init__()
        self.stem_channels, self.img_size = sizes.stem_channels, sizes.img_size
        features, side, last = sizes.embed_dim, sizes.img_size // sizes.patch_size, STAGES - 1
        self.patch_embed = PatchEmbedding(sizes.stem_channels, features, sizes.patch_size, sizes.patch_norm)
        self.absolute_pos_embed = nn.Parameter(torch.zeros(1, side * side, features)) if sizes.ape else None
        self.pos_drop = nn.Dropout(sizes.drop_rate)
        widths = [features * 2**stage for stage in range(STAGES)]
        self.layers = nn.ModuleList(
            Stage(blocks(sizes, stage), downsample=PatchMerging(widths[stage]) if stage < last else None)
            for stage in range(STAGES)
        )
        self.norm = nn.LayerNorm(widths[last])
        # The decoder begins with an expansion alone; from there on each stage joins with that of the encoder.
        self.layers_up = nn.ModuleList([PatchExpanding(widths[last])])
        self.concat_back_dim = nn.ModuleList([nn.Identity()])
        for stage in reversed(range(last)):
            onwards = PatchExpanding(widths[stage]) if stage else None
            self.layers_up.append(Stage(blocks(sizes, stage), upsample=onwards))
            self.concat_back_dim.append(nn.Linear(2 * widths[stage], widths[stage]))
        self.norm_up = nn.LayerNorm(features)
        self.up = FinalExpanding(features)
        self.output = nn.Conv2d(features, sizes.out_channels, kernel_size=1, bias=False)
        self._set_first_weights()

    def _set_first_weights(self) -> None:
        tables = (tensor for name, tensor in self.named_parameters() if name.endswith(POSITION_TABLES))
        linear = [module for module in self.modules() if isinstance(module, nn.Linear)]
        for tensor in (*tables, *(module.weight for module in linear)):
            nn.init.trunc_normal_(tensor, std=INITIAL_DEVIATION)
        for module in linear:
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.shape[1] == 1:
            image = image.expand(-1, self.stem_channels, -1, -1)
        features = self.patch_embed(image)
        if self.absolute_pos_embed is not None:
            features = features + self.absolute_pos_embed.view(1, *features.shape[1:])
        features = self.pos_drop(features)
        skips = []
        for stage in self.layers:
            skips.append(features)
            features = stage(features)
        features = self.layers_up[0](self.norm(features))
        for stage, join, skip in zip(self.layers_up[1:], self.concat_back_dim[1:], skips[-2::-1], strict=True):
            features = stage(join(torch.cat([features, skip], dim=-1)))
        features = self.up(self.norm_up(features))
        return self.output(features.permute(0, 3, 1, 2))


def blocks(sizes: SwinUnet, stage: int) -> nn.Sequential:
    """Of a stage; those of encoder and decoder are alike. Every second one is shifted, and in training the later ones
    are skipped more often."""
    before, others = sum(sizes.depths[:stage]), max(sum(sizes.depths) - 1, 1)
    return nn.Sequential(
        *(
            SwinBlock(
                sizes.embed_dim * 2**stage,
                sizes.img_size // sizes.patch_size // 2**stage,
                sizes.num_heads[stage],
                sizes.window_size,
                shifted=block % 2 == 1,
                mlp_ratio=sizes.mlp_ratio,
                qkv_bias=sizes.qkv_bias,
                drop_rate=sizes.drop_rate,
                attn_drop_rate=sizes.attn_drop_rate,
                skip_rate=sizes.drop_path_rate * (before + block) / others,
            )
            for block in range(sizes.depths[stage])
        )
    )


class PatchEmbedding(nn.Module):
    """(B, channels, H, W) → (B, H/patch, W/patch, features)."""

    def __init__(self, channels: int, features: int, patch: int, normalised: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, features, kernel_size=patch, stride=patch)
        self.norm = nn.LayerNorm(features) if normalised else None

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        patches = self.proj(image).permute(0, 2, 3, 1)
        return patches if self.norm is None else self.norm(patches)


class PatchMerging(nn.Module):
    """(B, H, W, C), even sides → (B, H/2, W/2, 2C)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * features)
        self.reduction = nn.Linear(4 * features, 2 * features, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        corners = [features[:, row::2, column::2] for row, column in CORNERS]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))


class PatchExpanding(nn.Module):
    """(B, H, W, C) → (B, 2H, 2W, C/2)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.expand = nn.Linear(features, 2 * features, bias=False)
        self.norm = nn.LayerNorm(features // 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.norm(spread(self.expand(features), 2))


class FinalExpanding(nn.Module):
    """(B, H, W, C) → (B, 4H, 4W, C): back to the pixels of the image."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.expand = nn.Linear(features, PATCH_SIDE**2 * features, bias=False)
        self.norm = nn.LayerNorm(features)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.norm(spread(self.expand(features), PATCH_SIDE))


class Stage(nn.Module):
    """Blocks at one resolution, and the way to the next."""

    def __init__(
        self, blocks: nn.Sequential, downsample: nn.Module | None = None, upsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.downsample = downsample
        self.upsample = upsample

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = self.blocks(features)
        onwards = self.downsample or self.upsample
        return features if onwards is None else onwards(features)


class SwinBlock(nn.Module):
    """(B, side, side, features) → the same: attention within windows, which every second block shifts by half.

    A window is no longer than the map; where it is as long, there is nothing to shift.
    """

    def __init__(
        self,
        features: int,
        side: int,
        heads: int,
        window: int,
        *,
        shifted: bool,
        mlp_ratio: float,
        qkv_bias: bool,
        drop_rate: float,
        attn_drop_rate: float,
        skip_rate: float,
    ) -> None:
        super().__init__()
        self.window = min(window, side)
        self.shift = self.window // 2 if shifted and self.window < side else 0
        self.register_buffer("attn_mask", shift_mask(side, self.window, self.shift) if self.shift else None)
        self.norm1 = nn.LayerNorm(features)
        self.attn = WindowAttention(features, self.window, heads, qkv_bias, attn_drop_rate, drop_rate)
        self.norm2 = nn.LayerNorm(features)
        self.mlp = Perceptron(features, int(features * mlp_ratio), drop_rate)
        self.skip = SkippedAtRandom(skip_rate)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        shifted = torch.roll(self.norm1(features), (-self.shift, -self.shift), dims=(1, 2))
        attended = self.attn(into_windows(shifted, self.window), self.attn_mask)
        attended = torch.roll(from_windows(attended, features.shape[1]), (self.shift, self.shift), dims=(1, 2))
        features = features + self.skip(attended)
        return features + self.skip(self.mlp(self.norm2(features)))


class WindowAttention(nn.Module):
    """(B, windows, window², features) → the same: each pixel looks at those of its window (Swin, equation 4).

    The bias of the attention from one pixel to another is learnt by the way from the one to the other.
    """

    def __init__(
        self, features: int, window: int, heads: int, qkv_bias: bool, attn_drop_rate: float, drop_rate: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (features // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(features, 3 * features, bias=qkv_bias)
        self.attn_drop = nn.Dropout(attn_drop_rate)
        self.proj = nn.Linear(features, features)
        self.proj_drop = nn.Dropout(drop_rate)

    def forward(self, pixels: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """``mask``: (windows, window², window²), added to the attention; None where there is nothing to add."""
        query, key, value = self.qkv(pixels).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if mask is not None:
            bias = bias + mask[:, None]
        weights = self.attn_drop(((query * self.scale) @ key.transpose(-2, -1) + bias).softmax(dim=-1))
        return self.proj_drop(self.proj((weights @ value).transpose(2, 3).flatten(-2)))


class SkippedAtRandom(nn.Module):
    """Stochastic depth (Huang et al., https://arxiv.org/abs/1603.09382): in training, a sample's branch is left out
    at this rate, and raised by as much where it is not."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0.0:
            return branch
        kept = torch.rand(len(branch), *(1,) * (branch.ndim - 1), device=branch.device) >= self.rate
        return branch * kept / max(1.0 - self.rate, torch.finfo(branch.dtype).eps)


def spread(features: torch.Tensor, factor: int) -> torch.Tensor:
    """(B, H, W, factor² · C) → (B, factor · H, factor · W, C): features, slow to fast (row, column, C), to pixels."""
    _, height, width, _ = features.shape
    blocks = features.unflatten(-1, (factor, factor, -1)).transpose(2, 3)
    return blocks.reshape(-1, height * factor, width * factor, blocks.shape[-1])


def into_windows(features: torch.Tensor, window: int) -> torch.Tensor:
    """(B, H, W, C), sides multiples of ``window`` → (B, windows, window², C), row by row."""
    batch, height, width, count = features.shape
    blocks = features.view(batch, height // window, window, width // window, window, count).transpose(2, 3)
    return blocks.reshape(batch, -1, window * window, count)


def from_windows(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """(B, windows, window², C) → (B, side, side, C): the inverse of ``into_windows``."""
    batch, _, area, count = pixels.shape
    window = round(area**0.5)
    blocks = pixels.view(batch, side // window, side // window, window, window, count).transpose(2, 3)
    return blocks.reshape(batch, side, side, count)


def relative_positions(window: int) -> torch.Tensor:
    """(window², window²) int64: the row of the bias table for the way from one pixel (axis 1) to another (axis 0)."""
    steps = torch.arange(window)
    apart = steps[:, None] - steps + window - 1
    rows, columns = apart[:, None, :, None], apart[None, :, None, :]
    return (rows * (2 * window - 1) + columns).reshape(window**2, window**2)


def shift_mask(side: int, window: int, shift: int) -> torch.Tensor:
    """(windows, window², window²) float32: ``APART`` between pixels of a window that were not neighbours before the
    map was rolled by ``shift``, else 0 (Swin, section 3.2)."""
    places = torch.arange(side)
    band = (places >= side - window).long() + (places >= side - shift).long()
    region = (band[:, None] * 3 + band)[None, :, :, None]
    regions = into_windows(region, window)[0, :, :, 0]
    return (regions[:, None] != regions[:, :, None]) * APART
