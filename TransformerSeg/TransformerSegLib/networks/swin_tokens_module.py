"""The blocks of a Swin transformer in evaluation mode. Imports torch: only modules of networks import it.

As MONAI's ``SwinTransformerBlock`` (see ``shifted_windows_module`` for the paper), with windows, masks and position
bias computed once, attention by torch's fused function once for each kind of mask, and few tokens at a time, so that
they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from TransformerSegLib.networks.shifted_windows_module import ShiftedWindows, shifted_windows

BYTES_AT_ONCE = 8 * 1024**2
"""What the widest features of tokens that are worked on together may take on a CPU."""

FLOAT32_BYTES = 4


class WindowedAttention(nn.Module):
    """Attention within windows, with a learnt bias for the way from one token to another.

    Args:
        qkv, proj: the layers before and after the attention.
        heads: of the attention.
        scale: of its scores.
        table: (ways, heads), the biases.
        ways: (n, n), the row of the table for each pair of tokens of a window.
    """

    def __init__(
        self, qkv: nn.Module, proj: nn.Module, heads: int, scale: float, table: torch.Tensor, ways: torch.Tensor
    ) -> None:
        super().__init__()
        self.qkv, self.proj, self._heads, self._scale = qkv, proj, heads, scale
        self._table = table
        self.register_buffer("_ways", ways, persistent=False)
        self._bias: tuple[tuple[int, ...], torch.Tensor] | None = None

    def forward(self, seen: torch.Tensor, windows: ShiftedWindows, first: int) -> torch.Tensor:
        """(B, windows, n, C) → the same, of the windows from ``first`` on."""
        batch, count, length, features = seen.shape
        projected = self.qkv(seen).view(batch, count, length, 3, self._heads, -1).permute(3, 0, 1, 4, 2, 5)
        bias = self._position_bias(windows.sides)
        made = []
        for kind, (start, stop) in enumerate(windows.kinds):
            start, stop = max(start - first, 0), min(stop - first, count)
            if start >= stop:
                continue
            added = bias if windows.masks is None else bias + windows.masks[kind]
            query, key, value = projected[:, :, start:stop].flatten(1, 2)
            added = added.to(query.dtype).expand(len(query), -1, -1, -1)
            answer = scaled_dot_product_attention(query, key, value, attn_mask=added, scale=self._scale)
            made.append(answer.transpose(1, 2).reshape(batch, stop - start, length, features))
        return self.proj(made[0] if len(made) == 1 else torch.cat(made, dim=1))

    def _position_bias(self, sides: tuple[int, int, int]) -> torch.Tensor:
        """(heads, n, n). In a window that was clipped, MONAI takes the first of the whole window's positions."""
        if self._bias is None or self._bias[0] != sides or self._bias[1].device != self._table.device:
            length = sides[0] * sides[1] * sides[2]
            self._bias = sides, self._table[self._ways[:length, :length]].permute(2, 0, 1).contiguous()
        return self._bias[1]


class SwinBlock(nn.Module):
    """Window attention and a perceptron, each with a residual.

    Args:
        norms: before the one, and before the other.
        widest: the perceptron's hidden features.
        window, shift: in tokens, along D, H, W.
    """

    def __init__(
        self,
        norms: tuple[nn.Module, nn.Module],
        attention: WindowedAttention,
        perceptron: nn.Module,
        widest: int,
        window: tuple[int, int, int],
        shift: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = norms
        self.attention, self.perceptron = attention, perceptron
        self._widest, self._window, self._shift = widest, window, shift
        self._windows: tuple[tuple[object, ...], ShiftedWindows] | None = None

    @classmethod
    def of_monai(cls, block: nn.Module) -> SwinBlock:
        """Its weights are shared."""
        table, ways = block.attn.relative_position_bias_table, block.attn.relative_position_index
        attention = WindowedAttention(
            block.attn.qkv, block.attn.proj, block.attn.num_heads, block.attn.scale, table, ways
        )
        return cls(
            (block.norm1, block.norm2),
            attention,
            block.mlp,
            block.mlp.linear1.out_features,
            tuple(block.window_size),
            tuple(block.shift_size),
        )

    def forward(self, tokens: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        """(B, D·H·W, C) → the same."""
        tokens = self._attended(tokens, self._windows_of(grid, tokens.device)).add_(tokens)
        for start, stop in parts(tokens.shape[1], self._widest * len(tokens), tokens.device):
            some = tokens[:, start:stop]
            some += self.perceptron(self.norm2(some))
        return tokens

    def _windows_of(self, grid: tuple[int, int, int], device: torch.device) -> ShiftedWindows:
        """Those of the grid that was last seen are kept."""
        kept = self._windows
        if kept is None or kept[0] != (grid, device):
            kept = self._windows = (grid, device), shifted_windows(grid, self._window, self._shift, device)
        return kept[1]

    def _attended(self, tokens: torch.Tensor, windows: ShiftedWindows) -> torch.Tensor:
        batch, _, features = tokens.shape
        count, length = windows.tokens.shape
        made = tokens.new_empty(batch, count, length, features)
        for start, stop in parts(count, 3 * length * features * batch, tokens.device):
            seen = self.norm1(tokens.index_select(1, windows.tokens[start:stop].flatten()))
            if windows.filling is not None:
                seen.masked_fill_(windows.filling[start:stop].view(1, -1, 1), 0.0)
            made[:, start:stop] = self.attention(seen.view(batch, stop - start, length, features), windows, start)
        return made.view(batch, -1, features).index_select(1, windows.places)


def parts(count: int, numbers: int, device: torch.device) -> Iterator[tuple[int, int]]:
    """Ranges of ``count`` things, of so many numbers each, that go together; on a GPU all."""
    step = max(1, BYTES_AT_ONCE // (numbers * FLOAT32_BYTES)) if device.type == "cpu" else count
    for start in range(0, count, step):
        yield start, min(start + step, count)


class SwinStage(nn.Module):
    """One stage: blocks, then a merging of patches.

    Args:
        layer: MONAI's ``BasicLayer``.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SwinBlock.of_monai(block) for block in layer.blocks)
        self.merging = layer.downsample

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D, H, W, C) → (B, ⌈D/2⌉, ⌈H/2⌉, ⌈W/2⌉, 2C)."""
        grid = tuple(features.shape[1:4])
        tokens = features.flatten(1, 3)
        for block in self.blocks:
            tokens = block(tokens, grid)
        return self.merging(tokens.view(features.shape))


class PatchTokens(nn.Module):
    """MONAI's ``PatchEmbed``: patches that do not overlap, as one matrix product.

    Args:
        embedding: MONAI's.
    """

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self.sides, self.norm = embedding.patch_size, embedding.norm
        self.projection = embedding.proj
        self.register_buffer("_matrix", embedding.proj.weight.flatten(1), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, C, D, H, W), sides multiples of a patch's → (B, D', H', W', features)."""
        for axis, side in zip((2, 4, 6), self.sides, strict=True):
            image = image.unflatten(axis, (-1, side))
        patches = image.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)
        made = torch.nn.functional.linear(patches, self._matrix, self.projection.bias)
        return made if self.norm is None else self.norm(made)


def without_scale(features: torch.Tensor) -> torch.Tensor:
    """(…, C), each voxel normalised over its features: MONAI's ``proj_out`` with ``normalize``."""
    return layer_norm(features, features.shape[-1:])
