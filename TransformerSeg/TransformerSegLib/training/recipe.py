"""Everything that decides what a training run makes, in one file that is kept with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from TransformerSegLib.training.record_file import read_record

AXES = 3
"""Of what a network is trained on here: patches of a volume. Networks of slices are trained elsewhere."""

Positive = Annotated[int, Field(gt=0)]
Voxels = Annotated[int, Field(ge=0)]
Millimetres = Annotated[float, Field(gt=0, le=1000)]


class Recipe(BaseModel):
    """A fine-tuning run. Written as JSON; unknown fields are refused.

    Attributes:
        architecture: name in the registry of networks; one that sees volumes.
        network: the network's arguments, under MONAI's names.
        axcodes: orientation to which images are brought, e.g. "RAS".
        spacing_mm: voxel spacing to which images are resampled, mm, in that orientation.
        patch: size of a training patch and of a window at inference, voxels.
        overlap: of the windows at inference, 0 ≤ overlap < 1.
        batch: patches a step.
        epochs: passes over the training cases, one random patch a case.
        learning_rate: peak of AdamW's rate; it warms up over ``warmup_steps`` and falls as a cosine to zero.
        weight_decay: AdamW's.
        gradient_norm: gradients are clipped to this L2 norm.
        average_momentum: of the exponential moving average of the weights, which is what is exported.
        flip_axes: axes along which patches are mirrored at random; mirroring must not change the classes.
        margin_voxels: how far a patch's centre may leave the image's centre beyond what the image's own size
            allows, per axis; what lies outside the image is zero or its border repeated, so that the network
            has seen crops with a margin of either kind.
        validation_interval: epochs between two measurements on the validation cases.
        seed: of every random number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    architecture: str
    network: dict[str, object]
    axcodes: Annotated[str, Field(pattern="^[RLAPSI]{3}$")] = "RAS"
    spacing_mm: tuple[Millimetres, Millimetres, Millimetres]
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
    validation_interval: Positive = 10
    seed: int = 0


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        TrainingDataRejected: the file is missing, not JSON, or says something that a recipe cannot say.
    """
    return read_record(path, Recipe, "recipe")
