"""TransUNet: Chen et al., "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation",
https://arxiv.org/abs/2102.04306. A network of slices; the module is in ``transunet_module``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from TransformerSegLib.networks.architecture import FLOAT32_BYTES, WORKSPACE_BYTES, Rate
from TransformerSegLib.networks.arguments import Flag
from TransformerSegLib.networks.operations import attention, convolution, linear, perceptron
from TransformerSegLib.networks.slice_architecture import MAXIMUM_SIDE, SliceArchitecture

if TYPE_CHECKING:
    import torch

HALVINGS = 4
"""How often the ResNet halves the sides of a slice; also the most blocks of a decoder, which double them again."""

WIDTH = 64
"""Channels of the first convolution of a ResNet-50, which ``width_factor`` multiplies."""

WIDENING = 4
"""Channels that a bottleneck gives for each that its 3×3 convolution has."""

GROUPS = 32
"""Of the ResNet's normalisations, but for those of shortcuts: they divide its widths."""

HEAD_CHANNELS = 512
"""Features with which the decoder begins, whatever the transformer's."""

ENCODER_MAPS = 1.5
"""Fitted peak in the ResNet, in maps with the slice's pixels, for each channel of its first convolution."""

FITTED = 1.1
"""By how much a measured peak is larger than the maps that are alive."""

Layers = Annotated[int, Field(ge=1, le=64)]
Width = Annotated[int, Field(ge=1, le=2048)]
SkipWidth = Annotated[int, Field(ge=0, le=16384)]


