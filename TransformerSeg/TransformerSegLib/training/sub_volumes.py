"""Random sub-volumes of images without labels, all of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.plan import PreparationStep
from TransformerSegLib.inference.preparation import prepare
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.training.cases import Case
from TransformerSegLib.training.kept_in_memory import cases_kept
from TransformerSegLib.training.rotation import Plane

if TYPE_CHECKING:
    import torch
    from monai.data import CacheDataset
    from monai.transforms import RandSpatialCropd

Sides = tuple[int, int, int]


def sub_volumes(
    cases: Sequence[Case], preparation: Sequence[PreparationStep], patch: Sides, plane: Plane
) -> tuple[CacheDataset, RandSpatialCropd]:
    """One random sub-volume a case, and what draws where it lies.

    An item is {"image": (C, *patch) float32}, from ``foreground``; an image that is smaller is centred in zeros.

    Args:
        cases: the images.
        preparation: what is done to them first, as the model does it at inference.
        patch: size, voxels.
        plane: in which sub-volumes will be turned; see ``framed``.
    """
    from monai.data import CacheDataset
    from monai.transforms import Compose, Lambda, RandSpatialCropd, SpatialPad

    def read(case: Case) -> torch.Tensor:
        return foreground(_prepared(case, preparation), patch)

    def padded(entry: dict) -> dict:
        image = read(entry["image"])
        return {"image": SpatialPad(patch)(image), "frame": frame_of(tuple(image.shape[1:]), patch, plane)}

    crop = RandSpatialCropd("image", patch, random_size=False)
    steps = Compose(
        [Lambda(padded), crop, Lambda(lambda entry: {"image": framed(entry["image"], entry["frame"], plane)})]
    )
    entries = [{"image": case} for case in cases]
    first = read(cases[0])
    kept = cases_kept(first.numel() * first.element_size())
    return CacheDataset(entries, steps, cache_num=kept, progress=False, copy_cache=False), crop


def foreground(image: torch.Tensor, patch: Sides) -> torch.Tensor:
    """The part of an image that its sub-volumes come from: as published, the box of what is not background.

    That is here what is brighter than the image's mean in any channel; where the box is shorter than a sub-volume, it
    is made longer as far as the image goes.

    Args:
        image: (C, X, Y, Z).
        patch: size of a sub-volume, voxels.

    Returns:
        A view.
    """
    from monai.transforms.utils import generate_spatial_bounding_box

    box = zip(*generate_spatial_bounding_box(image, lambda values: values > image.mean()), strict=True)
    part = []
    for (start, stop), side, wanted in zip(box, image.shape[1:], patch, strict=True):
        length = min(side, max(stop - start, wanted))
        first = min(max(0, (start + stop - length) // 2), side - length)
        part.append(slice(first, first + length))
    return image[(slice(None), *part)]


def frame_of(sides: Sides, patch: Sides, plane: Plane) -> int:
    """How thick, in voxels, the frame of zeros is that an image of these sides needs in the plane; see ``framed``."""
    return max(-(-max(0, patch[axis] - sides[axis]) // 2) for axis in plane)


def framed(volume: torch.Tensor, frame: int, plane: Plane) -> torch.Tensor:
    """Zeros along all four borders of the plane.

    Zeros on two borders alone, of an image that is shorter than a sub-volume along one axis of the plane, would give
    away how the sub-volume was turned: the rotation would be told without a look at what is in it.

    Args:
        volume: (C, I, J, K).
        frame: thickness, voxels.
        plane: in which it will be turned.
    """
    if not frame:
        return volume
    inside = [slice(None)] * volume.ndim
    for axis in plane:
        inside[1 + axis] = slice(frame, volume.shape[1 + axis] - frame)
    result = volume.new_zeros(volume.shape)
    result[tuple(inside)] = volume[tuple(inside)]
    return result


def _prepared(case: Case, steps: Sequence[PreparationStep]) -> torch.Tensor:
    """(C, X, Y, Z) float32, as the model will see it at inference."""
    return prepare([read_volume(image) for image in case.images], steps).at((slice(None),) * 3)
