"""What a training patch goes through, from the file to the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.training.brats import regions
from TransformerSegLib.training.cases import Case, ClassName
from TransformerSegLib.training.labels import read_label
from TransformerSegLib.training.recipe import VOLUME_AXES, Recipe
from TransformerSegLib.training.zoomed_slices import zoomed_images, zoomed_labels

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from monai.transforms import Compose

BOTH = ["image", "label"]

BENT_SHARE = 1 / 3
"""Of the patches that are deformed at all."""

OUTSIDE = ("zeros", "border")
ROTATION_RADIANS = math.radians(15)
SHEAR = 0.05
ZOOM = 0.15
ELASTIC_SIGMA_VOXELS = (5.0, 8.0)
ELASTIC_MAGNITUDE_VOXELS = (30.0, 120.0)

BRATS_INTENSITY = 0.1
"""By which share of itself, and by how many deviations, an image is scaled and shifted at most: as published."""


def preparation(recipe: Recipe, classes: Sequence[ClassName] = ()) -> list:
    """The deterministic part, which the exported bundle repeats at inference; results are kept in memory.

    Args:
        classes: by whose names the labels of a segmentation file are told.

    Returns:
        MONAI dictionary transforms for the keys "image" (of the files) and "label" (of the case).
    """
    from monai.transforms import EnsureTyped

    return [*_reading(recipe, classes), recipe.scaling.transform(), EnsureTyped(BOTH, track_meta=False)]


def before_augmentation(recipe: Recipe, classes: Sequence[ClassName] = ()) -> list:
    """The deterministic part of what is trained on.

    The general preparation is that of inference; slices are then made as large as the network wants them. For BraTS it
    is the box around what is brighter than 0, each side a multiple of the patch's: intensities follow in the patch.
    """
    from monai.transforms import CropForegroundd, EnsureTyped, Lambdad

    if recipe.preparation == "brats":
        box = CropForegroundd(BOTH, source_key="image", k_divisible=recipe.patch, allow_smaller=True)
        return [*_reading(recipe, classes), box, EnsureTyped(BOTH, track_meta=False)]
    steps = preparation(recipe, classes)
    if recipe.axes == VOLUME_AXES:
        return steps
    size = recipe.patch[1:]
    return [
        *steps,
        Lambdad("image", partial(zoomed_images, size=size)),
        Lambdad("label", partial(zoomed_labels, size=size)),
    ]


def augmentation(recipe: Recipe) -> Compose:
    """The random part, which ends with one patch of ``recipe.patch`` voxels, or with a list of slices."""
    if recipe.preparation == "brats":
        return _for_brats(recipe)
    return _general(recipe) if recipe.axes == VOLUME_AXES else _of_slices(recipe)


def _reading(recipe: Recipe, classes: Sequence[ClassName]) -> list:
    """Image and labels of a case, brought to the recipe's orientation and spacing."""
    from monai.transforms import Lambdad, Orientationd, Spacingd

    # No lambdas: what loads patches in another process is sent there.
    labels = partial(_labels, classes=tuple(classes), overlapping=recipe.overlapping)
    steps: list = [Lambdad("image", _images), Lambdad("label", labels)]
    if recipe.axcodes is not None:
        steps.append(Orientationd(BOTH, axcodes=recipe.axcodes, labels=None))
    if recipe.spacing_mm is not None:
        steps.append(Spacingd(BOTH, pixdim=recipe.spacing_mm, mode=("bilinear", "nearest")))
    return steps


def _images(case: Case) -> MetaTensor:
    """(inputs, I, J, K) float32, by the reader that reads it at inference."""
    volumes = [read_volume(path) for path in case.images]
    return _tensor(np.stack([volume.array.astype(np.float32) for volume in volumes]), volumes[0].affine)


def _labels(case: Case, classes: Sequence[ClassName], overlapping: bool) -> MetaTensor:
    """(1, I, J, K) float32, the class of each voxel; or a channel a region, (3, I, J, K)."""
    volume = read_label(case, classes, overlapping=overlapping)
    channels = regions(volume.array, volume.name) if overlapping else volume.array[None]
    return _tensor(channels.astype(np.float32), volume.affine)


def _tensor(array: np.ndarray, affine: np.ndarray) -> MetaTensor:
    import torch
    from monai.data import MetaTensor

    return MetaTensor(torch.from_numpy(array), affine=torch.from_numpy(affine))