class TransUNet(SliceArchitecture):
    """Arguments of TransUNet, under the names of the official configurations.

    Attributes:
        hybrid: whether a ResNet goes before the transformer; otherwise that sees the slice's own patches.
        resnet_layers: bottlenecks in each of its three blocks.
        patch_size: pixels that become one token, along a side: of the ResNet's map, or else of the slice. None: 1 with
            a ResNet, 16 without.
        decoder_channels: of each of the decoder's blocks, from coarse to fine.
        skip_channels: of the ResNet's maps that they take, from coarse to fine; those after ``n_skip`` are not read.
        n_skip: how many of the blocks take one.
        multi_scale: whether the decoder's inner blocks have heads of their own, for training alone.
    """

    name: ClassVar[str] = "TransUNet"
    targets: ClassVar[frozenset[str]] = frozenset({"TransUNet", "transformerseg.TransUNet"})
    # Only training asks these heads.
    idle_weights: ClassVar[str] = r"scale_heads\.\d+\.(weight|bias)"

    img_size: int = Field(default=224, ge=2, le=MAXIMUM_SIDE)
    hybrid: Flag = True
    resnet_layers: tuple[Layers, Layers, Layers] = (3, 4, 9)
    width_factor: float = Field(default=1.0, gt=0.0, le=8.0)
    hidden_size: int = Field(default=768, ge=1, le=4096)
    mlp_dim: int = Field(default=3072, ge=1, le=16384)
    num_heads: int = Field(default=12, ge=1, le=128)
    num_layers: Layers = 12
    patch_size: int | None = Field(default=None, ge=1, le=2**HALVINGS)
    decoder_channels: tuple[Width, ...] = Field(default=(256, 128, 64, 16), min_length=1, max_length=HALVINGS)
    skip_channels: tuple[SkipWidth, ...] = Field(default=(512, 256, 64, 16), max_length=HALVINGS)
    n_skip: int = Field(default=3, ge=0, le=3)
    dropout_rate: Rate = 0.1
    multi_scale: Flag = False

    @model_validator(mode="after")
    def _heads_divide_features(self) -> Self:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"num_heads: {self.num_heads} heads do not divide the {self.hidden_size} features")
        return self

    @model_validator(mode="after")
    def _groups_divide_widths(self) -> Self:
        if self.hybrid and (self._width == 0 or self._width % GROUPS):
            raise ValueError(f"width_factor: a ResNet with a width of {self._width} is no multiple of {GROUPS}")
        return self

    @model_validator(mode="after")
    def _decoder_undoes_encoder(self) -> Self:
        patch = self._pixels_per_token
        if patch != 2 ** len(self.decoder_channels):
            raise ValueError(
                f"patch_size: {len(self.decoder_channels)} blocks of the decoder do not undo tokens of {patch} pixels"
            )
        shortest = 2 * patch if self.hybrid else patch
        if self.img_size % patch or self.img_size < shortest:
            raise ValueError(f"img_size must be a multiple of {patch}, and at least {shortest}")
        return self

    @model_validator(mode="after")
    def _skips_fit(self) -> Self:
        given = self._resnet_widths if self.hybrid else ()
        if self.skip_channels[: self.n_skip] != given[: self.n_skip] or self.n_skip > len(given):
            raise ValueError(
                f"skip_channels must begin with {list(given[: self.n_skip])}, which the ResNet gives"
                if self.hybrid
                else "n_skip must be 0 without a ResNet"
            )
        return self

    @property
    def _width(self) -> int:
        return int(WIDTH * self.width_factor)

    @property
    def _resnet_widths(self) -> tuple[int, ...]:
        """Channels of the ResNet's maps at an eighth, a quarter and half of the slice's resolution."""
        return 8 * self._width, 4 * self._width, self._width

    @property
    def _patch(self) -> int:
        return self.patch_size or (1 if self.hybrid else 2**HALVINGS)

    @property
    def _pixels_per_token(self) -> int:
        """Along a side."""
        return self._patch * 2**HALVINGS if self.hybrid else self._patch

    @property
    def _decoder_skips(self) -> tuple[int, ...]:
        """Channels of the map that each block of the decoder takes beside the one before it; 0 where it takes none."""
        taken = self.skip_channels[: self.n_skip]
        return taken + (0,) * (len(self.decoder_channels) - len(taken))

    def activation_bytes(self, roi_size: tuple[int, ...]) -> int:
        """The largest of three peaks: the ResNet, a perceptron of the transformer, or a block of the decoder."""
        tokens = 1 / self._pixels_per_token**2  # for each pixel of the slice, as all counts here
        skips = self._width * (1 / 4 + 4 / 16 + 8 / 64) if self.hybrid else 0.0
        perceptron = (4 * self.hidden_size + 2 * self.mlp_dim) * tokens + skips
        resnet = ENCODER_MAPS * self._width if self.hybrid else 0.0
        peak = max(resnet, perceptron, self._decoder_maps(tokens) + skips)
        return round(FITTED * peak * self.img_size**2 * FLOAT32_BYTES) + WORKSPACE_BYTES

    def _decoder_maps(self, tokens: float) -> float:
        """Channels of the maps that are alive at the decoder's peak, for each pixel of the slice.

        A block's first convolution has the map before it, that map made finer, a copy of it in the order that
        convolutions work in, and what it gives; its second one three of its own maps; the head a copy and the answer.
        """
        alive, inputs = [2.0 * self.decoder_channels[-1] + self.out_channels], HEAD_CHANNELS
        for step, (outputs, skip) in enumerate(zip(self.decoder_channels, self._decoder_skips, strict=True), start=1):
            share = tokens * 4**step
            alive.append(share * max(inputs / 4 + 2 * (inputs + skip) + outputs, 3 * outputs))
            inputs = outputs
        return max(alive)

    def operations(self, roi_size: tuple[int, ...]) -> float:
        tokens = (self.img_size // self._pixels_per_token) ** 2
        inputs = 2 * self._resnet_widths[0] if self.hybrid else self.stem_channels
        block = attention(tokens, tokens, self.hidden_size) + perceptron(tokens, self.hidden_size, self.mlp_dim)
        total = self._resnet_operations() if self.hybrid else 0.0
        total += convolution(tokens, inputs, self.hidden_size, self._patch, axes=2) + self.num_layers * block
        return total + self._decoder_operations(float(tokens))

    def _resnet_operations(self) -> float:
        """The first convolution, and the bottlenecks of three blocks."""
        inputs, middle = self._width, self._width
        total = convolution((self.img_size // 2) ** 2, self.stem_channels, inputs, kernel=7, axes=2)
        side = before = self.img_size // 4 - 1  # pooled without padding
        for level, count in enumerate(self.resnet_layers):
            side = self.img_size // 2 ** (level + 2) if level else side
            for unit in range(count):
                total += linear(before**2, inputs, middle) + convolution(side**2, middle, middle, axes=2)
                total += linear(side**2, middle, WIDENING * middle)
                total += linear(side**2, inputs, WIDENING * middle) if unit == 0 else 0.0
                inputs, before = WIDENING * middle, side
            middle *= 2
        return total

    def _decoder_operations(self, tokens: float) -> float:
        total, inputs = convolution(tokens, self.hidden_size, HEAD_CHANNELS, axes=2), HEAD_CHANNELS
        for step, (outputs, skip) in enumerate(zip(self.decoder_channels, self._decoder_skips, strict=True), start=1):
            pixels = tokens * 4**step
            total += convolution(pixels, inputs + skip, outputs, axes=2) + convolution(pixels, outputs, outputs, axes=2)
            inputs = outputs
        return total + convolution(self.img_size**2, inputs, self.out_channels, axes=2)

    @property
    def has_fast_form(self) -> bool:
        return True

    def module(self) -> torch.nn.Module:
        from TransformerSegLib.networks.transunet_module import TransUNetModule

        return TransUNetModule(
            out_channels=self.out_channels,
            side=self.img_size // self._pixels_per_token,
            resnet=(self._width, self.resnet_layers) if self.hybrid else None,
            hidden_size=self.hidden_size,
            mlp_dim=self.mlp_dim,
            num_heads=self.num_heads,
            num_layers=self.num_layers,
            patch_size=self._patch,
            decoder_channels=self.decoder_channels,
            skip_channels=self._decoder_skips,
            stem_channels=self.stem_channels,
            dropout_rate=self.dropout_rate,
            multi_scale=self.multi_scale,
        )
