"""A recipe for a new network, fitted to its data: the published one for BraTS, or a general one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from TransformerSegLib.bundles.recipes import SLICE_ORIENTATIONS
from TransformerSegLib.networks.registry import ARCHITECTURES
from TransformerSegLib.training.brats import REGIONS
from TransformerSegLib.training.intensity import Range
from TransformerSegLib.training.network_choice import NetworkChoice, Preparation
from TransformerSegLib.training.recipe import VOLUME_AXES, Recipe
from TransformerSegLib.training.usual_case import UsualCase

EPOCHS = 200
LEARNING_RATE = 5e-4
WARMUP_SHARE = 0.1
LONGEST_WARMUP_STEPS = 100
SIDE_MULTIPLE, LONGEST_SIDE, SHORTEST_SIDE = 32, 96, 64
"""Voxels, of a patch: what every network takes, and what BTCV's were trained on."""

MARGIN_VOXELS = 6
LARGE, LABELLED_SHARE = 1.5, 0.5
"""From how many sides of a patch on an image is large, and the share of its patches that lie around a label."""

BRATS_PATCH = (128, 128, 128)
BRATS_ORIENTATION, BRATS_SPACING_MM = "LPS", (1.0, 1.0, 1.0)
"""As the files of BraTS are stored: nothing is done to them, and other images become like them."""

SLICE_SIDE, SLICES_A_CASE, SLICE_MARGIN = 224, 12, (0, 16, 16)
"""Pixels as published, slices of a case that go into a step, and by how much they are shifted."""

Sides = tuple[int, int, int]
NetworkArguments = Callable[[Sides, bool], Mapping[str, object]]


NETWORKS: dict[NetworkChoice, tuple[str, NetworkArguments]] = {
    NetworkChoice.SWIN_UNETR: (
        "SwinUNETR",
        lambda patch, brats: {"feature_size": 48 if brats else 24, "downsample": "mergingv2"},
    ),
    NetworkChoice.UNETR: ("UNETR", lambda patch, brats: {"img_size": list(patch), "feature_size": 16}),
    NetworkChoice.SWIN_UNET: ("SwinUnet", lambda patch, brats: {"img_size": SLICE_SIDE}),
    NetworkChoice.TRANSUNET: ("TransUNet", lambda patch, brats: {"img_size": SLICE_SIDE, "multi_scale": True}),
    NetworkChoice.UNEST: ("UNesT", lambda patch, brats: {"img_size": list(patch)}),
    NetworkChoice.UNETR_TAMASINO52: ("UNETRTamasino52", lambda patch, brats: {"img_size": list(patch)}),
}
"""Architecture, and the arguments that differ from its own defaults: (patch, for BraTS) → arguments."""

SLICE_NETWORKS = {choice for choice, (name, _) in NETWORKS.items() if ARCHITECTURES[name].axes < VOLUME_AXES}


def orientation_for(network: NetworkChoice, preparation: Preparation) -> str:
    """The axes that images are brought to: axial slices, or BraTS's order, or RAS."""
    if network in SLICE_NETWORKS:
        return SLICE_ORIENTATIONS["axial"]
    return BRATS_ORIENTATION if preparation is Preparation.BRATS else "RAS"


def new_recipe(
    network: NetworkChoice,
    preparation: Preparation,
    usual: UsualCase,
    *,
    inputs: int,
    classes: int,
    cases: int,
    pretrained: Mapping[str, object] | None = None,
) -> Recipe:
    """A recipe to begin with.

    Args:
        usual: what the cases are like, along the axes of ``orientation_for``.
        inputs: volumes a case.
        classes: of the data, background not counted; of no meaning for BraTS.
        cases: that are trained on.
        pretrained: arguments of the network whose encoder the training starts from; None: such as published.
    """
    brats = preparation is Preparation.BRATS
    slices = network in SLICE_NETWORKS
    name, arguments = NETWORKS[network]
    patch = _patch(network, brats, usual.size)
    batch = 1 if brats or slices else min(2, cases)
    channels = {"in_channels": inputs, "out_channels": len(REGIONS) if brats else classes + 1}
    if slices and inputs > 1:
        channels["stem_channels"] = inputs
    recipe = Recipe(
        architecture=name,
        network={**(arguments(patch, brats) if pretrained is None else pretrained), **channels},
        preparation="brats" if brats and not slices else "general",
        labels="brats" if brats else "exclusive",
        deep_supervision=network is NetworkChoice.TRANSUNET,
        mixed_precision="auto",
        axcodes=orientation_for(network, preparation),
        spacing_mm=None if slices else BRATS_SPACING_MM if brats else usual.spacing_mm,
        intensity=Range(a_min=usual.hounsfield[0], a_max=usual.hounsfield[1]) if usual.hounsfield else None,
        patch=patch,
        batch=batch,
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE,
        # Which of the others may be mirrored a person must say: left and right organs may be two classes.
        flip_axes=((0, 1) if slices else (0, 1, 2)) if brats else (),
        **({"margin_voxels": SLICE_MARGIN} if slices else _placed(usual.size, patch)),
        padding_voxels=(0, 0, 0) if brats or slices else (MARGIN_VOXELS,) * VOLUME_AXES,
        randomness="case",
    )
    return with_fitting_warmup(recipe, cases)


def with_fitting_warmup(recipe: Recipe, cases: int) -> Recipe:
    """A short run warms up for a tenth of its steps, and not for all of them."""
    steps = recipe.epochs * max(1, cases // recipe.batch)
    warmup = min(LONGEST_WARMUP_STEPS, recipe.warmup_steps, math.ceil(WARMUP_SHARE * steps))
    return recipe.model_copy(update={"warmup_steps": warmup})


def with_fitting_margin(recipe: Recipe, size: Sides) -> Recipe:
    """Patches come from the whole of other images, too.

    Args:
        size: what images usually have on the model's grid, voxels.
    """
    if recipe.axes < VOLUME_AXES or recipe.preparation == "brats":
        return recipe
    placed = _placed(size, recipe.patch)
    if not placed["labelled_share"]:
        placed["margin_voxels"] = tuple(map(max, recipe.margin_voxels, placed["margin_voxels"]))
    return recipe.model_copy(update=placed)


def _patch(network: NetworkChoice, brats: bool, size: Sides) -> Sides:
    """As long as the images are, in multiples of 32, and no longer than the networks were published with."""
    if network in SLICE_NETWORKS:
        return SLICES_A_CASE, SLICE_SIDE, SLICE_SIDE
    if brats:
        return BRATS_PATCH
    sides = [min(LONGEST_SIDE, SIDE_MULTIPLE * math.ceil(voxels / SIDE_MULTIPLE)) for voxels in size]
    if network is NetworkChoice.UNEST:  # a cube
        return (max(SHORTEST_SIDE, *sides),) * VOLUME_AXES
    if max(sides) < SHORTEST_SIDE:  # Swin UNETR normalises nothing in a cube of 32
        sides[-1] = SHORTEST_SIDE
    return tuple(sides)


def _placed(size: Sides, patch: Sides) -> dict[str, object]:
    """Where patches come from: around the centre of images that are hardly larger, or around voxels of large ones."""
    if any(voxels > LARGE * side for voxels, side in zip(size, patch, strict=True)):
        return {"margin_voxels": (MARGIN_VOXELS,) * VOLUME_AXES, "labelled_share": LABELLED_SHARE}
    return {"margin_voxels": tuple(map(_margin, size, patch)), "labelled_share": 0.0}


def _margin(size: int, side: int) -> int:
    """So that patches come from the whole image, and from a little beyond it."""
    return max(0, size - side) // 2 + MARGIN_VOXELS
