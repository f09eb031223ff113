"""Swin UNETR: Hatamizadeh et al., "Swin UNETR: Swin Transformers for Semantic Segmentation of Brain Tumors in MRI
Images", https://arxiv.org/abs/2201.01266. The module is MONAI's ``monai.networks.nets.SwinUNETR``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.architecture import FLOAT32_BYTES, WORKSPACE_BYTES, Architecture, Rate
from TransformerSegLib.networks.arguments import Flag
from TransformerSegLib.networks.operations import (
    UPSAMPLED,
    attention,
    convolution,
    joining,
    linear,
    perceptron,
    two_convolutions,
)

if TYPE_CHECKING:
    import torch

SIDE_MULTIPLE = 32
"""The patch embedding and four mergings halve each side five times."""

MERGING_CHANGED_IN = (1, 5)
"""The version of MONAI from which on ``downsample="merging"`` takes each of the eight corners once."""

LEGACY_MERGING = "legacy"
"""Our name for ``downsample="merging"`` as MONAI 0.9 to 1.4 computed it: same keys, same shapes, other answers."""

LEGACY_CORNERS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))
"""The corners of each 2×2×2 block, in the order in which MONAI 0.9 to 1.4 joined their features: 010 and 001 come
twice, 110 and 011 never. All Swin UNETR weights published for BTCV and BraTS21 were trained with it."""

ATTENTION_COPIES, EARLY_FEATURES, DECODER_FEATURES = 2.35, 2.54, 9.3
"""Fitted peaks, in copies of the first stage's attention weights and of one full-resolution feature map."""

Heads = Annotated[int, Field(ge=1, le=128)]
Depth = Annotated[int, Field(ge=1, le=32)]
WindowSide = Annotated[int, Field(ge=1, le=16)]


