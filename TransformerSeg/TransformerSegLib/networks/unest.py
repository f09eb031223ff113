"""UNesT: Yu et al., "UNesT: Local Spatial Representation Learning with Hierarchical Transformer for Efficient Medical
Segmentation", https://arxiv.org/abs/2209.14378. The bundles that its authors published in MONAI's Model Zoo bring their
own Python; it is not run, for the module here is ours (``unest_module``) and takes their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from TransformerSegLib.networks.architecture import (
    FLOAT32_BYTES,
    WORKSPACE_BYTES,
    Architecture,
    fixed_window_fault,
    sides_of,
)
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

LEVELS = 3
"""In every UNesT."""

DEEPEST_FEATURES = 32
"""Features of the coarsest level, in ``feature_size``: the decoder joins it as it is."""

MLP_RATIO = 4
"""Hidden features of a perceptron for each that goes in."""

SIDE_MULTIPLE, SHORTEST_SIDE = 32, 64
"""Patches of 4 are merged twice and halved once more; what is left must be more than one voxel to be normalised."""

DECODER_FEATURES, OTHER_FEATURES = 12.0, 12.0
"""Fitted peak, in full-resolution maps: per feature of ``feature_size``, and whatever that is."""

Side = Annotated[int, Field(ge=SHORTEST_SIDE, le=512, multiple_of=SIDE_MULTIPLE)]
Features = Annotated[int, Field(ge=1, le=4096)]
Heads = Annotated[int, Field(ge=1, le=128)]
Depth = Annotated[int, Field(ge=1, le=64)]


class UNesT(Architecture):
    """Arguments of the published ``UNesT`` of the whole-brain bundle, under its names.

    The one of the renal bundle is the same network with fixed sizes, which are the defaults here.
    """

    name: ClassVar[str] = "UNesT"
    targets: ClassVar[frozenset[str]] = frozenset(
        {
            "UNesT",
            "transformerseg.UNesT",
            "scripts.networks.unest_base_patch_4.UNesT",
            "scripts.networks.unest.UNesT",
        }
    )
    # The published classes take them and never look at them.
    irrelevant: ClassVar[frozenset[str]] = frozenset({"window_size", "conv_block", "dropout_rate"})

    img_size: Side | tuple[Side, Side, Side] = 96
    feature_size: int = Field(default=16, ge=1, le=128)
    patch_size: Literal[4] = 4
    embed_dim: tuple[Features, Features, Features] = (128, 256, 512)
    num_heads: tuple[Heads, Heads, Heads] = (4, 8, 16)
    depths: tuple[Depth, Depth, Depth] = (2, 2, 8)
    norm_name: Literal["instance"] = "instance"
    res_block: Literal[True] = True

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if len(set(sides_of(self.img_size))) > 1:
            raise ValueError("the image is a cube")
        if self.embed_dim[-1] != DEEPEST_FEATURES * self.feature_size:
            raise ValueError(f"the last of embed_dim is not {DEEPEST_FEATURES} times feature_size")
        for features, heads in zip(self.embed_dim, self.num_heads, strict=True):
            if features % heads:
                raise ValueError(f"{heads} heads do not divide the {features} features of a level")
        return self

    @classmethod
    def modern(cls, arguments: Mapping[str, object], trained_with_monai: str | None) -> dict[str, object]:
        return {name: value for name, value in arguments.items() if name not in cls.irrelevant}

    @property
    def _side(self) -> int:
        return sides_of(self.img_size)[0]

    def window_fault(self, roi_size: tuple[int, ...]) -> str | None:
        return fixed_window_fault((self._side,) * 3, roi_size)

    def activation_bytes(self, roi_size: tuple[int, ...]) -> int:
        """The larger of two peaks: the last block of the decoder, or its features beside the scores."""
        features = DECODER_FEATURES * self.feature_size + OTHER_FEATURES
        maps = max(features, 2 * self.feature_size + self.out_channels)
        return round(maps * self._side**3 * FLOAT32_BYTES) + WORKSPACE_BYTES

    def operations(self, roi_size: tuple[int, ...]) -> float:
        return self._transformer_operations() + self._decoder_operations()

    def _transformer_operations(self) -> float:
        grid = self._side // self.patch_size
        tokens, group = float(grid**3), (grid // 2 ** (LEVELS - 1)) ** 3
        total = convolution(tokens, self.in_channels, self.embed_dim[0], self.patch_size)
        for level, (features, depth) in enumerate(zip(self.embed_dim, self.depths, strict=True)):
            if level:
                total += convolution(tokens, self.embed_dim[level - 1], features)
                tokens /= UPSAMPLED
            block = attention(tokens, group, features) + perceptron(tokens, features, MLP_RATIO * features)
            total += depth * block
        return total

    def _decoder_operations(self) -> float:
        """From full resolution (level 0) to a 32nd of it (level 5)."""
        size, inputs, (finest, middle, _) = self.feature_size, self.in_channels, self.embed_dim
        levels = [float(self._side**3) / UPSAMPLED**level for level in range(6)]
        features = [2 * size, 4 * size, 8 * size, 16 * size, 32 * size, 64 * size]
        total = two_convolutions(levels[0], inputs, features[0]) + linear(levels[0], features[0], self.out_channels)
        total += upsampling(levels[2], finest, features[1]) + linear(levels[1], features[1], features[1])
        total += two_convolutions(levels[2], finest, features[2]) + two_convolutions(levels[3], middle, features[3])
        total += convolution(levels[5], features[4], features[5])
        return total + sum(joining(levels[level], features[level + 1], features[level]) for level in range(5))

    def module(self) -> torch.nn.Module:
        from TransformerSegLib.networks import unest_module

        fixed = {"norm_name", "res_block"}
        return unest_module.UNesT(**{**self.model_dump(exclude=fixed), "img_size": self._side})
