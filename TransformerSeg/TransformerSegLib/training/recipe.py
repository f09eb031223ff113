"""Everything that decides what a training run makes, in one file that is kept with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from TransformerSegLib.networks.registry import ARCHITECTURES
from TransformerSegLib.training.intensity import MeanAndDeviation, Range
from TransformerSegLib.training.record_file import read_record

VOLUME_AXES = 3
"""Of a patch of a volume; a slice has one less."""

DEFORMED_SHARE = 0.6
"""Of the patches: many still look as the images do, since those at inference will."""

Positive = Annotated[int, Field(gt=0)]
Voxels = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Millimetres = Annotated[float, Field(gt=0, le=1000)]


class Recipe(BaseModel):
    """A fine-tuning run. Written as JSON; unknown fields are refused.

    Attributes:
        architecture: name in the registry of networks.
        network: the network's arguments, under MONAI's names.
        preparation: "general", or "brats": as Swin UNETR was published for BraTS (see ``augmentation``).
        labels: "exclusive": a voxel has one class. "brats": necrosis, oedema and enhancing tumour are trained as the
            overlapping regions tumour core, whole tumour and enhancing tumour (see ``brats``).
        loss: "dice_ce": Dice loss and cross-entropy (see ``losses``); "dice": that alone.
        deep_supervision: whether every head of the network is trained, not the last alone; exactly where it has
            several heads.
        mixed_precision: "auto": half precision where that is safe, which is on CUDA; "off": float32 everywhere.
        axcodes: orientation to which images are brought, e.g. "RAS"; None: as they are stored. For a network of slices
            they lie across its first axis ("SLA": axial slices).
        spacing_mm: voxel spacing to which images are resampled, mm, in that orientation; None: as it is.
        intensity: how images are scaled; None: as the preparation does it.
        patch: size of a training patch and of a window at inference, voxels. For a network of slices: how many slices
            of a case go into a step, and the size in pixels to which they are zoomed.
        overlap: of the windows at inference, 0 ≤ overlap < 1; slices have none.
        batch: cases a step, each with one patch, or with its slices; in each process where there are several.
        epochs: passes over the training cases.
        learning_rate: peak of AdamW's rate; it warms up over ``warmup_steps`` and falls as a cosine to zero.
        weight_decay: AdamW's.
        gradient_norm: gradients are clipped to this L2 norm.
        average_momentum: of the exponential moving average of the weights, which is what is exported.
        flip_axes: axes along which patches are mirrored at random; mirroring must not change the classes.
        margin_voxels: how far a patch's centre may lie from the image's centre, per axis: at least so far that
            patches come from the whole image. What lies outside the image is zero or its border repeated, so that the
            network has seen crops with a margin of either kind. Of the general preparation alone.
        labelled_share: for images that are larger than a patch: the share of the patches that lie around a labelled
            voxel; the others lie around any voxel, and ``margin_voxels`` is how far a patch's centre may be from that
            voxel. Of the general preparation of volumes alone; 0: patches lie around the image's centre.
        padding_voxels: by how many voxels a quarter of the images are padded on each side at most, per axis, before
            their intensities are scaled, so that the network has seen the intensities of such crops, too. Of the
            general preparation of volumes alone; 0: none.
        deformed_share: of the patches, those that are rotated, sheared and scaled, a third of them bent as well; the
            others are shifted alone. Of the general preparation of volumes alone; 0: none, for the last epochs of a
            model, which then sees images as they will be at inference.
        validation_interval: epochs between two measurements on the validation cases.
        randomness: "epoch": random numbers follow from seed and epoch, in one stream; "case": from the case, too, so
            that they are the same with any number of processes.
        seed: of every random number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    architecture: str
    network: dict[str, object]
    preparation: Literal["general", "brats"] = "general"
    labels: Literal["exclusive", "brats"] = "exclusive"
    loss: Literal["dice_ce", "dice"] = "dice_ce"
    deep_supervision: bool = False
    mixed_precision: Literal["off", "auto"] = "off"
    axcodes: Annotated[str, Field(pattern="^[RLAPSI]{3}$")] | None = "RAS"
    spacing_mm: tuple[Millimetres, Millimetres, Millimetres] | None
    intensity: MeanAndDeviation | Range | None = None
    patch: tuple[Positive, Positive, Positive]
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    batch: Positive = 2
    epochs: Positive
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    average_momentum: Annotated[float, Field(gt=0, lt=1)] = 0.002
    flip_axes: tuple[Annotated[int, Field(ge=0, le=2)], ...] = ()
    margin_voxels: tuple[Voxels, Voxels, Voxels] = (6, 6, 6)
    labelled_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    padding_voxels: tuple[Voxels, Voxels, Voxels] = (0, 0, 0)
    deformed_share: Annotated[float, Field(ge=0, le=1)] = DEFORMED_SHARE
    validation_interval: Positive = 10
    randomness: Literal["epoch", "case"] = "epoch"
    seed: Seed = 0

    @property
    def axes(self) -> int:
        """Of what the network sees: 3, or 2 where it sees slices."""
        architecture = ARCHITECTURES.get(self.architecture)
        return architecture.axes if architecture else VOLUME_AXES

    @property
    def inputs(self) -> int:
        """How many volumes the network takes."""
        return int(self.network["in_channels"])

    @property
    def outputs(self) -> int:
        """How many channels the network gives."""
        return int(self.network["out_channels"])

    @property
    def overlapping(self) -> bool:
        """Whether a voxel may have several classes, each in a channel of its own, and no channel is the background."""
        return self.labels == "brats"

    @property
    def scaling(self) -> MeanAndDeviation | Range:
        """What is done to the intensities."""
        if self.intensity is not None:
            return self.intensity
        if self.preparation == "brats":
            return MeanAndDeviation(nonzero=True, channel_wise=True)
        return MeanAndDeviation(channel_wise=self.inputs > 1)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        TrainingDataRejected: the file is missing, not JSON, or says something that a recipe cannot say.
    """
    return read_record(path, Recipe, "recipe")
