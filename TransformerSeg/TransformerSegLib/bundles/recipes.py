"""How the official trainers prepared their images: what an imported checkpoint's bundle says of it.

A checkpoint holds weights alone. Each recipe here is what the test code of one official repository does; the source
stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from TransformerSegLib.bundles.card import InputChannel
from TransformerSegLib.bundles.plan import (
    IntensityStep,
    NormalizeIntensity,
    Orientation,
    PreparationStep,
    ScaleIntensityRange,
    Spacing,
    Weighting,
)

FLAIR = InputChannel(name="FLAIR", hints=("flair", "t2f"))
T1CE = InputChannel(name="T1ce", hints=("t1ce", "t1c", "t1gd", "t1 post", "t1post"))
T1 = InputChannel(name="T1", hints=("t1n", "t1"))
T2 = InputChannel(name="T2", hints=("t2w", "t2"))
CT = InputChannel(name="CT", hints=("ct",))
MR = InputChannel(name="T1-weighted MR", hints=("t1", "mprage", "mr"))

NON_ZERO = NormalizeIntensity(nonzero=True, channel_wise=True)
WHOLE = NormalizeIntensity(nonzero=False, channel_wise=True)
ABDOMEN = ScaleIntensityRange(-175.0, 250.0, 0.0, 1.0, clip=True)
SYNAPSE = ScaleIntensityRange(-125.0, 275.0, 0.0, 1.0, clip=True)

SLICE_ORIENTATIONS = {"axial": "SLA", "coronal": "ASL", "sagittal": "RSA"}
"""Across which axis a slice network sees slices → the order and direction of the axes, that of the slices first.

“SLA” is what TransUNet's ``preprocess_data.py`` makes of the BTCV files, which are stored as L, A, S.
"""


@dataclass(frozen=True)
class ImportRecipe:
    """The preparation, windows and output of one official trainer.

    Attributes:
        name: what ``--recipe`` takes.
        source: whose it is, for people.
        inputs: the volumes, in the order of the network's channels; empty where any number is right.
        modality: "CT", "MR", or empty.
        orientation: axis codes that volumes are brought to; empty: as they are stored.
        spacing_mm: that they are resampled to, along each axis; None: as they are.
        intensity: how they are scaled; None: not at all.
        window: side of a window, voxels, where the network takes any.
        overlap: of the windows.
        weighting: of the windows.
        exclusive: softmax with background, else sigmoid.
    """

    name: str
    source: str
    inputs: tuple[InputChannel, ...] = ()
    modality: str = ""
    orientation: str = ""
    spacing_mm: tuple[float, float, float] | None = None
    intensity: IntensityStep | None = None
    window: int = 96
    overlap: float = 0.5
    weighting: Weighting = Weighting.CONSTANT
    exclusive: bool = True

    @property
    def preparation(self) -> tuple[PreparationStep, ...]:
        """Its steps, in order."""
        orientation = (Orientation(self.orientation),) if self.orientation else ()
        spacing = (Spacing(self.spacing_mm),) if self.spacing_mm else ()
        return (*orientation, *spacing, *((self.intensity,) if self.intensity else ()))

    def told(self) -> str:
        """Its preparation in words ("RAS, 1.5×1.5×2 mm, −175…250 to 0…1")."""
        sides = "×".join(f"{length:g}" for length in self.spacing_mm or ())
        spacing = f"{sides} mm" if sides else "own spacing"
        return f"{self.orientation or 'orientation as stored'}, {spacing}, {_intensity_told(self.intensity)}"


RECIPES = {
    recipe.name: recipe
    for recipe in (
        ImportRecipe(
            "btcv",
            "the BTCV trainers of UNETR and Swin UNETR (Project-MONAI/research-contributions)",
            inputs=(CT,),
            modality="CT",
            orientation="RAS",
            spacing_mm=(1.5, 1.5, 2.0),
            intensity=ABDOMEN,
        ),
        ImportRecipe(
            "brats21",
            "the BraTS21 trainer of Swin UNETR (Project-MONAI/research-contributions)",
            inputs=(FLAIR, T1CE, T1, T2),
            modality="MR",
            intensity=NON_ZERO,
            window=128,
            exclusive=False,
        ),
        ImportRecipe(
            "synapse",
            "the Synapse data of TransUNet and Swin-Unet (Beckschen/TransUNet, datasets/README.md)",
            inputs=(CT,),
            modality="CT",
            orientation=SLICE_ORIENTATIONS["axial"],
            intensity=SYNAPSE,
        ),
        ImportRecipe(
            "renal",
            "the bundle renalStructures_UNEST_segmentation (MONAI Model Zoo)",
            inputs=(CT,),
            modality="CT",
            orientation="RAS",
            spacing_mm=(1.0, 1.0, 1.0),
            intensity=ABDOMEN,
        ),
        ImportRecipe(
            "brain",
            "the bundle wholeBrainSeg_Large_UNEST_segmentation (MONAI Model Zoo)",
            inputs=(MR,),
            modality="MR",
            intensity=NON_ZERO,
            overlap=0.7,
        ),
        ImportRecipe("plain", "no trainer: the volume as it is stored"),
    )
}
"""By the name that ``--recipe`` takes."""

VOLUME_NETWORKS = ("UNETR", "SwinUNETR", "UNETRTamasino52")
SLICE_NETWORKS = ("SwinUnet", "TransUNet")
UNEST_CLASSES = {4: "renal", 133: "brain"}
"""Output channels of the published UNesTs → their recipes."""


def official_recipe(architecture: str, in_channels: int, out_channels: int) -> ImportRecipe | None:
    """What the official trainer of such a network does; None where none of them has such a network."""
    if architecture in SLICE_NETWORKS:
        return RECIPES["synapse"] if in_channels == 1 else None
    if architecture == "UNesT":
        return RECIPES.get(UNEST_CLASSES.get(out_channels, "")) if in_channels == 1 else None
    by_inputs = {1: "btcv", 4: "brats21"}
    name = by_inputs.get(in_channels) if architecture in VOLUME_NETWORKS else None
    if name == "btcv" and architecture == "SwinUNETR":
        # its test code lets the middle of a window count for more; UNETR's does not
        return replace(RECIPES[name], weighting=Weighting.GAUSSIAN)
    return RECIPES.get(name or "")


def named_inputs(names: Sequence[str]) -> tuple[InputChannel, ...]:
    """Inputs as a user names them; those of BraTS are known by their other names too."""
    known = {channel.name.casefold(): channel for channel in (FLAIR, T1CE, T1, T2)}
    return tuple(known.get(name.casefold(), InputChannel(name=name, hints=(name.lower(),))) for name in names)


def _intensity_told(step: IntensityStep | None) -> str:
    match step:
        case ScaleIntensityRange():
            return f"{_number(step.a_min)}…{_number(step.a_max)} to {_number(step.b_min)}…{_number(step.b_max)}"
        case NormalizeIntensity(nonzero=True):
            return "each volume's voxels other than 0 to mean 0 and deviation 1"
        case NormalizeIntensity():
            return "each volume to mean 0 and deviation 1"
        case _:
            return "intensities as stored"


def _number(value: float | None) -> str:
    return f"{value:g}".replace("-", "−") if value is not None else ""
