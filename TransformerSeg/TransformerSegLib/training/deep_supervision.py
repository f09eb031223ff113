"""Training the inner heads of a network beside the last one: Lee et al., "Deeply-Supervised Nets",
https://arxiv.org/abs/1409.5185; with the weights of nnU-Net (Isensee et al. 2021), which halve from head to head.
"""

from __future__ import annotations

from TransformerSegLib.networks.architecture import Architecture
from TransformerSegLib.networks.transunet import TransUNet


def heads(architecture: Architecture) -> int:
    """How many maps a network gives in training: 1, or one for each of its decoder's blocks."""
    if isinstance(architecture, TransUNet) and architecture.multi_scale:
        return len(architecture.decoder_channels)
    return 1


def head_weights(count: int) -> list[float]:
    """1, ½, ¼, …, the finest head first, divided by their sum."""
    halves = [0.5**head for head in range(count)]
    return [half / sum(halves) for half in halves]
