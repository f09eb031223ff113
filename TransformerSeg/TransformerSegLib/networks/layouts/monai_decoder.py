"""What MONAI's UNETR and Swin UNETR have in common: the convolutional decoder."""

from __future__ import annotations

from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.layouts.recognised import Shapes

LAST = "out.conv.conv.weight"
FIRST_NORM = "encoder1.layer.norm1."

SLICE_KERNEL, VOLUME_KERNEL = 4, 5
"""Axes of a convolution's weights in a network of slices, and in one of volumes."""


def ends_in_volumes(shapes: Shapes, network: str) -> bool:
    """Whether the last convolution is there, and one of volumes.

    Args:
        shapes: of a checkpoint.
        network: that the other tensors are of, for people.

    Raises:
        CheckpointRejected: the convolution is one of slices.
    """
    axes = len(shapes.get(LAST, ()))
    if axes == SLICE_KERNEL:
        raise CheckpointRejected(
            f"The checkpoint holds a {network} for slices (spatial_dims=2)",
            why="of MONAI's networks those for volumes are imported, and for slices Swin-Unet and TransUNet",
            remedy="Import a checkpoint of one of these",
        )
    return axes == VOLUME_KERNEL


def norm_name(shapes: Shapes) -> str:
    """How the decoder normalises: MONAI's argument of this name.

    Raises:
        CheckpointRejected: in another way than those that are built here.
    """
    if f"{FIRST_NORM}running_mean" in shapes:
        return "batch"
    if f"{FIRST_NORM}weight" in shapes:
        raise CheckpointRejected(
            "The checkpoint's decoder normalises in a way that is not known here",
            why="its normalisations have weights, as those by groups (norm_name “group”) and affine ones by instance "
            "have, and the checkpoint does not tell which they are",
            remedy="Import a checkpoint that was trained with norm_name “instance”, as the official ones, or “batch”",
        )
    return "instance"
