"""A network beside its fast form. Imports torch: only modules of networks import it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Self

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from TransformerSegLib.networks.fast_swin_unet_module import FastSwinUnet
from TransformerSegLib.networks.fast_swin_unetr_module import FastSwinUNETR
from TransformerSegLib.networks.fast_transunet_module import FastTransUNet
from TransformerSegLib.networks.fast_unetr_module import FastUNETR
from TransformerSegLib.networks.kept_memory_module import KeptMemory
from TransformerSegLib.networks.moments_module import NEGATIVE_SLOPE, NORM_EPSILON
from TransformerSegLib.networks.swin_unet_module import SwinUnetModule
from TransformerSegLib.networks.swin_unetr_layers_module import SwinUNETRLayers
from TransformerSegLib.networks.transunet_module import TransUNetModule

AXES = 5
"""Of a convolution's weights: outputs, inputs, depth, height, width."""

PATCH_SIDE = 2
"""Of the Swin UNETR that is covered, in voxels."""

OF_OUR_OWN = {SwinUNETRLayers: FastSwinUNETR, SwinUnetModule: FastSwinUnet, TransUNetModule: FastTransUNet}
"""Modules that are covered in every configuration."""


class FastForm(nn.Module):
    """Scores as ``plain`` gives them, rounding apart, from its fast form where that covers what is asked for.

    It does in evaluation mode, without gradients, for float32 on a CPU, in windows of the sizes that the fast form
    knows. Everything else is left to ``plain``. The fast form holds kernels that were computed from the weights: these
    are changed by ``load_state_dict``, or in training mode, and by nothing else.

    Args:
        plain: the network; its state dict is this one's. Or its layers alone, which can answer in their fast form only.
        make: makes the fast form of it; called when it is first needed. What it made is let go when the network goes to
            a GPU, which does not hold what only a CPU uses.
    """

    def __init__(self, plain: nn.Module, make: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.plain = plain
        self._make = make
        self.fast: nn.Module | None = None
        self._memory: KeptMemory | None = None
        self.train(plain.training)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, D, H, W) → (B, classes, D, H, W); or, of a network of slices, the same without D."""
        if not self._suits(images):
            return self.plain(images)
        if self.fast is None:
            with torch.inference_mode(False), torch.no_grad():
                self.fast = self._make(self.plain).eval()
        if not self.fast.covers(tuple(images.shape[2:])):
            return self.plain(images)
        logits = images.new_empty(len(images), self.fast.classes, *images.shape[2:])
        for image, made in zip(images, logits, strict=True):  # a batch would gain little, and take as much more memory
            with self._memory_for_one_image():
                self.fast(image, made)
        return logits

    @contextmanager
    def memory_kept(self) -> Iterator[None]:
        """Within it, working memory is kept from one call of this thread to the next, and then given back."""
        self._memory = KeptMemory()
        try:
            yield
        finally:
            self._memory = None

    def _memory_for_one_image(self) -> AbstractContextManager[None]:
        memory = self._memory
        return nullcontext() if memory is None or not memory.is_of_this_thread else memory.for_one_image()

    def _suits(self, images: torch.Tensor) -> bool:
        return (
            not self.training
            and not torch.is_grad_enabled()
            and images.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu")
            and images.dtype == torch.float32
            and next(self.plain.parameters()).dtype == torch.float32
        )

    def train(self, mode: bool = True) -> Self:
        if mode:
            self.fast = None  # training changes the weights
        return super().train(mode)

    def _apply(self, *args, **kwargs) -> Self:
        fast, self.fast = self.fast, None
        super()._apply(*args, **kwargs)
        weight = next(self.plain.parameters())
        if weight.device.type == "cpu" and weight.dtype == torch.float32:
            self.fast = fast
        return self

    def state_dict(self, *args, **kwargs) -> dict[str, torch.Tensor]:
        return self.plain.state_dict(*args, **kwargs)

    def load_state_dict(self, *args, **kwargs) -> object:
        self.fast = None
        return self.plain.load_state_dict(*args, **kwargs)


def fast_form_of(network: nn.Module) -> nn.Module:
    """A ``FastForm``, or ``network`` itself where there is none: of batch norms, other patches, other networks."""
    if type(network) in OF_OUR_OWN:
        return FastForm(network, OF_OUR_OWN[type(network)])
    from monai.networks import nets

    if type(network) is nets.SwinUNETR and _covers_transformer(network) and _covers_decoder(network):
        return FastForm(network, FastSwinUNETR)
    if type(network) is nets.UNETR and not network.vit.classification and _covers_decoder(network):
        return FastForm(network, FastUNETR)
    return network


def _covers_transformer(network: nn.Module) -> bool:
    with_attention = not getattr(network, "use_hyena", False) and getattr(network, "hyena_stages", None) is None
    return with_attention and set(network.swinViT.patch_size) == {PATCH_SIDE}


def _covers_decoder(network: nn.Module) -> bool:
    """Whether the parts outside of the transformer are what the blocks over planes compute."""
    return all(
        _is_covered(layer, last=layer is network.out.conv.conv)
        for name, part in network.named_children()
        if name not in ("swinViT", "vit")
        for layer in part.modules()
    )


def _is_covered(layer: nn.Module, last: bool) -> bool:
    match layer:
        case nn.InstanceNorm3d():
            return not layer.affine and not layer.track_running_stats and layer.eps == NORM_EPSILON
        case _ConvNd():
            return layer.weight.dim() == AXES and last == (layer.bias is not None)
        case nn.LeakyReLU():
            return layer.negative_slope == NEGATIVE_SLOPE
    return not isinstance(layer, _NormBase)
