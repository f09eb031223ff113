"""Training a segmentation network on labelled volumes: MONAI's engine, with checkpoints and a log."""

from __future__ import annotations

import csv
import json
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.weights import fill
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.training.data_list import Case, DataList
from TransformerSegLib.training.recipe import Recipe
from TransformerSegLib.training.starting import Start

if TYPE_CHECKING:
    import torch
    from monai.engines import SupervisedTrainer
    from monai.transforms import Compose

CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
START = "start.json"
DAMAGE = (OSError, ValueError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError)
"""What readers of JSON and of checkpoints raise where a file is torn."""

LOG_FIELDS = ("epoch", "loss", "learning_rate", "seconds", "mean_dice")


@dataclass(frozen=True)
class EpochReport:
    """What a run tells after every epoch.

    Attributes:
        epoch, epochs: done, and of how many.
        loss: mean over the epoch's steps (Dice loss + cross-entropy).
        learning_rate: at the epoch's end.
        seconds: that this epoch took, its validation included.
        seconds_left: estimated, of the whole run.
        mean_dice: of the averaged weights over the validation cases and classes; None where it was not measured.
    """

    epoch: int
    epochs: int
    loss: float
    learning_rate: float
    seconds: float
    seconds_left: float
    mean_dice: float | None


def fine_tune(
    recipe: Recipe,
    data: DataList,
    folder: Path,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    device: str = "cpu",
    start: Start | None = None,
) -> torch.nn.Module:
    """Train a network, or go on where an earlier call with the same folder stopped.

    After every epoch the whole state is written to ``folder`` (atomically) and a line is added to ``log.csv`` there;
    a run that was killed loses the epoch that it was in. On one machine the same recipe gives the same weights,
    interrupted or not.

    Args:
        recipe: all settings.
        data: training and validation cases.
        folder: of the run; made if missing.
        on_epoch: called after every epoch.
        device: a torch device.
        start: the weights to start from; None: random ones.

    Returns:
        The network with the exponential moving average of the weights (Polyak and Juditsky 1992, as ignite's
        ``EMAHandler``), in evaluation mode, on the CPU.

    Raises:
        TrainingDataRejected: the folder holds a run with another recipe, start or other cases, or is damaged.
        BundleRejected: the start holds numbers that are not finite.
    """
    import torch
    from monai.data import CacheDataset, DataLoader, DistributedSampler
    from monai.engines import SupervisedTrainer
    from monai.losses import DiceCELoss
    from monai.optimizers import WarmupCosineSchedule
    from monai.transforms import Compose

    from TransformerSegLib.networks.registry import build
    from TransformerSegLib.training.augmentation import augmentation, preparation

    _claim(folder, recipe, data, start)
    torch.manual_seed(recipe.seed)
    network = build(recipe.architecture, recipe.network)
    if start is not None:
        fill(network, start.tensors, start.path)
    network.to(device, memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    optimizer.register_step_pre_hook(
        lambda *_: torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_norm) and None
    )
    random_part = augmentation(recipe)
    dataset = CacheDataset(_entries(data.training), Compose([*preparation(recipe), random_part]), progress=False)
    # This sampler's order follows from seed and epoch, and MONAI's engine tells it the epoch.
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=True, seed=recipe.seed)
    loader = DataLoader(dataset, batch_size=recipe.batch, sampler=sampler, drop_last=True)
    schedule = WarmupCosineSchedule(optimizer, recipe.warmup_steps, recipe.epochs * len(loader))
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=recipe.epochs,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=DiceCELoss(
            include_background=False, to_onehot_y=True, softmax=True, smooth_nr=1e-3, smooth_dr=1e-3
        ),
        decollate=False,
    )
    average = _average_weights(trainer, network, recipe)
    _seed_every_epoch(trainer, recipe.seed, random_part)
    _follow_schedule(trainer, schedule)
    validate = _validation(average, data, recipe, device) if data.validation else None
    _report(trainer, folder, schedule, recipe, validate, on_epoch)
    _keep_state(
        trainer,
        {"trainer": trainer, "network": network, "average": average, "optimizer": optimizer, "schedule": schedule},
        folder,
    )
    if trainer.state.epoch < recipe.epochs:
        trainer.run()
    return average.cpu().eval()


def _claim(folder: Path, recipe: Recipe, data: DataList, start: Start | None) -> None:
    """Write what defines the run into its folder, or find the same there."""
    folder.mkdir(parents=True, exist_ok=True)
    # Runs from random weights keep no record of a start.
    begun, record = (folder / "recipe.json").exists(), start.record if start else None
    if begun and (folder / START).exists() is not (record is not None):
        raise _another_run(folder, "another start")
    cases = {"training": _names(data.training, data.root), "validation": _names(data.validation, data.root)}
    for name, what, content in (
        ("recipe.json", "another recipe", recipe.model_dump(mode="json")),
        ("cases.json", "other cases", cases),
        *([(START, "another start", record)] if record else []),
    ):
        kept = folder / name
        if not kept.exists():
            with written_atomically(kept) as temporary:
                temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        elif _read_json(kept) != content:
            raise _another_run(folder, what)


def _another_run(folder: Path, what: str) -> TrainingDataRejected:
    return TrainingDataRejected(
        f"“{folder}” holds a run with {what}",
        why="a run goes on only with the settings and cases that it began with",
        remedy="Name another folder for the run",
    )


