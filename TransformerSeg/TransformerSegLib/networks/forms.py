"""Other forms of a network, each with more or less work than the plain one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def in_bfloat16(network: torch.nn.Module) -> torch.nn.Module:
    """``network`` with weights and features of 16 bits; see ``bfloat16_module``. Scores come as float32.

    Args:
        network: plain, in evaluation mode; it stays as it is.
    """
    from TransformerSegLib.networks.bfloat16_module import InBfloat16

    return InBfloat16(network)


def mirrored(network: torch.nn.Module, axes: Sequence[int]) -> torch.nn.Module:
    """``network``, averaged over mirror images along these axes of its window; itself where there are none."""
    if not axes:
        return network
    from TransformerSegLib.networks.mirrored_module import Mirrored

    return Mirrored(network, tuple(axes)).eval()
