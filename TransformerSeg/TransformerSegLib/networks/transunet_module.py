"""The module of TransUNet: Chen et al., "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation",
https://arxiv.org/abs/2102.04306, on the transformer of Dosovitskiy et al., "An Image is Worth 16×16 Words",
https://arxiv.org/abs/2010.11929, that follows a ResNet (``transunet_resnet_module``) or the image's own patches.

Written from the papers. The tensors have the names of the official ``VisionTransformer``
(github.com/Beckschen/TransUNet, ``networks/vit_seg_modeling.py``), so that its checkpoints load. Maps are (B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from TransformerSegLib.networks.perceptron_module import Perceptron
from TransformerSegLib.networks.transunet import HALVINGS, HEAD_CHANNELS
from TransformerSegLib.networks.transunet_resnet_module import ResNet

LAYER_NORM_EPSILON = 1e-6


class TransUNetModule(nn.Module):
    """(B, 1 or stem_channels, img_size, img_size) → (B, out_channels, img_size, img_size); one channel is repeated.

    With ``multi_scale``, in training, a list of maps instead: the answer, and then those of the decoder's inner blocks,
    finest first, each half as fine as the one before.

    The arguments are the fields of ``transunet.TransUNet``, which checks them; but:

    Args:
        side: tokens, along each side of a slice.
        resnet: channels of the first convolution, and bottlenecks of each block; None without a ResNet.
        skip_channels: of the map that each of the decoder's blocks takes beside the one before it; 0 for none.
    """

    def __init__(
        self,
        *,
        out_channels: int,
        side: int,
        resnet: tuple[int, Sequence[int]] | None,
        hidden_size: int,
        mlp_dim: int,
        num_heads: int,
        num_layers: int,
        patch_size: int,
        decoder_channels: Sequence[int],
        skip_channels: Sequence[int],
        stem_channels: int,
        dropout_rate: float,
        multi_scale: bool,
    ) -> None:
        super().__init__()
        self.stem_channels, self.img_size = stem_channels, side * patch_size * (1 if resnet is None else 2**HALVINGS)
        self.transformer = nn.Module()
        self.transformer.embeddings = Embeddings(
            None if resnet is None else ResNet(stem_channels, *resnet),
            stem_channels,
            hidden_size,
            patch_size,
            side,
            dropout_rate,
        )
        self.transformer.encoder = Encoder(
            (Block(hidden_size, num_heads, mlp_dim, dropout_rate) for _ in range(num_layers)), hidden_size
        )
        self.decoder = Decoder(hidden_size, decoder_channels, skip_channels)
        self.segmentation_head = nn.Sequential(nn.Conv2d(decoder_channels[-1], out_channels, 3, padding=1))
        self.scale_heads = nn.ModuleList(
            nn.Conv2d(channels, out_channels, 3, padding=1) for channels in decoder_channels[:-1] if multi_scale
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        if image.shape[1] == 1:
            image = image.expand(-1, self.stem_channels, -1, -1)
        tokens, skips = self.transformer.embeddings(image)
        *inner, last = self.decoder(self.transformer.encoder(tokens), skips)
        answer = self.segmentation_head(last)
        if not (self.training and self.scale_heads):
            return answer
        coarse_to_fine = [head(features) for head, features in zip(self.scale_heads, inner, strict=True)]
        return [answer, *reversed(coarse_to_fine)]


class Embeddings(nn.Module):
    """(B, channels, H, H) → tokens (B, side², hidden), row by row, and the ResNet's maps for the decoder, coarse to
    fine; none without it."""

    def __init__(
        self, resnet: ResNet | None, channels: int, hidden: int, patch: int, side: int, dropout_rate: float
    ) -> None:
        super().__init__()
        self.hybrid_model = resnet
        inputs = channels if resnet is None else resnet.out_channels
        self.patch_embeddings = nn.Conv2d(inputs, hidden, kernel_size=patch, stride=patch)
        self.position_embeddings = nn.Parameter(torch.zeros(1, side * side, hidden))
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        skips: list[torch.Tensor] = []
        if self.hybrid_model is not None:
            image, skips = self.hybrid_model(image)
        tokens = self.patch_embeddings(image).flatten(2).transpose(1, 2)
        return self.dropout(tokens + self.position_embeddings), skips


class Encoder(nn.Module):
    """(B, tokens, hidden) → the same: the transformer's blocks, and a normalisation."""

    def __init__(self, blocks: Iterable[nn.Module], hidden: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(blocks)
        self.encoder_norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPSILON)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        for block in self.layer:
            tokens = block(tokens)
        return self.encoder_norm(tokens)


class Block(nn.Module):
    """(B, tokens, hidden) → the same (ViT, equations 2 and 3)."""

    def __init__(self, hidden: int, heads: int, mlp_dim: int, dropout_rate: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPSILON)
        self.attn = Attention(hidden, heads)
        self.ffn_norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPSILON)
        self.ffn = Perceptron(hidden, mlp_dim, dropout_rate)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.attention_norm(tokens))
        return tokens + self.ffn(self.ffn_norm(tokens))


class Attention(nn.Module):
    """(B, tokens, hidden) → the same: each token looks at all (ViT, appendix A)."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        projections = (layer(tokens) for layer in (self.query, self.key, self.value))
        query, key, value = (tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2) for tokens in projections)
        attended = functional.scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).flatten(2))


class Decoder(nn.Module):
    """The cascaded upsampler (TransUNet, section 3.2): tokens (B, side², hidden) → the map after each of its blocks,
    from coarse to fine, each twice as fine as the one before. ``skip_channels``: see ``TransUNetModule``."""

    def __init__(self, hidden: int, channels: Sequence[int], skip_channels: Sequence[int]) -> None:
        super().__init__()
        self.conv_more = convolution(hidden, HEAD_CHANNELS)
        steps = zip(pairwise([HEAD_CHANNELS, *channels]), skip_channels, strict=True)
        self.blocks = nn.ModuleList(DecoderBlock(inputs + skip, outputs) for (inputs, outputs), skip in steps)
        self.skips = sum(skip > 0 for skip in skip_channels)

    def forward(self, tokens: torch.Tensor, skips: list[torch.Tensor]) -> list[torch.Tensor]:
        side = round(tokens.shape[1] ** 0.5)
        features, maps = self.conv_more(tokens.transpose(1, 2).unflatten(2, (side, side))), []
        for step, block in enumerate(self.blocks):
            features = block(features, skips[step] if step < self.skips else None)
            maps.append(features)
        return maps


class DecoderBlock(nn.Module):
    """(B, inputs less the skip's, H, W), and a skip connection (B, its channels, 2H, 2W) → (B, outputs, 2H, 2W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, outputs)
        self.conv2 = convolution(outputs, outputs)

    def forward(self, features: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        features = functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
        if skip is not None:
            features = torch.cat([features, skip], dim=1)
        features = self.conv1(features)
        return self.conv2(features)


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3×3, normalised over the batch, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
