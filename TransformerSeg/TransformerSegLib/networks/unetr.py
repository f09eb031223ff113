"""UNETR: Hatamizadeh et al., "UNETR: Transformers for 3D Medical Image Segmentation", https://arxiv.org/abs/2103.10504.
The module is MONAI's ``monai.networks.nets.UNETR``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from TransformerSegLib.networks.architecture import (
    FLOAT32_BYTES,
    WORKSPACE_BYTES,
    Architecture,
    Rate,
    fixed_window_fault,
    sides_of,
)
from TransformerSegLib.networks.arguments import Flag
from TransformerSegLib.networks.operations import (
    UPSAMPLED,
    attention,
    convolution,
    joining,
    linear,
    perceptron,
    two_convolutions,
    upsampling,
)

if TYPE_CHECKING:
    import torch

PATCH_SIDE = 16
"""Voxels: the side of the cube that becomes one token."""

TRANSFORMER_BLOCKS = 12
"""In every UNETR."""

DECODER_FEATURES, OTHER_FEATURES = 6.1, 42.0
"""Fitted peak, in full-resolution maps: per feature of ``feature_size``, and whatever that is."""

ImageSide = Annotated[int, Field(ge=PATCH_SIDE, le=512, multiple_of=PATCH_SIDE)]


class UNETR(Architecture):
    """Arguments of ``monai.networks.nets.UNETR``, under its names of today."""

    name: ClassVar[str] = "UNETR"
    targets: ClassVar[frozenset[str]] = frozenset(
        {"UNETR", "monai.networks.nets.UNETR", "monai.networks.nets.unetr.UNETR"}
    )
    irrelevant: ClassVar[frozenset[str]] = frozenset({"save_attn"})
    # Attention of another kind: none in MONAI 0.9 to 1.3, cross_attn in 1.4 and 1.5, norm_cross_attn in 1.6. And what
    # 0.7 made and never used: a class token, and shortcuts of blocks that do not change the number of features.
    idle_weights: ClassVar[str] = (
        r"vit\.blocks\.\d+\.(norm_)?cross_attn\..*"
        r"|vit\.patch_embedding\.cls_token"
        r"|encoder[234]\.blocks\.\d+\.1\.conv3\..*"
    )

    img_size: ImageSide | tuple[ImageSide, ImageSide, ImageSide]
    feature_size: int = Field(default=16, ge=1, le=128)
    hidden_size: int = Field(default=768, ge=1, le=4096)
    mlp_dim: int = Field(default=3072, ge=1, le=16384)
    num_heads: int = Field(default=12, ge=1, le=128)
    proj_type: Literal["conv", "perceptron"] = "conv"
    norm_name: Literal["instance", "batch"] = "instance"
    conv_block: Flag = True
    res_block: Flag = True
    dropout_rate: Rate = 0.0
    spatial_dims: Literal[3] = 3
    qkv_bias: Flag = False

    @model_validator(mode="after")
    def _heads_divide_features(self) -> Self:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"{self.num_heads} heads do not divide the {self.hidden_size} features")
        return self

    @classmethod
    def modern(cls, arguments: Mapping[str, object], trained_with_monai: str | None) -> dict[str, object]:
        """``pos_embed`` became ``proj_type`` in MONAI 1.2."""
        modern = {name: value for name, value in arguments.items() if name not in cls.irrelevant}
        if "pos_embed" in modern:
            old = modern.pop("pos_embed")
            modern.setdefault("proj_type", old)
        return modern

    def window_fault(self, roi_size: tuple[int, int, int]) -> str | None:
        return fixed_window_fault(sides_of(self.img_size), roi_size)

    def activation_bytes(self, roi_size: tuple[int, int, int]) -> int:
        maps = DECODER_FEATURES * self.feature_size + OTHER_FEATURES
        return round(maps * math.prod(roi_size) * FLOAT32_BYTES) + WORKSPACE_BYTES

    def operations(self, roi_size: tuple[int, int, int]) -> float:
        voxels, residual = float(math.prod(roi_size)), self.res_block
        tokens = voxels / PATCH_SIDE**3
        block = attention(tokens, int(tokens), self.hidden_size)
        block += perceptron(tokens, self.hidden_size, self.mlp_dim)
        total = convolution(tokens, self.in_channels, self.hidden_size, PATCH_SIDE) + TRANSFORMER_BLOCKS * block
        # Level 0 is full resolution, level 4 that of the tokens; each level has twice the features of the one before.
        features = [self.feature_size * 2**level for level in range(4)] + [self.hidden_size]
        levels = [voxels / UPSAMPLED**level for level in range(5)]
        total += two_convolutions(voxels, self.in_channels, features[0], residual)
        total += sum(self._encoder_operations(tokens, features[level], 4 - level) for level in (1, 2, 3))
        total += sum(joining(levels[level], features[level + 1], features[level], residual) for level in range(4))
        return total + linear(voxels, features[0], self.out_channels)

    def _encoder_operations(self, tokens: float, features: int, steps: int) -> float:
        """The transformer's features, brought so many times to twice the resolution."""
        total = upsampling(tokens, self.hidden_size, features)
        for step in range(1, steps):
            voxels = tokens * UPSAMPLED**step
            total += upsampling(voxels, features, features)
            if self.conv_block:
                total += two_convolutions(voxels * UPSAMPLED, features, features, self.res_block)
        return total

    @property
    def has_fast_form(self) -> bool:
        return self.norm_name == "instance"

    def module(self) -> torch.nn.Module:
        from monai.networks import nets

        return nets.UNETR(**self.model_dump())
