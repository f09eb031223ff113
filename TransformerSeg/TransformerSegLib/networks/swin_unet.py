"""Swin-Unet: Cao et al., "Swin-Unet: Unet-like Pure Transformer for Medical Image Segmentation",
https://arxiv.org/abs/2105.05537. A network of slices; the module is in ``swin_unet_module``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from TransformerSegLib.networks.architecture import FLOAT32_BYTES, WORKSPACE_BYTES, Rate
from TransformerSegLib.networks.arguments import Flag
from TransformerSegLib.networks.operations import attention, convolution, linear, perceptron
from TransformerSegLib.networks.slice_architecture import MAXIMUM_SIDE, SliceArchitecture

if TYPE_CHECKING:
    import torch

PATCH_SIDE = 4
"""Pixels: the official decoder ends with an expansion by 4, whatever the size of the patches."""

STAGES = 4
"""In every Swin-Unet: the official decoder counts on them."""

SIDE_MULTIPLE = PATCH_SIDE * 2 ** (STAGES - 1)
"""Patches and mergings divide each side by so much."""

ATTENTION_COPIES, EARLY_FEATURES, LAST_FEATURES = 3.0, 0.45, 2.7
"""Fitted peaks, in copies of the first stage's attention weights and of one feature map with the slice's pixels."""

Heads = Annotated[int, Field(ge=1, le=128)]
Depth = Annotated[int, Field(ge=1, le=32)]


class SwinUnet(SliceArchitecture):
    """Arguments of the official ``SwinTransformerSys``, under its names.

    Attributes:
        depths: blocks of each stage, from fine to coarse; the decoder has as many.
        window_size: in patches; a window is no longer than the map of its stage, and else divides it.
        ape: whether patches have a learnt embedding of their place.
    """

    name: ClassVar[str] = "SwinUnet"
    targets: ClassVar[frozenset[str]] = frozenset({"SwinUnet", "transformerseg.SwinUnet"})
    # Constants, which the module makes.
    idle_weights: ClassVar[str] = r"layers(_up)?\.\d+\.blocks\.\d+\.(attn_mask|attn\.relative_position_index)"

    img_size: int = Field(default=224, ge=SIDE_MULTIPLE, le=MAXIMUM_SIDE, multiple_of=SIDE_MULTIPLE)
    patch_size: Literal[4] = PATCH_SIDE
    embed_dim: int = Field(default=96, ge=1, le=512)
    depths: tuple[Depth, Depth, Depth, Depth] = (2, 2, 2, 2)
    num_heads: tuple[Heads, Heads, Heads, Heads] = (3, 6, 12, 24)
    window_size: int = Field(default=7, ge=1, le=64)
    mlp_ratio: float = Field(default=4.0, gt=0.0, le=16.0)
    qkv_bias: Flag = True
    ape: Flag = False
    patch_norm: Flag = True
    drop_rate: Rate = 0.0
    attn_drop_rate: Rate = 0.0
    drop_path_rate: Rate = 0.1

    @model_validator(mode="after")
    def _heads_divide_features(self) -> Self:
        for heads, features in zip(self.num_heads, self._features, strict=True):
            if features % heads:
                raise ValueError(f"num_heads: {heads} heads do not divide the {features} features of a stage")
        return self

    @model_validator(mode="after")
    def _windows_divide_maps(self) -> Self:
        for side, window in zip(self._sides, self._windows, strict=True):
            if side % window:
                raise ValueError(
                    f"window_size: windows of {window}×{window} do not divide a map of {side}×{side} patches"
                )
        return self

    @model_validator(mode="after")
    def _perceptrons_have_features(self) -> Self:
        if int(self.embed_dim * self.mlp_ratio) < 1:
            raise ValueError("mlp_ratio leaves no features in the first stage")
        return self

    @property
    def _features(self) -> list[int]:
        """Of each stage, from fine to coarse."""
        return [self.embed_dim * 2**stage for stage in range(STAGES)]

    @property
    def _sides(self) -> list[int]:
        """Of each stage's map, in patches."""
        return [self.img_size // self.patch_size // 2**stage for stage in range(STAGES)]

    @property
    def _windows(self) -> list[int]:
        """Of each stage, in patches."""
        return [min(self.window_size, side) for side in self._sides]

    def activation_bytes(self, roi_size: tuple[int, ...]) -> int:
        """The larger of two peaks: the attention of the first stage, or the last expansion and the answer."""
        attention = self.num_heads[0] * (self._sides[0] * self._windows[0]) ** 2 * FLOAT32_BYTES
        features, answer = (count * self.img_size**2 * FLOAT32_BYTES for count in (self.embed_dim, self.out_channels))
        peak = max(ATTENTION_COPIES * attention + EARLY_FEATURES * features, LAST_FEATURES * features + answer)
        return round(peak) + WORKSPACE_BYTES

    def operations(self, roi_size: tuple[int, ...]) -> float:
        features, tokens = self._features, [float(side**2) for side in self._sides]
        total = convolution(tokens[0], self.stem_channels, self.embed_dim, self.patch_size, axes=2)
        for stage, depth in enumerate(self.depths):
            block = attention(tokens[stage], self._windows[stage] ** 2, features[stage])
            block += perceptron(tokens[stage], features[stage], int(features[stage] * self.mlp_ratio))
            last = stage == STAGES - 1
            total += depth * block * (1 if last else 2)  # the decoder has the same blocks, but for the last stage
            if not last:
                merging = linear(tokens[stage + 1], 4 * features[stage], 2 * features[stage])
                expanding = linear(tokens[stage + 1], features[stage + 1], 2 * features[stage + 1])
                total += merging + expanding + linear(tokens[stage], 2 * features[stage], features[stage])
        total += linear(tokens[0], self.embed_dim, self.patch_size**2 * self.embed_dim)
        return total + linear(self.img_size**2, self.embed_dim, self.out_channels)

    @property
    def has_fast_form(self) -> bool:
        return True

    def module(self) -> torch.nn.Module:
        from TransformerSegLib.networks.swin_unet_module import SwinUnetModule

        return SwinUnetModule(self)