class SwinUNETR(Architecture):
    """Arguments of ``monai.networks.nets.SwinUNETR``, under its names."""

    name: ClassVar[str] = "SwinUNETR"
    targets: ClassVar[frozenset[str]] = frozenset(
        {"SwinUNETR", "monai.networks.nets.SwinUNETR", "monai.networks.nets.swin_unetr.SwinUNETR"}
    )
    # img_size: only checked, never used, by MONAI up to 1.4. The other two trade memory or time, not results.
    irrelevant: ClassVar[frozenset[str]] = frozenset({"img_size", "use_checkpoint", "use_flash_attention"})

    patch_size: Literal[2] = 2
    depths: tuple[Depth, Depth, Depth, Depth] = (2, 2, 2, 2)
    num_heads: tuple[Heads, Heads, Heads, Heads] = (3, 6, 12, 24)
    window_size: WindowSide | tuple[WindowSide, WindowSide, WindowSide] = 7
    qkv_bias: Flag = True
    mlp_ratio: float = Field(default=4.0, gt=0.0, le=16.0)
    feature_size: int = Field(default=24, ge=12, le=384, multiple_of=12)
    norm_name: Literal["instance", "batch"] = "instance"
    drop_rate: Rate = 0.0
    attn_drop_rate: Rate = 0.0
    dropout_path_rate: Rate = 0.0
    normalize: Flag = True
    patch_norm: Flag = False
    spatial_dims: Literal[3] = 3
    downsample: Literal["merging", "mergingv2", "legacy"] = "merging"
    use_v2: Flag = False

    @model_validator(mode="after")
    def _heads_divide_features(self) -> Self:
        for stage, heads in enumerate(self.num_heads):
            if self.feature_size * 2**stage % heads:
                raise ValueError(f"{heads} heads do not divide the {self.feature_size * 2**stage} features of a stage")
        return self

    @classmethod
    def modern(cls, arguments: Mapping[str, object], trained_with_monai: str | None) -> dict[str, object]:
        """The merging order is settled here: see ``LEGACY_MERGING``.

        Raises:
            BundleRejected: nothing tells with which order of merging the weights were trained.
        """
        modern = {name: value for name, value in arguments.items() if name not in cls.irrelevant}
        if modern.get("downsample", "merging") == "merging":
            modern["downsample"] = LEGACY_MERGING if is_before_change(trained_with_monai) else "merging"
        return modern

    @classmethod
    def depends_on_monai(cls, arguments: Mapping[str, object]) -> bool:
        return arguments.get("downsample", "merging") == "merging"

    def window_fault(self, roi_size: tuple[int, int, int]) -> str | None:
        if any(side % SIDE_MULTIPLE for side in roi_size):
            return f"its sides are not multiples of {SIDE_MULTIPLE}"
        if max(roi_size) == SIDE_MULTIPLE:
            return f"one of its sides must be longer than {SIDE_MULTIPLE}, for a single voxel cannot be normalised"
        return None

    @property
    def _window_sides(self) -> tuple[int, int, int]:
        return (self.window_size,) * 3 if isinstance(self.window_size, int) else self.window_size

    def activation_bytes(self, roi_size: tuple[int, int, int]) -> int:
        """The larger of two peaks: the attention of the first stage, or the last block of the decoder."""
        voxels, tokens = math.prod(roi_size), [side // self.patch_size for side in roi_size]
        sides = self._window_sides
        blocks = math.prod(math.ceil(token / side) for token, side in zip(tokens, sides, strict=True))
        attention = blocks * self.num_heads[0] * math.prod(sides) ** 2 * FLOAT32_BYTES
        features = self.feature_size * voxels * FLOAT32_BYTES
        peak = max(ATTENTION_COPIES * attention + EARLY_FEATURES * features, DECODER_FEATURES * features)
        return round(peak) + WORKSPACE_BYTES

    def operations(self, roi_size: tuple[int, int, int]) -> float:
        voxels = float(math.prod(roi_size))
        return self._encoder_operations(roi_size) + self._decoder_operations(voxels)

    def _encoder_operations(self, roi_size: tuple[int, int, int]) -> float:
        """Patch embedding, and four stages of blocks, each with a merging of patches behind it."""
        grid = [side // self.patch_size for side in roi_size]
        total = convolution(math.prod(grid), self.in_channels, self.feature_size, self.patch_size)
        for stage, depth in enumerate(self.depths):
            features, tokens = self.feature_size * 2**stage, math.prod(grid)
            # A window is no longer than the grid; the grid is filled up to whole windows.
            sides = [min(side, length) for side, length in zip(self._window_sides, grid, strict=True)]
            filled = math.prod(math.ceil(length / side) * side for length, side in zip(grid, sides, strict=True))
            block = attention(filled, math.prod(sides), features)
            block += perceptron(tokens, features, int(features * self.mlp_ratio))
            total += depth * block + (two_convolutions(tokens, features, features) if self.use_v2 else 0.0)
            total += linear(tokens / UPSAMPLED, UPSAMPLED * features, 2 * features)
            grid = [length // 2 for length in grid]
        return total

    def _decoder_operations(self, voxels: float) -> float:
        """From full resolution (level 0) to a 32nd of it (level 5): what comes from the encoder, and going back up."""
        size = self.feature_size
        features = [size, size, 2 * size, 4 * size, 8 * size, 16 * size]
        levels = [voxels / UPSAMPLED**level for level in range(len(features))]
        total = two_convolutions(voxels, self.in_channels, size) + linear(voxels, size, self.out_channels)
        total += sum(two_convolutions(levels[level], features[level], features[level]) for level in (1, 2, 3, 5))
        return total + sum(joining(levels[level], features[level + 1], features[level]) for level in range(5))

    @property
    def has_fast_form(self) -> bool:
        return self.norm_name == "instance"

    def module(self) -> torch.nn.Module:
        from monai.networks import nets

        arguments: dict[str, Any] = self.model_dump()
        if self.downsample == LEGACY_MERGING:
            arguments["downsample"] = _legacy_patch_merging()
        return nets.SwinUNETR(**arguments)

    @property
    def has_layers(self) -> bool:
        return self.has_fast_form

    def layers(self) -> torch.nn.Module:
        from TransformerSegLib.networks.swin_unetr_layers_module import (
            CORNERS,
            CORNERS_OF_MERGING,
            Kind,
            SwinUNETRLayers,
        )

        corners = {LEGACY_MERGING: LEGACY_CORNERS, "merging": CORNERS_OF_MERGING, "mergingv2": CORNERS}
        kind = Kind(
            self.in_channels,
            self.out_channels,
            self.feature_size,
            self.depths,
            self.num_heads,
            self._window_sides,
            self.mlp_ratio,
            self.qkv_bias,
            self.patch_norm,
            self.normalize,
            self.use_v2,
            corners[self.downsample],
        )
        return SwinUNETRLayers(kind)


MERGINGS_TOLD = {
    LEGACY_MERGING: "as MONAI 0.9 to 1.4",
    "merging": "as MONAI 1.5 and later",
    "mergingv2": "as “mergingv2” of MONAI",
}


def merging_told(arguments: Mapping[str, object]) -> str:
    """The order in which a Swin UNETR of these arguments merges patches, in words."""
    return MERGINGS_TOLD[str(arguments.get("downsample", "merging"))]


def is_before_change(monai_version: str | None) -> bool:
    """Whether this version of MONAI merges patches as 0.9 to 1.4 did.

    Raises:
        BundleRejected: it is no version.
    """
    numbers = re.match(r"(\d+)\.(\d+)", monai_version or "")
    if numbers is None:
        raise BundleRejected(
            "The bundle does not say with which version of MONAI its weights were trained",
            why="MONAI 1.5 changed how Swin UNETR merges patches, so the weights have two meanings",
            remedy="Enter that version as “monai_version” in the bundle's configs/metadata.json",
        )
    return (int(numbers[1]), int(numbers[2])) < MERGING_CHANGED_IN


@cache
def _legacy_patch_merging() -> type[torch.nn.Module]:
    import torch
    from monai.networks.nets.swin_unetr import PatchMergingV2

    class LegacyPatchMerging(PatchMergingV2):
        """Swin's patch merging with ``LEGACY_CORNERS``: (B, D, H, W, C), even sides → (B, D/2, H/2, W/2, 2C)."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            corners = [x[:, i::2, j::2, k::2, :] for i, j, k in LEGACY_CORNERS]
            return self.reduction(self.norm(torch.cat(corners, dim=-1)))

    return LegacyPatchMerging
