"""TransUNet on a CPU in evaluation mode: the same mathematics as ``transunet_module``, with less work. Imports torch:
only modules of networks import it.

Weights are standardised, and batch norms merged into the convolutions before them, once instead of for each slice; maps
lie channels last, as convolutions want them; matrix products are oneDNN's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv2d, scaled_dot_product_attention
from torch.nn.utils.fusion import fuse_conv_bn_eval

from TransformerSegLib.networks.moments_module import Moments, normalise
from TransformerSegLib.networks.packed_linear_module import PackedLinear, PackedPerceptron
from TransformerSegLib.networks.perceptron_module import Perceptron
from TransformerSegLib.networks.shared_copy_module import replace_layers, shared_copy
from TransformerSegLib.networks.transunet_module import Attention, TransUNetModule
from TransformerSegLib.networks.transunet_resnet_module import StandardisedConvolution


class FastTransUNet(nn.Module):
    """Scores as ``network`` gives them.

    Args:
        network: it stays as it is.

    Attributes:
        classes: how many the network scores.
    """

    def __init__(self, network: TransUNetModule) -> None:
        super().__init__()
        self.classes = network.segmentation_head[0].out_channels
        self._size = (network.img_size, network.img_size)
        self.network = shared_copy(network)
        decoder = self.network.decoder
        decoder.conv_more = _without_norm(decoder.conv_more)
        for block in decoder.blocks:
            block.conv1, block.conv2 = _without_norm(block.conv1), _without_norm(block.conv2)
        replace_layers(self.network, Attention, AttentionOfOneProduct)
        replace_layers(self.network, Perceptron, PackedPerceptron)
        replace_layers(self.network, nn.Linear, PackedLinear.of)
        replace_layers(self.network, nn.Conv2d, _channels_last)
        replace_layers(self.network, nn.GroupNorm, GroupNorm)

    def covers(self, size: tuple[int, ...]) -> bool:
        """Slices of this size."""
        return size == self._size

    def forward(self, image: torch.Tensor, logits: torch.Tensor) -> None:
        """(C, H, W), scored into (classes, H, W)."""
        logits.copy_(self.network(image[None].to(memory_format=torch.channels_last))[0])


class AttentionOfOneProduct(nn.Module):
    """(B, tokens, hidden) → the same; query, key and value come from one matrix product.

    Args:
        attention: the plain one.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        layers = (attention.query, attention.key, attention.value)
        weight, bias = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
        self.projections, self.out, self._heads = PackedLinear(weight, bias), attention.out, attention.heads

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = self.projections(tokens).unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Convolution(nn.Module):
    """A convolution of maps (B, C, H, W) that lie channels last, as are those that it gives.

    Args:
        plain: the convolution that it is.
        weight: its weights, as they are used.
    """

    def __init__(self, plain: nn.Conv2d, weight: torch.Tensor) -> None:
        super().__init__()
        self._weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self._bias = None if plain.bias is None else plain.bias.detach()
        self._stride, self._padding = plain.stride, plain.padding

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = features.contiguous(memory_format=torch.channels_last)
        return conv2d(features, self._weight, self._bias, self._stride, self._padding)


class GroupNorm(nn.Module):
    """A group norm of one map (1, C, H, W) that lies channels last, overwritten. (That of torch takes, in this layout,
    a difference of two large sums.)

    Args:
        plain: the norm that it is.
    """

    def __init__(self, plain: nn.GroupNorm) -> None:
        super().__init__()
        self._groups, self._epsilon = plain.num_groups, plain.eps
        self._weight, self._bias = (tensor.detach().double().numpy() for tensor in (plain.weight, plain.bias))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        moments, pixels = Moments(), features.permute(0, 2, 3, 1)
        moments.add(pixels)
        means, variances = (each.reshape(self._groups, -1) for each in moments.mean_and_variance())
        mean = means.mean(1, keepdims=True)
        variance = (variances + (means - mean) ** 2).mean(1, keepdims=True)
        scale = self._weight.reshape(self._groups, -1) / np.sqrt(variance + self._epsilon)
        shift = self._bias - (mean * scale).ravel()
        normalise(pixels, *torch.from_numpy(np.stack([scale.ravel(), shift])).float())
        return features


class PointwiseConvolution(nn.Module):
    """A 1×1 convolution of maps (B, C, H, W) that lie channels last, as are those that it gives.

    Args:
        plain: the convolution that it is.
        weight: its weights, as they are used.
    """

    def __init__(self, plain: nn.Conv2d, weight: torch.Tensor) -> None:
        super().__init__()
        self.product = PackedLinear(weight.flatten(1), plain.bias)
        self._down, self._right = plain.stride

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        pixels = features[:, :, :: self._down, :: self._right].permute(0, 2, 3, 1)
        return self.product(pixels.contiguous()).permute(0, 3, 1, 2)


def _without_norm(layers: nn.Sequential) -> nn.Sequential:
    """Convolution, batch norm and ReLU → the first two as one, and ReLU."""
    convolution, norm, activation = layers
    return nn.Sequential(fuse_conv_bn_eval(convolution, norm), activation)


def _channels_last(convolution: nn.Conv2d) -> nn.Module:
    is_standardised = isinstance(convolution, StandardisedConvolution)
    weight = convolution.standardised() if is_standardised else convolution.weight
    form = PointwiseConvolution if convolution.kernel_size == (1, 1) else Convolution
    return form(convolution, weight)
