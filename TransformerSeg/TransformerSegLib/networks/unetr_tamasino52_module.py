"""UNETR as github.com/tamasino52/UNETR lays it out, as a torch module: Hatamizadeh et al., "UNETR: Transformers for 3D
Medical Image Segmentation", https://arxiv.org/abs/2103.10504. Written from the paper (its figure 1); names, and what
differs from the paper, are those of that repository: a decoder with BatchNorm, and a transformer whose perceptron has a
ReLU.

Features are (B, C, D, H, W) in the decoder, and (B, N tokens, C) in the transformer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import nn
from torch.nn.functional import relu, scaled_dot_product_attention

NORM_EPSILON = 1e-6
"""Of every LayerNorm."""

TAPS = 4
"""The transformer's features are taken after each quarter of its blocks: 3, 6, 9 and 12 of 12."""


class UNETRTamasino52(nn.Module):
    """A transformer over patches of 16³ voxels, and a convolutional decoder that joins its features at four depths.

    Args:
        in_channels, out_channels: of the image, and of the logits.
        img_size: voxels along each side of the image.
        hidden_size, num_heads, mlp_dim, num_layers: of the transformer: features, heads, hidden features of its
            perceptrons, and blocks.
        patch_size: voxels along each side of a token.
        decoder_channels: features at an 8th, a 4th, half of, and full resolution; and those of the first convolution.
        two_blocks: the coarsest join has two more convolutions behind its first one; else one, as all others have.
        dropout_rate: in training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_size: Sequence[int],
        hidden_size: int,
        patch_size: int,
        num_heads: int,
        mlp_dim: int,
        num_layers: int,
        decoder_channels: Sequence[int],
        two_blocks: bool,
        dropout_rate: float,
    ) -> None:
        super().__init__()
        self.grid = [side // patch_size for side in img_size]
        self.transformer = _Transformer(
            _Embedding(in_channels, hidden_size, self.grid, patch_size, dropout_rate),
            [_TransformerBlock(hidden_size, num_heads, mlp_dim, dropout_rate) for _ in range(num_layers)],
        )
        eighth, quarter, half, full, first = decoder_channels
        self.decoder0 = nn.Sequential(_convolved(in_channels, first), _convolved(first, full))
        self.decoder3 = nn.Sequential(_doubled(hidden_size, eighth), _doubled(eighth, quarter), _doubled(quarter, half))
        self.decoder6 = nn.Sequential(_doubled(hidden_size, eighth), _doubled(eighth, quarter))
        self.decoder9 = _doubled(hidden_size, eighth)
        self.decoder12_upsampler = _doubling(hidden_size, eighth)
        self.decoder9_upsampler = _joined(eighth, 2 if two_blocks else 1, _doubling(eighth, quarter))
        self.decoder6_upsampler = _joined(quarter, 1, _doubling(quarter, half))
        self.decoder3_upsampler = _joined(half, 1, _doubling(half, full))
        self.decoder0_header = _joined(full, 1, _Block(nn.Conv3d(full, out_channels, kernel_size=1)))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, D, H, W) → logits (B, out_channels, D, H, W)."""
        third, sixth, ninth, twelfth = (self._as_volume(tokens) for tokens in self.transformer(image))
        features = self.decoder12_upsampler(twelfth)
        features = self.decoder9_upsampler(torch.cat([self.decoder9(ninth), features], dim=1))
        features = self.decoder6_upsampler(torch.cat([self.decoder6(sixth), features], dim=1))
        features = self.decoder3_upsampler(torch.cat([self.decoder3(third), features], dim=1))
        return self.decoder0_header(torch.cat([self.decoder0(image), features], dim=1))

    def _as_volume(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.transpose(1, 2).unflatten(2, self.grid)


class _Block(nn.Module):
    """Layers under the name ``block``, one or several."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.block = layers[0] if len(layers) == 1 else nn.Sequential(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.block(features)


def _doubling(inputs: int, outputs: int) -> _Block:
    """Twice as fine."""
    return _Block(nn.ConvTranspose3d(inputs, outputs, kernel_size=2, stride=2))


def _convolution(inputs: int, outputs: int) -> _Block:
    return _Block(nn.Conv3d(inputs, outputs, kernel_size=3, padding=1))


def _activated(outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)


def _convolved(inputs: int, outputs: int) -> _Block:
    return _Block(_convolution(inputs, outputs), *_activated(outputs))


def _doubled(inputs: int, outputs: int) -> _Block:
    """Twice as fine, and convolved."""
    return _Block(_doubling(inputs, outputs), _convolution(outputs, outputs), *_activated(outputs))


def _joined(features: int, further: int, last: nn.Module) -> nn.Sequential:
    """A skip connection and what comes from below, each of so many features, are convolved into one."""
    return nn.Sequential(
        _convolved(2 * features, features), *(_convolved(features, features) for _ in range(further)), last
    )


class _Transformer(nn.Module):
    def __init__(self, embeddings: _Embedding, blocks: Sequence[_TransformerBlock]) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.layer = nn.ModuleList(blocks)
        # In every checkpoint of this layout, and never applied.
        self.encoder_norm = nn.LayerNorm(embeddings.position_embeddings.shape[-1], eps=NORM_EPSILON)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, D, H, W) → ``TAPS`` of (B, N, C), the earliest first."""
        tokens, taken = self.embeddings(image), []
        for number, block in enumerate(self.layer, start=1):
            tokens = block(tokens)
            if number % (len(self.layer) // TAPS) == 0:
                taken.append(tokens)
        return taken


class _Embedding(nn.Module):
    def __init__(self, inputs: int, features: int, grid: Sequence[int], patch_size: int, dropout_rate: float) -> None:
        super().__init__()
        self.patch_embeddings = nn.Conv3d(inputs, features, kernel_size=patch_size, stride=patch_size)
        self.position_embeddings = nn.Parameter(torch.zeros(1, grid[0] * grid[1] * grid[2], features))
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.patch_embeddings(image).flatten(2).transpose(1, 2)
        return self.dropout(tokens + self.position_embeddings)


class _TransformerBlock(nn.Module):
    def __init__(self, features: int, heads: int, hidden: int, dropout_rate: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(features, eps=NORM_EPSILON)
        self.mlp_norm = nn.LayerNorm(features, eps=NORM_EPSILON)
        self.mlp = _Perceptron(features, hidden, dropout_rate)
        self.attn = _Attention(features, heads, dropout_rate)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.attention_norm(tokens))
        return tokens + self.mlp(self.mlp_norm(tokens))


class _Perceptron(nn.Module):
    def __init__(self, features: int, hidden: int, dropout_rate: float) -> None:
        super().__init__()
        self.w_1 = nn.Linear(features, hidden)
        self.w_2 = nn.Linear(hidden, features)
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.w_2(self.dropout(relu(self.w_1(tokens))))


class _Attention(nn.Module):
    def __init__(self, features: int, heads: int, dropout_rate: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(features, features) for _ in range(4))
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            rearrange(part(tokens), "b n (h c) -> b h n c", h=self.heads) for part in (self.query, self.key, self.value)
        )
        dropped = self.dropout.p if self.training else 0.0
        answers = scaled_dot_product_attention(query, key, value, dropout_p=dropped)
        return self.dropout(self.out(rearrange(answers, "b h n c -> b n (h c)")))
