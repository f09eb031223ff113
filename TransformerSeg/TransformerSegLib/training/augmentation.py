"""What a training patch goes through, from the file to the network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.training.recipe import Recipe

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from monai.transforms import Compose

ROTATION_RADIANS = math.radians(15)
SHEAR = 0.05
ZOOM = 0.2
ELASTIC_SIGMA_VOXELS = (5.0, 8.0)
ELASTIC_MAGNITUDE_VOXELS = (30.0, 120.0)


def preparation(recipe: Recipe) -> list:
    """The deterministic part, which the exported bundle repeats at inference; results are kept in memory.

    Returns:
        MONAI dictionary transforms for the keys "image" and "label".
    """
    from monai.transforms import EnsureTyped, Lambdad, NormalizeIntensityd, Orientationd, Spacingd

    both = ["image", "label"]
    return [
        Lambdad(both, _read),
        Orientationd(both, axcodes=recipe.axcodes, labels=None),
        Spacingd(both, pixdim=recipe.spacing_mm, mode=("bilinear", "nearest")),
        NormalizeIntensityd("image"),
        EnsureTyped(both, track_meta=False),
    ]


def augmentation(recipe: Recipe) -> Compose:
    """The random part: one patch of ``recipe.patch`` voxels from anywhere around the image's centre.

    Half of the patches see zeros (the mean) outside the image, half its border repeated.
    """
    from monai.transforms import (
        Compose,
        OneOf,
        RandAdjustContrastd,
        RandFlipd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
        RandShiftIntensityd,
        RandSimulateLowResolutiond,
    )

    both = ["image", "label"]
    return Compose(
        [
            OneOf(
                [_patch(recipe, outside, elastic) for elastic in (False, True) for outside in ("zeros", "border")],
                weights=(0.35, 0.35, 0.15, 0.15),
            ),
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in recipe.flip_axes),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.65, 1.5)),
            RandGaussianSmoothd("image", prob=0.1, sigma_x=(0.3, 0.8), sigma_y=(0.3, 0.8), sigma_z=(0.3, 0.8)),
            RandSimulateLowResolutiond("image", prob=0.15, zoom_range=(0.5, 1.0)),
            RandScaleIntensityd("image", prob=1.0, factors=0.2),
            RandShiftIntensityd("image", prob=1.0, offsets=0.2),
            RandGaussianNoised("image", prob=0.2, std=0.15),
        ]
    )


def _read(path: str) -> MetaTensor:
    """One volume, (1, I, J, K) float32, by the reader that reads it at inference."""
    import torch
    from monai.data import MetaTensor

    volume = read_volume(path)
    return MetaTensor(torch.from_numpy(volume.array.astype(np.float32)[None]), affine=torch.from_numpy(volume.affine))


def _patch(recipe: Recipe, outside: str, elastic: bool):
    from monai.transforms import Rand3DElasticd, RandAffined

    geometry = {
        "keys": ["image", "label"],
        "spatial_size": recipe.patch,
        "prob": 1.0,
        "rotate_range": (ROTATION_RADIANS,) * 3,
        "shear_range": (SHEAR,) * 6,
        "scale_range": (ZOOM,) * 3,
        "translate_range": recipe.margin_voxels,
        "mode": ("bilinear", "nearest"),
        "padding_mode": (outside, "zeros"),
    }
    if elastic:
        return Rand3DElasticd(sigma_range=ELASTIC_SIGMA_VOXELS, magnitude_range=ELASTIC_MAGNITUDE_VOXELS, **geometry)
    return RandAffined(**geometry)
