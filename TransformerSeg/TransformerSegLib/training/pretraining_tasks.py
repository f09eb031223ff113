"""The three tasks that an encoder learns without labels, and their losses (Tang et al. 2022, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from TransformerSegLib.training.masking import masked
from TransformerSegLib.training.rotation import Plane, draw_turns, turned

if TYPE_CHECKING:
    import torch

    from TransformerSegLib.networks.swin_unetr_pretraining_module import Predictions

TEMPERATURE = 0.5
"""By which similarities are divided before they are compared, as in the authors' published trainer."""

TASKS = ("inpainting", "rotation", "contrastive")
"""As the log calls them."""


class Views(NamedTuple):
    """Two views of each of N sub-volumes: first those of one kind, then in the same order those of the other.

    Attributes:
        shown: (2N, C, I, J, K), turned and masked: what the network sees.
        whole: (2N, C, I, J, K), turned alone: what it is to reconstruct.
        turns: (2N,) int64, quarter turns 0…3.
    """

    shown: torch.Tensor
    whole: torch.Tensor
    turns: torch.Tensor


def two_views(volumes: torch.Tensor, plane: Plane, random: np.random.RandomState) -> Views:
    """Turn and mask each sub-volume twice, independently.

    Args:
        volumes: (N, C, I, J, K), N ≥ 2: the others are what a view is told apart from.
        plane: in which they are turned.
        random: where all numbers come from.
    """
    import torch

    sides = []
    for _ in range(2):
        turns = draw_turns(len(volumes), random)
        whole = turned(volumes, turns, plane)
        sides.append((masked(whole, random), whole, torch.from_numpy(turns).long().to(volumes.device)))
    return Views(*(torch.cat(parts) for parts in zip(*sides, strict=True)))


def task_losses(predictions: Predictions, views: Views) -> dict[str, torch.Tensor]:
    """The loss of each of ``TASKS``; they are added up with equal weights.

    Inpainting: mean absolute difference over all voxels, the masked and the others. Rotation: cross-entropy.
    Contrastive: the normalised, temperature-scaled cross-entropy of SimCLR (Chen et al. 2020,
    https://arxiv.org/abs/2002.05709, equation 1): of the other 2N − 1 views, which one shows the same sub-volume?

    Args:
        predictions: for ``views.shown``.
        views: what the predictions are of.
    """
    from monai.losses import ContrastiveLoss
    from torch.nn.functional import cross_entropy, l1_loss

    first, second = predictions.contrastive.chunk(2)
    return {
        "inpainting": l1_loss(predictions.reconstruction, views.whole),
        "rotation": cross_entropy(predictions.rotation, views.turns),
        "contrastive": ContrastiveLoss(temperature=TEMPERATURE)(first, second),
    }
