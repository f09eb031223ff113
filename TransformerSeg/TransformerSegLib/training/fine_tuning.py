"""Training a segmentation network on labelled volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from TransformerSegLib.bundles.weights import fill
from TransformerSegLib.training.cases import DataList
from TransformerSegLib.training.engine import run_epochs
from TransformerSegLib.training.processes import gathered, is_first, number_of_processes, process_number
from TransformerSegLib.training.recipe import Recipe
from TransformerSegLib.training.reports import UNWATCHED, Measured, Watch
from TransformerSegLib.training.run_folder import claim
from TransformerSegLib.training.starting import Start

if TYPE_CHECKING:
    import torch


def fine_tune(
    recipe: Recipe,
    data: DataList,
    folder: Path,
    watch: Watch = UNWATCHED,
    device: str = "cpu",
    start: Start | None = None,
    classes: Sequence[str] = (),
) -> torch.nn.Module:
    """Train a network, or go on where an earlier call with the same folder stopped: see ``engine.run_epochs``.

    Args:
        recipe: all settings.
        data: training and validation cases.
        folder: of the run; made if missing.
        watch: who is told.
        device: a torch device.
        start: the weights to start from; None: random ones.
        classes: their names in the order of the network's channels, for the log; none: they are numbered from 1 on.

    Returns:
        The network with the exponential moving average of the weights, in evaluation mode, on the CPU.

    Raises:
        TrainingDataRejected: the folder holds a run with another recipe, start or other cases, or is damaged.
        TrainingDiverged: the loss is no longer a number.
        BundleRejected: the start holds numbers that are not finite.
    """
    import torch

    from TransformerSegLib.networks.registry import build
    from TransformerSegLib.training.losses import loss
    from TransformerSegLib.training.samples import training_set

    claim(folder, recipe.model_dump(mode="json"), data, start, write=is_first(), completed=_completed)
    torch.manual_seed(recipe.seed)
    network = build(recipe.architecture, recipe.network)
    if start is not None:
        fill(network, start.tensors, start.path)
    dataset, random_part = training_set(recipe, data.training, data.classes)
    return run_epochs(
        recipe,
        network,
        dataset,
        loss(recipe),
        folder,
        random_part=random_part,
        validate=_validation(recipe, data, device, classes) if data.validation else None,
        device=device,
        watch=watch,
    )


def _completed(kept: object) -> object:
    """A kept recipe, where it was written before a field existed with the field's default."""
    try:
        return Recipe.model_validate(kept).model_dump(mode="json")
    except ValidationError:
        return None


def _validation(
    recipe: Recipe, data: DataList, device: str, names: Sequence[str]
) -> Callable[[torch.nn.Module], Measured]:
    """A function that measures a network; each process takes its share of the cases."""
    import torch

    from TransformerSegLib.training.samples import validation_set
    from TransformerSegLib.training.validating import decided, dice_metric, inferer

    numbers = range(process_number(), len(data.validation), number_of_processes())
    own = validation_set(recipe, [data.validation[number] for number in numbers], data.classes)
    infer = inferer(recipe)

    def measure(network: torch.nn.Module) -> Measured:
        metric = dice_metric(recipe)
        network.eval()
        scores: dict[int, torch.Tensor] = {}
        with torch.inference_mode():
            for place, number in enumerate(numbers):
                case = own[place]
                logits = infer(case["image"][None].to(device), network)
                scores[number] = metric(decided(recipe, logits).cpu(), case["label"][None])
        found = {number: score for share in gathered(scores) for number, score in share.items()}
        return _averaged(torch.cat([found[number] for number in sorted(found)]), names)

    return measure


def _averaged(scores: torch.Tensor, names: Sequence[str]) -> Measured:
    """Means of (cases, classes), NaN where a case does not show a class: as MONAI averages them."""
    from monai.metrics.utils import do_metric_reduction

    mean = math.nan if scores.isnan().all() else float(do_metric_reduction(scores, "mean")[0])
    of_classes = scores.nanmean(0).tolist()
    names = names or [str(number) for number in range(1, len(of_classes) + 1)]
    return Measured(mean, dict(zip(names, of_classes, strict=True)))
