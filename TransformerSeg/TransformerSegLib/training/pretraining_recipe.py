"""Everything that decides what a pretraining makes; kept in the run's folder and in the encoder's file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from TransformerSegLib.bundles.plan import Orientation, Plan, PreparationStep, Spacing, WindowPlan
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.networks.swin_unetr import SwinUNETR
from TransformerSegLib.training.recipe import Positive, Seed
from TransformerSegLib.training.rotation import Plane, rotation_plane

LEAST_BATCH = 2
"""A sub-volume is told apart from the others of its step."""


class PretrainingRecipe(BaseModel):
    """A pretraining run; the rates are those that Tang et al. 2022 published.

    Attributes:
        network: the arguments of the Swin UNETR that the encoder is for, under MONAI's names.
        preparation: what is done to an image before sub-volumes are cut from it.
        patch: size of a sub-volume, voxels.
        batch: sub-volumes a step and process, each of another case.
        epochs: passes over the cases, one random sub-volume a case.
        seed: of every random number.
        learning_rate: peak of AdamW's rate; it warms up over ``warmup_steps``, or over a tenth of the run where that is
            shorter, and falls as a cosine to zero.
        weight_decay: AdamW's.
        gradient_norm: gradients are clipped to this L2 norm.
        average_momentum: of the exponential moving average of the weights, which is what is kept.
        validation_interval, mixed_precision, randomness: as in ``Recipe``; there is nothing to validate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    network: dict[str, object]
    preparation: tuple[PreparationStep, ...]
    patch: tuple[Positive, Positive, Positive]
    batch: Positive = 4
    epochs: Positive = 100
    seed: Seed = 0
    learning_rate: Annotated[float, Field(gt=0)] = 4e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 500
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    average_momentum: Annotated[float, Field(gt=0, lt=1)] = 0.002
    validation_interval: Positive = 1
    mixed_precision: Literal["off", "auto"] = "auto"
    randomness: Literal["epoch"] = "epoch"

    @field_serializer("preparation")
    def _named(self, steps: tuple[PreparationStep, ...]) -> list[dict[str, object]]:
        return [{"transform": type(step).__name__, **asdict(step)} for step in steps]

    @classmethod
    def of_model(cls, plan: Plan, patch: tuple[int, int, int] | None = None, **changed: int) -> Self:
        """The recipe for the encoder of a model.

        Args:
            plan: of the model: its network, what it does to images, and its window.
            patch: None: the model's window.
            changed: other fields.

        Raises:
            TrainingDataRejected: the model is no Swin UNETR, or the recipe cannot be followed.
            BundleRejected: one of the network's arguments is not allowed.
        """
        if plan.network.architecture != SwinUNETR.name or not isinstance(plan.window, WindowPlan):
            raise TrainingDataRejected(
                f"{plan.network.architecture} cannot be pretrained",
                why="the published tasks are for the encoder of Swin UNETR",
                remedy="Name a Swin UNETR with --from or --definition",
            )
        network = SwinUNETR.read(plan.network.arguments, "the network “SwinUNETR”").model_dump(mode="json")
        recipe = cls(network=network, preparation=plan.preparation, patch=patch or plan.window.roi_size, **changed)
        recipe.check()
        return recipe

    def check(self) -> None:
        """
        Raises:
            TrainingDataRejected: batch or patch do not fit the tasks or the network.
        """
        if self.batch < LEAST_BATCH:
            raise TrainingDataRejected(
                f"A batch of {self.batch} is too small",
                why="the contrastive task tells each sub-volume apart from the others of its step",
                remedy=f"Name a batch of {LEAST_BATCH} or more with --batch",
            )
        if fault := self.architecture.window_fault(self.patch):
            raise TrainingDataRejected(
                f"Patches of {'×'.join(map(str, self.patch))} voxels do not fit the network",
                why=fault,
                remedy="Name another size with --patch, such as --patch 64,64,64",
            )
        _ = self.plane

    @property
    def architecture(self) -> SwinUNETR:
        """The network's arguments, checked."""
        return SwinUNETR.model_validate(self.network, strict=False)

    @property
    def plane(self) -> Plane:
        """In which sub-volumes are turned.

        Raises:
            TrainingDataRejected: no two sides of the patch are equal.
        """
        spacing = next((step.pixdim for step in self.preparation if isinstance(step, Spacing)), (1.0, 1.0, 1.0))
        axcodes = next((step.axcodes for step in self.preparation if isinstance(step, Orientation)), "RAS")
        return rotation_plane(self.patch, spacing, axcodes)