def _names(cases: Sequence[Case], root: Path) -> list[list[str]]:
    """Image and label of each case, relative to the root: data may be moved between two starts."""
    files = ((case.image, case.label) for case in cases)
    return [
        [(path.relative_to(root) if path.is_relative_to(root) else path).as_posix() for path in pair] for pair in files
    ]


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> TrainingDataRejected:
    return TrainingDataRejected(
        f"The run in “{path.parent}” cannot go on",
        why=f"its {path.name} is damaged ({(str(error) or type(error).__name__).splitlines()[0]})",
        remedy="Name another folder for the run",
    )


def _entries(cases: Sequence[Case]) -> list[dict[str, str]]:
    return [{"image": str(case.image), "label": str(case.label)} for case in cases]


def _average_weights(trainer: SupervisedTrainer, network: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
    """Attach the moving average; it follows quickly while the run is young."""
    from ignite.engine import Events
    from ignite.handlers import EMAHandler

    @trainer.on(Events.ITERATION_STARTED)
    def set_momentum(engine) -> None:
        # From the step's number alone, so that there is no state to keep for a continued run.
        engine.state.ema_momentum = max(recipe.average_momentum, 9 / (10 + engine.state.iteration))

    handler = EMAHandler(network, recipe.average_momentum)
    handler.attach(trainer, name="ema_momentum")
    return handler.ema_model


def _seed_every_epoch(trainer: SupervisedTrainer, seed: int, random_part: Compose) -> None:
    """Each epoch's random numbers follow from the seed and its number alone, so that a continued run repeats them."""
    import torch
    from ignite.engine import Events

    @trainer.on(Events.EPOCH_STARTED)
    def reseed(engine) -> None:
        epoch_seed = seed * 100_003 + engine.state.epoch
        torch.manual_seed(epoch_seed)
        random_part.set_random_state(epoch_seed)


def _follow_schedule(trainer: SupervisedTrainer, schedule) -> None:
    from ignite.engine import Events

    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: schedule.step())


def _validation(average: torch.nn.Module, data: DataList, recipe: Recipe, device: str) -> Callable[[], float]:
    """A function that measures the averaged weights: mean Dice over validation cases and classes."""
    import torch
    from monai.data import CacheDataset
    from monai.inferers import SlidingWindowInferer
    from monai.metrics import DiceMetric
    from monai.transforms import Compose

    from TransformerSegLib.training.augmentation import preparation

    dataset = CacheDataset(_entries(data.validation), Compose(preparation(recipe)), progress=False)
    inferer = SlidingWindowInferer(recipe.patch, 1, recipe.overlap, mode="gaussian")

    def measure() -> float:
        metric = DiceMetric(include_background=False, num_classes=int(recipe.network["out_channels"]))
        average.eval()
        with torch.inference_mode():
            for case in dataset:
                logits = inferer(case["image"][None].to(device), average)
                metric(logits.argmax(1, keepdim=True).cpu(), case["label"][None])
        return float(metric.aggregate())

    return measure


def _report(
    trainer: SupervisedTrainer,
    folder: Path,
    schedule,
    recipe: Recipe,
    validate: Callable[[], float] | None,
    on_epoch: Callable[[EpochReport], None],
) -> None:
    """After every epoch: measure where it is due, add a line to the log, tell the caller."""
    from ignite.engine import Events

    losses: list[float] = []
    clock = {"epoch": 0.0, "spent": 0.0, "epochs": 0}

    @trainer.on(Events.EPOCH_STARTED)
    def start(engine) -> None:
        losses.clear()
        clock["epoch"] = time.monotonic()

    @trainer.on(Events.ITERATION_COMPLETED)
    def collect(engine) -> None:
        losses.append(engine.state.output["loss"].item())

    @trainer.on(Events.EPOCH_COMPLETED)
    def report(engine) -> None:
        epoch = engine.state.epoch
        due = epoch % recipe.validation_interval == 0 or epoch == recipe.epochs
        mean_dice = validate() if validate and due else None
        seconds = time.monotonic() - clock["epoch"]
        clock["spent"] += seconds
        clock["epochs"] += 1
        told = EpochReport(
            epoch,
            recipe.epochs,
            sum(losses) / len(losses),
            schedule.get_last_lr()[0],
            seconds,
            clock["spent"] / clock["epochs"] * (recipe.epochs - epoch),
            mean_dice,
        )
        _log(folder / LOG, told)
        on_epoch(told)


def _log(path: Path, report: EpochReport) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, LOG_FIELDS)
        if new:
            writer.writeheader()
        writer.writerow({field: getattr(report, field) for field in LOG_FIELDS})


def _keep_state(trainer: SupervisedTrainer, parts: dict, folder: Path) -> None:
    """Save everything after every epoch, and first take up what an earlier run left."""
    import torch
    from ignite.engine import Events
    from ignite.handlers import Checkpoint, DiskSaver

    kept = folder / CHECKPOINT
    if kept.exists():
        try:
            Checkpoint.load_objects(parts, torch.load(kept, map_location="cpu", weights_only=True))
        except DAMAGE as error:
            raise _damaged(kept, error) from error
    saver = Checkpoint(parts, DiskSaver(folder, require_empty=False), n_saved=1, filename_pattern=CHECKPOINT)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, saver)
