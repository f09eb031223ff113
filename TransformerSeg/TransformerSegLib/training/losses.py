"""What a fine-tuning makes smaller: Dice loss (Milletari et al., "V-Net", https://arxiv.org/abs/1606.04797) and
cross-entropy, by MONAI and torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from TransformerSegLib.networks.registry import configured
from TransformerSegLib.training.deep_supervision import head_weights, heads
from TransformerSegLib.training.recipe import Recipe

if TYPE_CHECKING:
    import torch

SMOOTHING = {"smooth_nr": 1e-3, "smooth_dr": 1e-3}
"""Added above and below the line: a class that a patch does not show costs nothing where it is not found."""


def loss(recipe: Recipe) -> Callable[[torch.Tensor | list[torch.Tensor], torch.Tensor], torch.Tensor]:
    """The loss that a recipe asks for.

    Returns:
        What takes logits (B, channels, …), and labels (B, 1, …), each a class, or (B, channels, …), each 0 or 1, where
        classes overlap. With deep supervision it takes the logits of all heads, the finest first; the labels of the
        coarser ones are those of the nearest voxels.
    """
    own = _overlapping(recipe) if recipe.overlapping else _exclusive(recipe)
    count = heads(configured(recipe.architecture, recipe.network)) if recipe.deep_supervision else 1
    if count == 1:
        return own
    from monai.losses import DeepSupervisionLoss

    return DeepSupervisionLoss(own, weights=head_weights(count))


def _exclusive(recipe: Recipe):
    """Dice of the classes without the background, after softmax, and cross-entropy."""
    from monai.losses import DiceCELoss, DiceLoss

    kind = DiceLoss if recipe.loss == "dice" else DiceCELoss
    return kind(include_background=False, to_onehot_y=True, softmax=True, **SMOOTHING)


def _overlapping(recipe: Recipe):
    """Dice of every channel, after sigmoid, and binary cross-entropy.

    (MONAI's ``DiceCELoss`` would compare all channels by one cross-entropy, which is for classes that exclude each
    other.)
    """
    from monai.losses import DiceLoss
    from torch.nn import BCEWithLogitsLoss, Module

    dice = DiceLoss(sigmoid=True, **SMOOTHING)
    if recipe.loss == "dice":
        return dice

    class DiceAndBinaryCrossEntropy(Module):
        def __init__(self) -> None:
            super().__init__()
            self.dice, self.cross_entropy = dice, BCEWithLogitsLoss()

        def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return self.dice(logits, labels) + self.cross_entropy(logits, labels.to(logits.dtype))

    return DiceAndBinaryCrossEntropy()
