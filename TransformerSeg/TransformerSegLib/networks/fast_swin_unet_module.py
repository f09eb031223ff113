"""Swin-Unet on a CPU in evaluation mode: the same mathematics as ``swin_unet_module``, with less work. Imports torch:
only modules of networks import it.

Windows, masks and position bias are computed once and attention is torch's fused one (``swin_tokens_module``), matrix
products are oneDNN's, and the features of the last expansion, the largest by far, are scored without being normalised.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.linalg import vector_norm

from TransformerSegLib.networks.packed_linear_module import PackedLinear, PackedPerceptron
from TransformerSegLib.networks.perceptron_module import Perceptron
from TransformerSegLib.networks.shared_copy_module import replace_layers, shared_copy
from TransformerSegLib.networks.swin_tokens_module import SwinBlock, WindowedAttention, parts
from TransformerSegLib.networks.swin_unet import PATCH_SIDE
from TransformerSegLib.networks.swin_unet_module import FinalExpanding, SwinUnetModule, spread
from TransformerSegLib.networks.swin_unet_module import SwinBlock as PlainBlock


class FastSwinUnet(nn.Module):
    """Scores as ``network`` gives them.

    Args:
        network: it stays as it is.

    Attributes:
        classes: how many the network scores.
    """

    def __init__(self, network: SwinUnetModule) -> None:
        super().__init__()
        self.classes = network.output.out_channels
        self._size = (network.img_size, network.img_size)
        self.network = shared_copy(network)
        self.network.up, self.network.output = ScoredExpanding(network.up, network.output), nn.Identity()
        replace_layers(self.network, PlainBlock, SliceBlock)
        replace_layers(self.network, Perceptron, PackedPerceptron)
        replace_layers(self.network, nn.Linear, PackedLinear.of)

    def covers(self, size: tuple[int, ...]) -> bool:
        """Slices of this size."""
        return size == self._size

    def forward(self, image: torch.Tensor, logits: torch.Tensor) -> None:
        """(C, H, W), scored into (classes, H, W)."""
        logits.copy_(self.network(image[None])[0])


class SliceBlock(nn.Module):
    """(B, side, side, features) → the same.

    Args:
        block: the plain one.
    """

    def __init__(self, block: PlainBlock) -> None:
        super().__init__()
        attention = block.attn
        self.block = SwinBlock(
            (block.norm1, block.norm2),
            WindowedAttention(
                attention.qkv,
                attention.proj,
                attention.heads,
                attention.scale,
                attention.relative_position_bias_table,
                attention.relative_position_index,
            ),
            block.mlp,
            block.mlp.fc1.out_features,
            window=(1, block.window, block.window),
            shift=(0, block.shift, block.shift),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        _, height, width, _ = features.shape
        return self.block(features.flatten(1, 2), (1, height, width)).view(features.shape)


class ScoredExpanding(nn.Module):
    """(B, H, W, C) → (B, 4H, 4W, classes): the last expansion E, its norm, and the scores W of what that gives.

    The norm takes the mean from a pixel's features, which E can do itself: M·E, M = 1 - mean. What it divides them by
    is the length of M·E·x, and the rest, W·γ·M·E·x, is linear: no feature of a pixel is ever normalised.

    Args:
        expanding: the plain expansion.
        output: the 1×1 convolution behind it.
    """

    def __init__(self, expanding: FinalExpanding, output: nn.Conv2d) -> None:
        super().__init__()
        norm, scores = expanding.norm, output.weight.detach().flatten(1)
        expansion = expanding.expand.weight.detach().unflatten(0, (PATCH_SIDE**2, -1))
        centred = expansion - expansion.mean(dim=1, keepdim=True)
        self.centred = PackedLinear(centred.flatten(0, 1), None)
        self.scores = PackedLinear(((scores * norm.weight) @ centred).flatten(0, 1), None)
        self._offset = (scores @ norm.bias).detach()
        self._epsilon, self._features = norm.eps, norm.normalized_shape[0]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        tokens, pixels = features.flatten(0, 2), PATCH_SIDE**2
        scores = self.scores(tokens).unflatten(-1, (pixels, -1))
        for start, stop in parts(len(tokens), pixels * self._features, tokens.device):
            length = vector_norm(self.centred(tokens[start:stop]).unflatten(-1, (pixels, -1)), dim=-1, keepdim=True)
            scores[start:stop] *= torch.rsqrt(length.square() / self._features + self._epsilon)
        scores += self._offset
        return spread(scores.view(*features.shape[:3], -1), PATCH_SIDE)
