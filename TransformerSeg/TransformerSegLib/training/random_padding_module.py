"""Crops with a margin, for the training: images as if their files had been padded. Imported where training runs."""

from __future__ import annotations

import torch
from monai.transforms import Randomizable, Transform
from torch.nn.functional import pad

from TransformerSegLib.training.intensity import MeanAndDeviation
from TransformerSegLib.training.recipe import Recipe

SHARE = 0.25
"""Of the images that are padded."""


class RandomPadding(Randomizable, Transform):
    """Gives a share of the images up to ``recipe.padding_voxels`` more on every side, each side by itself.

    Of {"image": (C, X, Y, Z), "label": (1, X, Y, Z)}: half of these images get their lowest value there, as where a
    scanner saw air, the others their border repeated; labels get background. Where intensities are scaled by the mean
    and deviation of all voxels they are scaled again, since padding changes both. (Those of the non-zero voxels alone
    it does not change: there the air is zero.)
    """

    def __init__(self, recipe: Recipe) -> None:
        self._most = recipe.padding_voxels
        by_deviation = isinstance(recipe.scaling, MeanAndDeviation)
        self._air_is_zero = by_deviation and recipe.scaling.nonzero
        self._scale = recipe.scaling.transform() if by_deviation and not self._air_is_zero else None

    def randomize(self, data: object = None) -> tuple[list[int], bool]:
        """Widths as PyTorch's ``pad`` takes them, last axis first, and whether the border is repeated.

        As many numbers are drawn for an image that is not padded.
        """
        padded, repeat_border = self.R.random_sample() < SHARE, self.R.random_sample() < 0.5
        widths = [int(self.R.randint(0, most + 1)) if most else 0 for most in reversed(self._most) for _ in range(2)]
        return (widths if padded else [0] * len(widths)), bool(repeat_border)

    def __call__(self, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        widths, repeat_border = self.randomize()
        if not any(widths):
            return data
        image = data["image"]
        if repeat_border:
            image = pad(image[None], widths, mode="replicate")[0]
        else:
            image = pad(image, widths, value=0.0 if self._air_is_zero else float(image.min()))
        if self._scale is not None:
            image = self._scale({"image": image})["image"]
        return {**data, "image": image, "label": pad(data["label"], widths)}
