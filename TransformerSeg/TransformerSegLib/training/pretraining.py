"""Self-supervised pretraining of Swin UNETR's encoder on images without labels: Tang et al. 2022, "Self-Supervised
Pre-Training of Swin Transformers for 3D Medical Image Analysis", https://arxiv.org/abs/2111.14791.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.training.cases import DataList
from TransformerSegLib.training.engine import run_epochs
from TransformerSegLib.training.pretraining_recipe import PretrainingRecipe
from TransformerSegLib.training.pretraining_tasks import Views, task_losses, two_views
from TransformerSegLib.training.processes import is_first, number_of_processes
from TransformerSegLib.training.reports import UNWATCHED, Watch
from TransformerSegLib.training.rotation import Plane
from TransformerSegLib.training.run_folder import claim
from TransformerSegLib.training.sub_volumes import sub_volumes

if TYPE_CHECKING:
    import torch
    from monai.transforms import RandSpatialCropd

    from TransformerSegLib.networks.swin_unetr_pretraining_module import SwinUNETRPretraining


WARMUP_SHARE = 0.1
"""Of a run's steps, in which the rate warms up at most."""


def pretrain(
    recipe: PretrainingRecipe, data: DataList, folder: Path, device: str = "cpu", watch: Watch = UNWATCHED
) -> SwinUNETRPretraining:
    """Train an encoder with its three heads, or go on where an earlier call with the same folder stopped.

    Args:
        recipe: all settings; ``check`` found nothing.
        data: its training cases are learned from; labels are not looked at, nor is what is kept out for validation.
        folder: of the run; made if missing. See ``run_epochs``.
        device: a torch device.
        watch: who is told.

    Returns:
        The network with the averaged weights, in evaluation mode, on the CPU.

    Raises:
        TrainingDataRejected: the folder holds a run with another recipe or other cases, or is damaged.
        TrainingDiverged: the loss is no longer a number.
        OutputRejected: the folder cannot be written to.
        BundleRejected: the network would be too large.
    """
    import torch

    from TransformerSegLib.networks.registry import build
    from TransformerSegLib.networks.swin_unetr_pretraining_module import SwinUNETRPretraining

    claim(folder, recipe.model_dump(mode="json"), data, None, write=is_first())
    torch.manual_seed(recipe.seed)
    arguments = recipe.architecture
    swin_unetr = build(arguments.name, recipe.network)
    network = SwinUNETRPretraining(swin_unetr, arguments.in_channels, arguments.feature_size)
    dataset, crop = sub_volumes(data.training, recipe.preparation, recipe.patch, recipe.plane)
    views = _TwoViews(crop, recipe.plane)
    steps = recipe.epochs * (len(data.training) // (recipe.batch * number_of_processes()))
    warmup = min(recipe.warmup_steps, round(WARMUP_SHARE * steps))
    return run_epochs(
        recipe.model_copy(update={"warmup_steps": warmup}),
        network,
        dataset,
        task_losses,
        folder,
        random_part=views,
        prepare_batch=views.of_batch,
        device=device,
        watch=watch,
    )


class _TwoViews:
    """Where all random numbers of a pretraining come from: the crops, and two views of each.

    Args:
        crop: that cuts sub-volumes out of images.
        plane: in which they are turned.
    """

    def __init__(self, crop: RandSpatialCropd, plane: Plane) -> None:
        self._crop = crop
        self._plane = plane
        self._random = np.random.RandomState()

    def set_random_state(self, seed: int) -> None:
        self._crop.set_random_state(seed)
        self._random.seed(seed % 2**32)

    def of_batch(
        self, batch: Mapping[str, torch.Tensor], device: torch.device, non_blocking: bool = False, **_: object
    ) -> tuple[torch.Tensor, Views]:
        """As MONAI's trainer asks for it: what the network is given, and what its predictions are compared with."""
        views = two_views(batch["image"].to(device, non_blocking=non_blocking), self._plane, self._random)
        return views.shown, views
