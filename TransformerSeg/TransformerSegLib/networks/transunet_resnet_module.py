"""The ResNet in front of TransUNet's transformer: He et al., "Deep Residual Learning for Image Recognition",
https://arxiv.org/abs/1512.03385, in the form of "Big Transfer" (https://arxiv.org/abs/1912.11370): GroupNorm, and
weights that are standardised (Qiao et al., https://arxiv.org/abs/1903.10520).

Written from the papers. The tensors have the names of the official ``ResNetV2``
(github.com/Beckschen/TransUNet, ``networks/vit_seg_modeling_resnet_skip.py``). Maps are (B, C, H, W).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from TransformerSegLib.networks.transunet import GROUPS, WIDENING

GROUP_NORM_EPSILON = 1e-6
"""But for shortcuts, which have that of PyTorch, 1e-5."""

STANDARDISATION_EPSILON = 1e-5


class ResNet(nn.Module):
    """(B, channels, side, side) → (B, 16 · width, side/16, side/16), and maps for skip connections, coarse to fine:
    (B, 8 · width, side/8, …), (B, 4 · width, side/4, …), (B, width, side/2, …). ``side``: a multiple of 16.

    Args:
        channels: of the image.
        width: channels of the first convolution, a multiple of ``GROUPS``.
        layers: bottlenecks in each of three blocks.
    """

    def __init__(self, channels: int, width: int, layers: Sequence[int]) -> None:
        super().__init__()
        root = {
            "conv": StandardisedConvolution(channels, width, kernel_size=7, stride=2, padding=3, bias=False),
            "gn": nn.GroupNorm(GROUPS, width, eps=GROUP_NORM_EPSILON),
            "relu": nn.ReLU(inplace=True),
        }
        self.root = nn.Sequential(OrderedDict(root))
        self.body = nn.ModuleDict()
        inputs = width
        for block, count in enumerate(layers):
            middle = width * 2**block
            units = {"unit1": Bottleneck(inputs, middle, stride=1 if block == 0 else 2)}
            inputs = WIDENING * middle
            units |= {f"unit{unit}": Bottleneck(inputs, middle, stride=1) for unit in range(2, count + 1)}
            self.body[f"block{block + 1}"] = nn.Sequential(OrderedDict(units))
        self.out_channels = inputs

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        features = self.root(image)
        skips = [features]
        # Without padding, the pooled map is a row and a column short of a quarter of the image. The next block takes
        # it as it is; as a skip connection it is filled up with zeros.
        features = functional.max_pool2d(features, kernel_size=3, stride=2)
        *inner, last = self.body.values()
        for level, block in enumerate(inner):
            features = block(features)
            short = image.shape[-1] // 4 // 2**level - features.shape[-1]
            skips.append(functional.pad(features, (0, short, 0, short)) if short else features)
        return last(features), skips[::-1]


class Bottleneck(nn.Module):
    """(B, inputs, H, W) → (B, 4 · middle, H/stride, W/stride)."""

    def __init__(self, inputs: int, middle: int, stride: int) -> None:
        super().__init__()
        outputs = WIDENING * middle
        self.gn1 = nn.GroupNorm(GROUPS, middle, eps=GROUP_NORM_EPSILON)
        self.conv1 = StandardisedConvolution(inputs, middle, kernel_size=1, bias=False)
        self.gn2 = nn.GroupNorm(GROUPS, middle, eps=GROUP_NORM_EPSILON)
        self.conv2 = StandardisedConvolution(middle, middle, kernel_size=3, stride=stride, padding=1, bias=False)
        self.gn3 = nn.GroupNorm(GROUPS, outputs, eps=GROUP_NORM_EPSILON)
        self.conv3 = StandardisedConvolution(middle, outputs, kernel_size=1, bias=False)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = StandardisedConvolution(inputs, outputs, kernel_size=1, stride=stride, bias=False)
            self.gn_proj = nn.GroupNorm(outputs, outputs)  # each channel by itself

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        shortcut = features if self.downsample is None else self.gn_proj(self.downsample(features))
        features = functional.relu(self.gn1(self.conv1(features)))
        features = functional.relu(self.gn2(self.conv2(features)))
        return functional.relu(shortcut + self.gn3(self.conv3(features)))


class StandardisedConvolution(nn.Conv2d):
    """A convolution with weights of mean 0 and (biased) variance 1 for each of its output channels."""

    def standardised(self) -> torch.Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        return (self.weight - mean) / torch.sqrt(variance + STANDARDISATION_EPSILON)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(features, self.standardised(), self.bias)
