"""Weights that Google published for "An Image is Worth 16×16 Words" (``R50+ViT-B_16.npz`` and its like), as a start for
training a TransUNet: its ResNet and its transformer know photographs then, its decoder begins anew.

Names and orders of axes are those of JAX: kernels have their inputs before their outputs, convolutions (height, width,
inputs, outputs), attention (features, heads, features of a head), GroupNorm (1, 1, 1, channels).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

POSITIONS = "transformer.embeddings.position_embeddings"
JAX_POSITIONS = "Transformer/posembed_input/pos_embedding"

DECODER = ("decoder.", "segmentation_head.", "scale_heads.")
"""What a classifier of photographs does not have."""

OWNERS = (
    (r"transformer\.embeddings\.patch_embeddings", "embedding"),
    (r"transformer\.encoder\.encoder_norm", "Transformer/encoder_norm"),
    (r"transformer\.encoder\.layer\.(\d+)\.attention_norm", r"Transformer/encoderblock_\1/LayerNorm_0"),
    (r"transformer\.encoder\.layer\.(\d+)\.ffn_norm", r"Transformer/encoderblock_\1/LayerNorm_2"),
    (r"transformer\.encoder\.layer\.(\d+)\.ffn\.fc1", r"Transformer/encoderblock_\1/MlpBlock_3/Dense_0"),
    (r"transformer\.encoder\.layer\.(\d+)\.ffn\.fc2", r"Transformer/encoderblock_\1/MlpBlock_3/Dense_1"),
    (
        r"transformer\.encoder\.layer\.(\d+)\.attn\.(\w+)",
        r"Transformer/encoderblock_\1/MultiHeadDotProductAttention_1/\2",
    ),
    (r"transformer\.embeddings\.hybrid_model\.root\.conv", "conv_root"),
    (r"transformer\.embeddings\.hybrid_model\.root\.gn", "gn_root"),
    (r"transformer\.embeddings\.hybrid_model\.body\.(block\d+)\.(unit\d+)\.downsample", r"\1/\2/conv_proj"),
    (r"transformer\.embeddings\.hybrid_model\.body\.(block\d+)\.(unit\d+)\.(\w+)", r"\1/\2/\3"),
)
"""What a layer is called in TransUNet → there; the first that fits counts."""


@dataclass(frozen=True)
class JaxStart:
    """What such a file gives.

    Attributes:
        tensors: by their names in the network; float32.
        missing: names of the network's tensors that the file ought to give and does not, or not in their shape.
        unused: names of the file's arrays that the network has no place for (its classifier).
    """

    tensors: Mapping[str, torch.Tensor]
    missing: tuple[str, ...]
    unused: tuple[str, ...]


def is_jax(names: Mapping[str, object]) -> bool:
    """Whether arrays of these names come from such a file."""
    return JAX_POSITIONS in names and "embedding/kernel" in names


def from_jax(arrays: Mapping[str, np.ndarray], outline: Mapping[str, torch.Tensor]) -> JaxStart:
    """The arrays under the names, in the orders of axes, and with the table of positions of a TransUNet.

    Args:
        arrays: of the file.
        outline: every tensor of the network by its name; only shapes are read.
    """
    import torch

    tensors, missing, used = {}, [], set()
    for name, tensor in outline.items():
        if name.startswith(DECODER):
            continue
        source, shape = _jax_name(name), tuple(tensor.shape)
        given = _as_here(arrays[source], name, shape) if source in arrays else None
        if given is None:
            missing.append(name)
            continue
        tensors[name] = torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32))
        used.add(source)
    return JaxStart(tensors, tuple(missing), tuple(name for name in arrays if name not in used))


def resized_positions(table: np.ndarray, tokens: int) -> np.ndarray:
    """A table of positions for another number of tokens, linearly between those that it has.

    Args:
        table: (1, class token + side², features), or without the class token, which is dropped; row by row.
        tokens: another side².

    Returns:
        (1, tokens, features) float64, with the corners of the one grid on those of the other:
        ``scipy.ndimage.zoom`` with ``order=1``.
    """
    grid = table[0].astype(np.float64)
    if len(grid) != tokens:
        # The official loader takes the first row for the class token wherever the sizes differ.
        grid = grid[1:]
    old, new = isqrt(len(grid)), isqrt(tokens)
    if old == new:
        return grid[None]
    square = grid.reshape(old, old, -1)
    for axis in (0, 1):
        square = _stretched(square, new, axis)
    return square.reshape(1, tokens, -1)


def _stretched(values: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Linearly along one axis, its first and last value kept."""
    last = values.shape[axis] - 1
    places = np.linspace(0.0, last, length)
    before = np.minimum(places.astype(int), max(last - 1, 0))
    shape = [1] * values.ndim
    shape[axis] = length
    share = (places - before).reshape(shape)
    lower, upper = (np.take(values, index, axis) for index in (before, np.minimum(before + 1, last)))
    return lower * (1.0 - share) + upper * share


def _jax_name(name: str) -> str:
    if name == POSITIONS:
        return JAX_POSITIONS
    layer, _, kind = name.rpartition(".")
    for pattern, replacement in OWNERS:
        if match := re.fullmatch(pattern, layer):
            owner = match.expand(replacement)
            normalised = re.search(r"(norm|LayerNorm_\d|gn\w*)$", owner) is not None
            return f"{owner}/{'bias' if kind == 'bias' else 'scale' if normalised else 'kernel'}"
    return ""


def _as_here(array: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """An array in the order of axes of the tensor called ``name``; None where it does not fit."""
    if not np.issubdtype(array.dtype, np.floating):
        return None
    if name == POSITIONS:
        return resized_positions(array, shape[1]) if _is_table(array, *shape[1:]) else None
    match len(shape):
        case 4:
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        case 2:
            # A kernel's inputs come first, and over how many axes they go is told by their number.
            array = array.reshape(shape[1], shape[0]).T if array.size == shape[0] * shape[1] else array
        case _:
            array = array.reshape(-1)
    return array if array.shape == shape else None


def _is_table(array: np.ndarray, tokens: int, features: int) -> bool:
    if array.ndim != 3 or array.shape[0] != 1 or array.shape[2] != features:
        return False
    places = array.shape[1] - (array.shape[1] != tokens)
    return places > 0 and isqrt(places) ** 2 == places