def _general(recipe: Recipe) -> Compose:
    """One patch from anywhere in the image, shifted alone, or turned, or bent, too.

    Half of the patches see zeros (the mean) outside the image, half its border repeated.
    """
    from monai.transforms import Compose, OneOf

    deformed = recipe.deformed_share
    shares = {"shifted": 1 - deformed, "turned": deformed * (1 - BENT_SHARE), "bent": deformed * BENT_SHARE}
    return Compose(
        [
            *_padding(recipe),
            *_region(recipe),
            OneOf(
                [_patch(recipe, how, outside) for how in shares for outside in OUTSIDE],
                weights=[share / len(OUTSIDE) for share in shares.values() for _ in OUTSIDE],
            ),
            *_flips(recipe),
            *_intensities(recipe.axes),
        ]
    )


def _of_slices(recipe: Recipe) -> Compose:
    """As many slices as the recipe says, from anywhere in the volume, each turned and shifted by itself."""
    from monai.transforms import Compose, OneOf, RandSpatialCropSamplesd, SqueezeDimd

    slices, *size = recipe.patch
    return Compose(
        [
            RandSpatialCropSamplesd(BOTH, roi_size=(1, *size), num_samples=slices, random_size=False),
            SqueezeDimd(BOTH, dim=1),
            OneOf([_turned_slice(recipe, outside) for outside in OUTSIDE]),
            *_flips(recipe),
            *_intensities(recipe.axes),
        ]
    )


def _for_brats(recipe: Recipe) -> Compose:
    """As Swin UNETR was trained (SwinUNETR/BRATS21/utils/data_utils.py of Project-MONAI/research-contributions):
    a patch from anywhere in the box, mirrored, scaled by what it shows itself; then brighter or darker.
    """
    from monai.transforms import Compose, RandScaleIntensityd, RandShiftIntensityd, RandSpatialCropd

    return Compose(
        [
            RandSpatialCropd(BOTH, roi_size=recipe.patch, random_size=False),
            *_flips(recipe),
            recipe.scaling.transform(),
            RandScaleIntensityd("image", factors=BRATS_INTENSITY, prob=1.0),
            RandShiftIntensityd("image", offsets=BRATS_INTENSITY, prob=1.0),
        ]
    )


def _region(recipe: Recipe) -> list:
    if not recipe.labelled_share:
        return []
    from TransformerSegLib.training.random_region_module import RandomRegion

    return [RandomRegion(recipe)]


def _padding(recipe: Recipe) -> list:
    if not any(recipe.padding_voxels):
        return []
    from TransformerSegLib.training.random_padding_module import RandomPadding

    return [RandomPadding(recipe)]


def _flips(recipe: Recipe) -> list:
    from monai.transforms import RandFlipd

    return [RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in recipe.flip_axes]


def _intensities(axes: int) -> list:
    from monai.transforms import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
        RandShiftIntensityd,
        RandSimulateLowResolutiond,
    )

    smooth = "trilinear" if axes == VOLUME_AXES else "bilinear"
    return [
        RandAdjustContrastd("image", prob=0.3, gamma=(0.65, 1.5)),
        RandGaussianSmoothd("image", prob=0.1, sigma_x=(0.3, 0.8), sigma_y=(0.3, 0.8), sigma_z=(0.3, 0.8)),
        RandSimulateLowResolutiond("image", prob=0.15, upsample_mode=smooth, zoom_range=(0.5, 1.0)),
        RandScaleIntensityd("image", prob=1.0, factors=0.2),
        RandShiftIntensityd("image", prob=1.0, offsets=0.2),
        RandGaussianNoised("image", prob=0.2, std=0.15),
    ]


def _patch(recipe: Recipe, how: str, outside: str):
    """Shifted at random; “turned” ones are rotated, sheared and scaled as well, “bent” ones deformed on top of that."""
    from monai.transforms import Rand3DElasticd, RandAffined

    placed = {
        "keys": BOTH,
        "spatial_size": recipe.patch,
        "prob": 1.0,
        "translate_range": recipe.margin_voxels,
        "mode": ("bilinear", "nearest"),
        "padding_mode": (outside, "zeros"),
    }
    if how == "shifted":
        return RandAffined(**placed)
    turned = {
        "rotate_range": (ROTATION_RADIANS,) * 3,
        "shear_range": (SHEAR,) * 6,
        "scale_range": (ZOOM,) * 3,
    }
    if how == "turned":
        return RandAffined(**placed, **turned)
    return Rand3DElasticd(
        sigma_range=ELASTIC_SIGMA_VOXELS, magnitude_range=ELASTIC_MAGNITUDE_VOXELS, **placed, **turned
    )


def _turned_slice(recipe: Recipe, outside: str):
    from monai.transforms import RandAffined

    return RandAffined(
        BOTH,
        prob=1.0,
        rotate_range=ROTATION_RADIANS,
        shear_range=(SHEAR,) * 2,
        scale_range=(ZOOM,) * 2,
        translate_range=recipe.margin_voxels[1:],
        mode=("bilinear", "nearest"),
        padding_mode=(outside, "zeros"),
    )
