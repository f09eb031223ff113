"""The data sets of a fine-tuning: patches or slices for training, whole volumes for validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from TransformerSegLib.training.augmentation import augmentation, before_augmentation, preparation
from TransformerSegLib.training.cases import Case, ClassName
from TransformerSegLib.training.kept_in_memory import cases_kept
from TransformerSegLib.training.recipe import Recipe

if TYPE_CHECKING:
    from monai.data import Dataset
    from monai.transforms import Compose


def training_set(recipe: Recipe, cases: Sequence[Case], classes: Sequence[ClassName] = ()) -> tuple[Dataset, Compose]:
    """What is trained on, and its random part, to be seeded by ``set_random_state``.

    An item is {"image": (inputs, *patch), "label": (1, *patch), or (3, *patch) for BraTS}, float32; for a network of
    slices a list of such. As many volumes as fit are kept in memory once they are prepared, but none of BraTS: a case
    with its four inputs takes half a gigabyte, and is read each time.

    Args:
        classes: by whose names the labels of segmentation files are told.
    """
    random_part = augmentation(recipe)
    return _data_set(recipe, cases, before_augmentation(recipe, classes), [random_part]), random_part


def validation_set(recipe: Recipe, cases: Sequence[Case], classes: Sequence[ClassName] = ()) -> Dataset:
    """What is measured on: {"image": (inputs, X, Y, Z), "label": (1 or 3, X, Y, Z)}, float32, on the model's grid."""
    return _data_set(recipe, cases, preparation(recipe, classes), [])


def _data_set(recipe: Recipe, cases: Sequence[Case], prepared: list, random: list) -> Dataset:
    """Of steps whose results are kept, and those that differ each time."""
    from monai.data import CacheDataset, Dataset
    from monai.transforms import Compose

    entries = [{"image": case, "label": case} for case in cases]
    steps = Compose([*prepared, *random])
    if recipe.preparation == "brats" or not entries:
        return Dataset(entries, steps)
    first = Compose(prepared)(entries[0])
    size = sum(tensor.numel() * tensor.element_size() for tensor in first.values())
    return CacheDataset(entries, steps, cache_num=cases_kept(size), progress=False)
