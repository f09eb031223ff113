"""UNETR in the layout of github.com/tamasino52/UNETR, in which many have trained it: Hatamizadeh et al., "UNETR:
Transformers for 3D Medical Image Segmentation", https://arxiv.org/abs/2103.10504. Other layers and other weights than
MONAI's ``UNETR``; the module is ours (``unetr_tamasino52_module``).
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
    linear,
    perceptron,
    upsampling,
)

if TYPE_CHECKING:
    import torch

PATCH_SIDE = 16
"""Voxels: the side of the cube that becomes one token. The decoder doubles the resolution four times."""

TAPS = 4
"""Depths at which the decoder takes features of the transformer, and doubles the resolution."""

DECODER_FEATURES, OTHER_FEATURES = 6.0, 4.0
"""Fitted peak, in full-resolution maps: per feature of the decoder at full resolution, and whatever those are."""

ImageSide = Annotated[int, Field(ge=PATCH_SIDE, le=512, multiple_of=PATCH_SIDE)]
Width = Annotated[int, Field(ge=1, le=4096)]


class UNETRTamasino52(Architecture):
    """The repository's arguments and the numbers written into it, under names like those of MONAI's ``UNETR``.

    Attributes:
        num_layers: blocks of the transformer, of which the decoder takes the features after each quarter.
        decoder_channels: features at an 8th, a 4th, half of, and full resolution; and those of the first convolution.
        two_blocks: as the repository is, with two 512→512 blocks in ``decoder9_upsampler``. The variant with one of
            them has the 148,955,299 parameters that its README quotes.
    """

    name: ClassVar[str] = "UNETRTamasino52"
    targets: ClassVar[frozenset[str]] = frozenset({"UNETRTamasino52", "transformerseg.UNETRTamasino52"})
    idle_weights: ClassVar[str] = r"transformer\.encoder_norm\.(weight|bias)"

    img_size: ImageSide | tuple[ImageSide, ImageSide, ImageSide]
    hidden_size: int = Field(default=768, ge=1, le=4096)
    patch_size: Literal[16] = PATCH_SIDE
    num_heads: int = Field(default=12, ge=1, le=128)
    mlp_dim: int = Field(default=2048, ge=1, le=16384)
    num_layers: int = Field(default=12, ge=TAPS, le=64, multiple_of=TAPS)
    decoder_channels: tuple[Width, Width, Width, Width, Width] = (512, 256, 128, 64, 32)
    two_blocks: Flag = True
    dropout_rate: Rate = 0.1

    @model_validator(mode="after")
    def _heads_divide_features(self) -> Self:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"{self.num_heads} heads do not divide the {self.hidden_size} features")
        return self

    @classmethod
    def modern(cls, arguments: Mapping[str, object], trained_with_monai: str | None) -> dict[str, object]:
        return dict(arguments)

    def window_fault(self, roi_size: tuple[int, ...]) -> str | None:
        return fixed_window_fault(sides_of(self.img_size), roi_size)

    def activation_bytes(self, roi_size: tuple[int, ...]) -> int:
        """The larger of two peaks: the widest join of the decoder, or its last features beside the scores."""
        widths = reversed(self.decoder_channels[:TAPS])
        widest = max(width / UPSAMPLED**level for level, width in enumerate(widths))
        maps = max(DECODER_FEATURES * widest + OTHER_FEATURES, self.decoder_channels[TAPS - 1] + self.out_channels)
        return round(maps * math.prod(roi_size) * FLOAT32_BYTES) + WORKSPACE_BYTES

    def operations(self, roi_size: tuple[int, ...]) -> float:
        tokens = math.prod(roi_size) / PATCH_SIDE**3
        block = attention(tokens, int(tokens), self.hidden_size)
        block += perceptron(tokens, self.hidden_size, self.mlp_dim)
        total = convolution(tokens, self.in_channels, self.hidden_size, PATCH_SIDE) + self.num_layers * block
        return total + self._skip_operations(tokens) + self._joining_operations(tokens)

    def _skip_operations(self, tokens: float) -> float:
        """``decoder0`` (from the image), and ``decoder3``, ``6`` and ``9`` (from the transformer)."""
        *_, full, first = self.decoder_channels
        voxels = tokens * PATCH_SIDE**3
        total = convolution(voxels, self.in_channels, first) + convolution(voxels, first, full)
        features = [self.hidden_size, *self.decoder_channels[:3]]
        for steps in (1, 2, 3):
            for step in range(steps):
                made = tokens * UPSAMPLED ** (step + 1)
                total += upsampling(made / UPSAMPLED, features[step], features[step + 1])
                total += convolution(made, features[step + 1], features[step + 1])
        return total

    def _joining_operations(self, tokens: float) -> float:
        total = upsampling(tokens, self.hidden_size, self.decoder_channels[0])
        for level in range(TAPS):
            features, voxels = self.decoder_channels[level], tokens * UPSAMPLED ** (level + 1)
            further = 2 if level == 0 and self.two_blocks else 1
            total += convolution(voxels, 2 * features, features) + further * convolution(voxels, features, features)
            if level < TAPS - 1:
                total += upsampling(voxels, features, self.decoder_channels[level + 1])
            else:
                total += linear(voxels, features, self.out_channels)
        return total

    def module(self) -> torch.nn.Module:
        from TransformerSegLib.networks import unetr_tamasino52_module

        sizes = {**self.model_dump(), "img_size": sides_of(self.img_size)}
        return unetr_tamasino52_module.UNETRTamasino52(**sizes)
