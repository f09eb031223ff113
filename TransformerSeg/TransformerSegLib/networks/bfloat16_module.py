"""A network whose convolutions, matrix products and attention are done in bfloat16. Imports torch: only modules of
networks import it.

Sums stay in float32: those of products in the processor, those of norms and of softmax in torch. Weights are halved
once, and features lie channels last, as bfloat16 convolutions want them on a CPU and on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import deepcopy

import torch
from monai.networks import nets
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.blocks.unetr_block import UnetrUpBlock
from torch import nn
from torch.nn.functional import batch_norm

from TransformerSegLib.networks.kept_heap import heap_kept
from TransformerSegLib.networks.merged_upsampling_module import merged_kernel, merged_pointwise_kernel
from TransformerSegLib.networks.shared_copy_module import replace_layers
from TransformerSegLib.networks.swin_tokens_module import PatchTokens, SwinStage, without_scale

HALVED = (nn.Conv3d, nn.ConvTranspose3d, nn.Linear)


class InBfloat16(nn.Module):
    """Scores near to those of ``network``: bfloat16 has 8 binary digits.

    Args:
        network: in evaluation mode; it stays as it is.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = deepcopy(network)
        if type(network) is nets.SwinUNETR:
            self.network.swinViT = Tokens(self.network.swinViT)
        replace_layers(self.network, UnetrUpBlock, _join)
        replace_layers(self.network, nn.InstanceNorm3d, _norm)
        for layer in self.network.modules():
            if isinstance(layer, HALVED):
                layer.to(torch.bfloat16)
        self.network.to(memory_format=torch.channels_last_3d)
        self.eval().requires_grad_(False)

    def memory_kept(self) -> AbstractContextManager[None]:
        """Within it, working memory is kept from one call to the next, and then given back."""
        return heap_kept()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, D, H, W) float32 → (B, classes, D, H, W) float32."""
        with torch.autocast(images.device.type, torch.bfloat16):
            return self.network(images.to(torch.bfloat16, memory_format=torch.channels_last_3d)).float()


class Tokens(nn.Module):
    """MONAI's ``SwinTransformer`` by the blocks of ``swin_tokens_module``, with features that lie channels last.

    Args:
        transformer: MONAI's; its weights are shared.
    """

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.patches = PatchTokens(transformer.patch_embed)
        layers = (transformer.layers1, transformer.layers2, transformer.layers3, transformer.layers4)
        self.stages = nn.ModuleList(SwinStage(layer[0]) for layer in layers)
        first = ("layers1c", "layers2c", "layers3c", "layers4c") if transformer.use_v2 else ()
        self.convolutions = nn.ModuleList(getattr(transformer, name)[0] for name in first)

    def forward(self, image: torch.Tensor, normalize: bool = True) -> list[torch.Tensor]:
        """(B, C, D, H, W) → the features (B, …) of half, a 4th, … and a 32nd of the resolution."""
        return list(self._features(image, normalize))

    def _features(self, image: torch.Tensor, normalize: bool) -> Iterator[torch.Tensor]:
        features = self.patches(image)
        yield _taken(features, normalize)
        for number, stage in enumerate(self.stages):
            if self.convolutions:
                features = _channels_last(self.convolutions[number](_channels_first(features)))
            features = stage(features.contiguous())
            yield _taken(features, normalize)


class NormOfEach(nn.Module):
    """``InstanceNorm3d`` that keeps the layout of what it reads, which torch's turns over and back.

    Args:
        norm: torch's, without statistics of its own.
    """

    def __init__(self, norm: nn.InstanceNorm3d) -> None:
        super().__init__()
        self.epsilon, self.weight, self.bias = norm.eps, norm.weight, norm.bias

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, D, H, W) → the same."""
        normalised = [
            batch_norm(one[None], None, None, self.weight, self.bias, training=True, eps=self.epsilon)
            for one in features
        ]
        return normalised[0] if len(normalised) == 1 else torch.cat(normalised)


class Join(nn.Module):
    """``UnetrUpBlock`` without joining: what comes up and what is skipped are convolved apart, and added.

    Args:
        block: MONAI's, whose kernels of upsampling and convolution become one.
    """

    def __init__(self, block: UnetrUpBlock) -> None:
        super().__init__()
        joined, upsampling = block.conv_block, block.transp_conv.conv.weight
        coarse, fine = _halves(joined.conv1.conv.weight)
        self.coarse, self.fine = _upsampling(merged_kernel(upsampling, coarse)), _convolution(fine)
        coarse, fine = _halves(joined.conv3.conv.weight)
        self.coarse_short, self.fine_short = (
            _upsampling(merged_pointwise_kernel(upsampling, coarse)),
            _convolution(fine),
        )
        self.block = joined
        del joined.conv1, joined.conv3

    def forward(self, coarse: torch.Tensor, skipped: torch.Tensor) -> torch.Tensor:
        """(B, C', D, H, W) and (B, C, 2D, 2H, 2W) → (B, C, 2D, 2H, 2W)."""
        block = self.block
        made = block.lrelu(block.norm1(self.coarse(coarse).add_(self.fine(skipped))))
        made = block.norm2(block.conv2(made))
        made += block.norm3(self.coarse_short(coarse).add_(self.fine_short(skipped)))
        return block.lrelu(made)


def _norm(norm: nn.InstanceNorm3d) -> nn.Module:
    return norm if norm.track_running_stats else NormOfEach(norm)


def _join(block: UnetrUpBlock) -> nn.Module:
    joined, upsampling = block.conv_block, block.transp_conv.conv
    plain = isinstance(joined, UnetResBlock) and joined.downsample and tuple(upsampling.kernel_size) == (2, 2, 2)
    return Join(block) if plain and tuple(joined.conv1.conv.weight.shape[2:]) == (3, 3, 3) else block


def _halves(kernel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of what comes up, and of what is skipped: they are joined in this order, as many features of each."""
    return tuple(kernel.chunk(2, dim=1))


def _convolution(kernel: torch.Tensor) -> nn.Conv3d:
    outputs, inputs, side, *_ = kernel.shape
    layer = nn.Conv3d(inputs, outputs, side, padding=side // 2, bias=False)
    layer.weight.data = kernel.clone()
    return layer


def _upsampling(kernel: torch.Tensor) -> nn.ConvTranspose3d:
    inputs, outputs, side, *_ = kernel.shape
    layer = nn.ConvTranspose3d(inputs, outputs, side, stride=2, padding=side // 2 - 1, bias=False)
    layer.weight.data = kernel
    return layer


def _taken(features: torch.Tensor, normalize: bool) -> torch.Tensor:
    """MONAI's ``proj_out``."""
    return _channels_first(without_scale(features) if normalize else features)


def _channels_first(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 4, 1, 2, 3)


def _channels_last(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 2, 3, 4, 1)
