"""How a network is measured while it is trained: on whole volumes of the model's grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from TransformerSegLib.training.recipe import VOLUME_AXES, Recipe
from TransformerSegLib.training.zoomed_slices import zoomed_back, zoomed_images

if TYPE_CHECKING:
    import torch
    from monai.metrics import DiceMetric

SLICES_AT_A_TIME = 8

Network = Callable[["torch.Tensor"], "torch.Tensor"]


def inferer(recipe: Recipe) -> Callable[[torch.Tensor, Network], torch.Tensor]:
    """What takes an image (1, inputs, X, Y, Z) and a network in evaluation mode, and gives its logits
    (1, channels, X, Y, Z): window by window, or slice by slice, as the exported bundle will.
    """
    from monai.inferers import SlidingWindowInferer

    if recipe.axes == VOLUME_AXES:
        return SlidingWindowInferer(recipe.patch, 1, recipe.overlap, mode="gaussian")
    return lambda image, network: _slice_by_slice(recipe, image[0], network)


def _slice_by_slice(recipe: Recipe, image: torch.Tensor, network: Network) -> torch.Tensor:
    import torch

    seen = zoomed_images(image.cpu(), recipe.patch[1:]).transpose(0, 1).to(image.device)
    scores = torch.cat([network(part) for part in seen.split(SLICES_AT_A_TIME)])
    back = zoomed_back(scores, tuple(image.shape[2:]), recipe.overlapping)
    return back.transpose(0, 1)[None]


def decided(recipe: Recipe, logits: torch.Tensor) -> torch.Tensor:
    """Labels of logits (1, channels, X, Y, Z): (1, 1, X, Y, Z), the class of each voxel, or (1, 3, X, Y, Z), each 0 or
    1, where classes overlap: those whose probability is at least a half.
    """
    return (logits >= 0).float() if recipe.overlapping else logits.argmax(1, keepdim=True)


def dice_metric(recipe: Recipe) -> DiceMetric:
    """Dice of what ``decided`` gives and of a validation case's labels: one number a class, in the channels' order."""
    from monai.metrics import DiceMetric

    if recipe.overlapping:
        return DiceMetric()
    return DiceMetric(include_background=False, num_classes=recipe.outputs)
