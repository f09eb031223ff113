"""How many floating-point operations the parts of a network take; a multiplication and its addition are two."""

from __future__ import annotations

UPSAMPLED = 8
"""Voxels that a transposed convolution of stride 2 makes of one."""


def linear(tokens: float, inputs: int, outputs: int) -> float:
    """A linear layer, or a convolution with a kernel of one voxel."""
    return 2.0 * tokens * inputs * outputs


def convolution(voxels: float, inputs: int, outputs: int, kernel: int = 3, axes: int = 3) -> float:
    """A convolution with a kernel of so many voxels' length along so many axes that makes so many voxels."""
    return linear(voxels, inputs, outputs) * kernel**axes


def upsampling(voxels: float, inputs: int, outputs: int) -> float:
    """A transposed convolution, kernel and stride 2, of so many voxels."""
    return linear(voxels * UPSAMPLED, inputs, outputs)


def two_convolutions(voxels: float, inputs: int, outputs: int, residual: bool = True) -> float:
    """MONAI's ``UnetrBasicBlock`` with stride 1."""
    shortcut = linear(voxels, inputs, outputs) if residual and inputs != outputs else 0.0
    return convolution(voxels, inputs, outputs) + convolution(voxels, outputs, outputs) + shortcut


def joining(voxels: float, inputs: int, outputs: int, residual: bool = True) -> float:
    """MONAI's ``UnetrUpBlock``: twice as fine, joined with a skip connection; ``voxels`` are those that it makes."""
    up = upsampling(voxels / UPSAMPLED, inputs, outputs)
    return up + two_convolutions(voxels, 2 * outputs, outputs, residual)


def attention(tokens: float, group: int, features: int) -> float:
    """Self-attention with its projections, each token looking at all those of its group."""
    projections = linear(tokens, features, 3 * features) + linear(tokens, features, features)
    return projections + 2 * linear(tokens, group, features)


def perceptron(tokens: float, features: int, hidden: int) -> float:
    """Two linear layers, there and back."""
    return 2 * linear(tokens, features, hidden)
