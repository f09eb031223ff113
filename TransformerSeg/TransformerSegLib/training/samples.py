"""The data sets of a fine-tuning: patches or slices for training, whole volumes for validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from TransformerSegLib.training.augmentation import augmentation, before_augmentation, preparation
from TransformerSegLib.training.cases import Case, ClassName
from TransformerSegLib.training.recipe import Recipe

if TYPE_CHECKING:
    from monai.data import Dataset
    from monai.transforms import Compose


def training_set(recipe: Recipe, cases: Sequence[Case], classes: Sequence[ClassName] = ()) -> tuple[Dataset, Compose]:
    """What is trained on, and its random part, to be seeded by ``set_random_state``.

    An item is {"image": (inputs, *patch), "label": (1, *patch), or (3, *patch) for BraTS}, float32; for a network of
    slices a list of such. Volumes are kept in memory once they are prepared, but those of BraTS: a case with its four
    inputs takes half a gigabyte, and is read each time.

    Args:
        classes: by whose names the labels of segmentation files are told.
    """
    from monai.data import CacheDataset, Dataset
    from monai.transforms import Compose

    random_part = augmentation(recipe)
    steps = Compose([*before_augmentation(recipe, classes), random_part])
    if recipe.preparation == "brats":
        return Dataset(_entries(cases), steps), random_part
    return CacheDataset(_entries(cases), steps, progress=False), random_part


def validation_set(recipe: Recipe, cases: Sequence[Case], classes: Sequence[ClassName] = ()) -> Dataset:
    """What is measured on: {"image": (inputs, X, Y, Z), "label": (1 or 3, X, Y, Z)}, float32, on the model's grid."""
    from monai.data import CacheDataset, Dataset
    from monai.transforms import Compose

    steps = Compose(preparation(recipe, classes))
    if recipe.preparation == "brats":
        return Dataset(_entries(cases), steps)
    return CacheDataset(_entries(cases), steps, progress=False)


def _entries(cases: Sequence[Case]) -> list[dict[str, Case]]:
    return [{"image": case, "label": case} for case in cases]
