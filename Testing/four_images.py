"""Four images of one head, as a model for brain tumours takes them: made from one MR, or the real case beside the
checkout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from TransformerSegLib.bundles.plan import (
    Activation,
    NormalizeIntensity,
    Orientation,
    OutputPlan,
    WindowPlan,
)
from TransformerSegLib.inference.origin import UNKNOWN
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.volume import Volume

from bundle_factory import write_bundle
from real_volumes import MR

CHANNELS = ("FLAIR", "T1ce", "T1", "T2")
FILES = ("t2f", "t1c", "t1n", "t2w")
"""What the BraTS data call them, in the order of ``CHANNELS``."""

REGIONS = ("Tumour core", "Whole tumour", "Enhancing tumour")

REAL_CASE = Path(__file__).parents[2] / "shared" / "data" / "brats"
"""Not part of the repository: its terms do not allow that."""

SKULL = 0.35
"""Of the brightest voxel: what is darker counts as cut away, and is 0 in all four images, as in a BraTS case."""


def made_images() -> list[Volume]:
    """Of a real MR; each shows the tissues in another order of brightness."""
    image = read_volume(MR)
    array = image.array.astype(np.float32)
    head = array > SKULL * np.percentile(array, 99)
    shades = (array, np.sqrt(np.abs(array)) * 10, array.max() - array, np.abs(np.gradient(array)[0]) + 1)
    return [
        replace(image, array=np.where(head, shade, 0).round().astype(np.int16), name=f"case-{name}", origin=UNKNOWN)
        for shade, name in zip(shades, FILES, strict=True)
    ]


def real_images(box: tuple[slice, slice, slice] = np.s_[:, :, :]) -> list[Volume]:
    """Of the real case, within a box of voxels."""
    start = [side.start or 0 for side in box]
    images = [read_volume(path) for name in FILES for path in REAL_CASE.glob(f"*-{name}.nii.gz")]
    affine = images[0].affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    return [replace(image, array=np.ascontiguousarray(image.array[box]), affine=affine) for image in images]


def write_tumour_bundle(folder: Path, window: WindowPlan) -> Path:
    """Swin UNETR as published for BraTS, but of random weights and small: z-scores of what is not 0, channel by
    channel, and three regions that overlap."""
    return write_bundle(
        folder,
        architecture="SwinUNETR",
        preparation=[Orientation("RAS"), NormalizeIntensity(nonzero=True, channel_wise=True)],
        window=window,
        output=OutputPlan(Activation.SIGMOID, threshold=0.5),
        inputs=CHANNELS,
        classes=REGIONS,
    )


def turned(volume: Volume, order: tuple[int, int, int], flips: tuple[int, int, int]) -> Volume:
    """The same image with its axes stored in another order and direction."""
    to_index = np.zeros((4, 4))
    to_index[3, 3] = 1
    for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
        to_index[source, axis] = flip
        to_index[source, 3] = volume.array.shape[source] - 1 if flip < 0 else 0
    array = volume.array.transpose(order)[tuple(slice(None, None, flip) for flip in flips)]
    return replace(volume, array=np.ascontiguousarray(array), affine=volume.affine @ to_index)


def padded(volume: Volume, before: tuple[int, int, int], after: tuple[int, int, int]) -> Volume:
    """With more background around it."""
    affine = volume.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ before
    return replace(volume, array=np.pad(volume.array, list(zip(before, after, strict=True))), affine=affine)


def cropped(volume: Volume, margin: int = 1) -> Volume:
    """Without most of the background around it."""
    places = np.argwhere(volume.array != 0)
    low = np.maximum(places.min(axis=0) - margin, 0)
    high = places.max(axis=0) + margin + 1
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    return replace(volume, array=np.ascontiguousarray(volume.array[tuple(map(slice, low, high))]), affine=affine)


def smoothed(volume: Volume, millimetres: float = 6.0) -> Volume:
    """Blurred by a Gaussian of this standard deviation."""
    from scipy import ndimage

    array = ndimage.gaussian_filter(volume.array.astype(np.float32), millimetres / np.array(volume.spacing))
    return replace(volume, array=array)


def shifted(volume: Volume, voxels: float) -> Volume:
    """Interpolated onto a grid that lies so many voxels further along each axis."""
    from scipy import ndimage

    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.full(3, voxels)
    array = ndimage.shift(volume.array.astype(np.float32), -voxels, order=1, mode="nearest")
    return replace(volume, array=array, affine=affine)


def finer(volume: Volume, factor: float) -> Volume:
    """Interpolated onto voxels smaller by a factor."""
    from scipy import ndimage

    count = np.round((np.array(volume.array.shape) - 1) * factor).astype(int) + 1
    to_index = np.diag([*[1 / factor] * 3, 1.0])
    places = np.stack(np.meshgrid(*(np.arange(n) / factor for n in count), indexing="ij"))
    array = ndimage.map_coordinates(volume.array.astype(np.float32), places, order=1, mode="nearest")
    return replace(volume, array=array, affine=volume.affine @ to_index)
