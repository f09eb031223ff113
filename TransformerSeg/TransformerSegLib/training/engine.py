"""Training in epochs, on MONAI's engine: what fine-tuning and pretraining share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from TransformerSegLib.errors import OutOfMemory, TrainingDataRejected
from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.inference.placement import is_out_of_memory
from TransformerSegLib.training.processes import in_step, is_first, number_of_processes
from TransformerSegLib.training.progress_file import ProgressFile
from TransformerSegLib.training.randomness import RandomPart, loader_of, repeatable, seed_every_epoch
from TransformerSegLib.training.reports import UNWATCHED, Measured, Watch
from TransformerSegLib.training.run_files import CHECKPOINT, PROGRESS
from TransformerSegLib.training.run_folder import DAMAGE, damaged
from TransformerSegLib.training.telling import Teller

if TYPE_CHECKING:
    import torch
    from monai.engines import SupervisedTrainer
    from torch.utils.data import Dataset


SCALER = "scaler"
"""The part of the state that there is with half precision alone."""


class Settings(Protocol):
    """What a recipe says of the training itself; ``Recipe`` documents the fields, and any recipe that has them serves.

    ``mixed_precision`` is “off” or “auto”, ``randomness`` is “epoch” or “case”.
    """

    batch: int
    epochs: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    gradient_norm: float
    average_momentum: float
    validation_interval: int
    mixed_precision: str
    randomness: str
    seed: int


def run_epochs(
    settings: Settings,
    network: torch.nn.Module,
    dataset: Dataset,
    loss: Callable[..., torch.Tensor | Mapping[str, torch.Tensor]],
    folder: Path,
    *,
    random_part: RandomPart,
    prepare_batch: Callable | None = None,
    validate: Callable[[torch.nn.Module], Measured] | None = None,
    device: str = "cpu",
    watch: Watch = UNWATCHED,
) -> torch.nn.Module:
    """Train a network, or go on where an earlier call with the same folder stopped.

    AdamW (Loshchilov and Hutter 2019) with a warm-up and a cosine to zero, gradients clipped by their norm, and an
    exponential moving average of the weights (Polyak and Juditsky 1992, as ignite's ``EMAHandler``). After every epoch
    the whole state is written to ``folder`` (atomically), with the files that ``run_folder`` names; a run that was
    killed loses the epoch that it was in. On one machine the same settings give the same weights, interrupted or not
    (on a GPU as far as ``repeatable`` goes).
    Within ``processes.joined`` all processes train the same network.

    Args:
        settings: of the training.
        network: with the weights to start from; it is trained itself.
        dataset: one item a case (a dictionary of tensors, or a list of such), read by index; ``random_part`` included.
        loss: of the network's outputs and the batch's targets: a scalar, or scalars by their names, which are summed
            and logged one by one.
        folder: of the run; its caller has claimed it.
        random_part: what draws random numbers in ``dataset``.
        prepare_batch: as MONAI's ``SupervisedTrainer`` takes it: (batch, device, non_blocking) → (inputs, targets);
            None: “image” and “label”.
        validate: measures the averaged weights every ``settings.validation_interval`` epochs and after the last; called
            in every process.
        device: a torch device.
        watch: who is told.

    Returns:
        The network with the averaged weights, in evaluation mode, on the CPU.

    Raises:
        TrainingDataRejected: the folder's state is damaged or that of another network, or there are too few cases.
        TrainingDiverged: the loss is no longer a number.
        OutOfMemory: a step takes more than there is.
        OutputRejected: the folder cannot be written to.
    """
    from ignite.engine import Events
    from monai.engines import SupervisedTrainer, default_prepare_batch
    from monai.optimizers import WarmupCosineSchedule

    network.to(device, memory_format=_memory_format(network))
    optimizer = _optimizer(network, settings)
    loader = loader_of(dataset, random_part, settings.batch, settings.seed, settings.randomness == "case", device)
    _refuse_too_few(len(loader), settings)
    schedule = WarmupCosineSchedule(optimizer, settings.warmup_steps, settings.epochs * len(loader))
    summed = _SummedLoss(loss)
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=settings.epochs,
        train_data_loader=loader,
        network=in_step(network, device),
        optimizer=optimizer,
        loss_function=summed,
        prepare_batch=prepare_batch or default_prepare_batch,
        decollate=False,
        **mixed_precision(settings, device),
    )
    # It would print a line about Ctrl-C and about errors that are told in better words.
    trainer.logger.disabled = True
    average = _average_weights(trainer, network, settings)
    seed_every_epoch(trainer, settings.seed, random_part)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: schedule.step())
    parts = {"trainer": trainer, "network": network, "average": average, "optimizer": optimizer, "schedule": schedule}
    _take_up_state(trainer, parts, folder / CHECKPOINT)
    with ExitStack() as open_files:
        if watch.progress is None:
            progress = open_files.enter_context(ProgressFile(folder / PROGRESS, write=is_first()))
            watch = replace(watch, progress=progress)
        teller = Teller(
            trainer,
            folder,
            settings.validation_interval,
            validate and partial(validate, average),
            lambda: {name: part.item() for name, part in summed.parts.items()},
            lambda: schedule.get_last_lr()[0],
            watch,
        )
        open_files.callback(teller.close)
        teller.attach()
        # After the teller: what it raises, as on Ctrl-C, leaves the epoch untold and unsaved alike.
        _save_every_epoch(trainer, parts, folder / CHECKPOINT)
        if trainer.state.epoch < settings.epochs:
            with _memory_told(device), repeatable(device), warnings.catch_warnings():
                # MONAI makes it by its old name.
                warnings.filterwarnings("ignore", message="`torch.cuda.amp.GradScaler", category=FutureWarning)
                trainer.run()
    return average.cpu().eval()


@contextmanager
def _memory_told(device: str) -> Iterator[None]:
    """Say in words that memory ran out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"The memory of {device} does not suffice for this training",
            why="a step, or the measuring of a validation case, takes more",
            remedy="Lower “batch” (--batch) or “patch” in the recipe, and name another folder for the run",
        ) from error


def _refuse_too_few(steps: int, settings: Settings) -> None:
    if not steps:
        raise TrainingDataRejected(
            f"There are fewer training cases than a step takes, which is {settings.batch * number_of_processes()}",
            why="a step takes its patches from as many cases",
            remedy="Lower “batch” in the recipe, start fewer processes, or add cases",
        )


def mixed_precision(settings: Settings, device: str) -> dict[str, object]:
    """What the trainer takes for half precision: where it is asked for, and safe.

    On CUDA bfloat16 where the GPU computes in it, which needs no scaling, or else float16 with scaled gradients
    (Micikevicius et al. 2018). Never on a CPU, where bfloat16 corrupts the gradients of Swin transformers.

    Returns:
        Arguments of ``SupervisedTrainer``; none: full precision.
    """
    import torch

    if settings.mixed_precision == "off" or not device.startswith("cuda"):
        return {}
    return {
        "amp": True,
        "amp_kwargs": {"dtype": torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16},
    }


def _memory_format(network: torch.nn.Module) -> torch.memory_format:
    """Channels last, which convolutions run faster in, for networks of volumes and of slices."""
    import torch

    ranks = {parameter.dim() for parameter in network.parameters()}
    match 4 in ranks, 5 in ranks:
        case False, True:
            return torch.channels_last_3d
        case True, False:
            return torch.channels_last
    return torch.preserve_format


def _optimizer(network: torch.nn.Module, settings: Settings) -> torch.optim.Optimizer:
    import torch

    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    optimizer.register_step_pre_hook(
        lambda *_: torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_norm) and None
    )
    return optimizer


class _SummedLoss:
    """A loss that may have named parts: their sum, and each of them for the log."""

    def __init__(self, loss: Callable[..., torch.Tensor | Mapping[str, torch.Tensor]]) -> None:
        self._loss = loss
        self.parts: dict[str, torch.Tensor] = {}

    def __call__(self, outputs, targets) -> torch.Tensor:
        found = self._loss(outputs, targets)
        if not isinstance(found, Mapping):
            return found
        self.parts = {name: part.detach() for name, part in found.items()}
        return sum(found.values())


def _average_weights(trainer: SupervisedTrainer, network: torch.nn.Module, settings: Settings) -> torch.nn.Module:
    """Attach the moving average; it follows quickly while the run is young."""
    from ignite.engine import Events
    from ignite.handlers import EMAHandler

    @trainer.on(Events.ITERATION_STARTED)
    def set_momentum(engine) -> None:
        # From the step's number alone, so that there is no state to keep for a continued run.
        engine.state.ema_momentum = max(settings.average_momentum, 9 / (10 + engine.state.iteration))

    handler = EMAHandler(network, settings.average_momentum)
    handler.attach(trainer, name="ema_momentum")
    return handler.ema_model


def _take_up_state(trainer: SupervisedTrainer, parts: dict, kept: Path) -> None:
    import torch
    from ignite.engine import Events
    from ignite.handlers import Checkpoint

    if not kept.exists():
        return
    try:
        state = torch.load(kept, map_location="cpu", weights_only=True)
        Checkpoint.load_objects(parts, state)
    except DAMAGE as error:
        raise damaged(kept, error) from error

    @trainer.on(Events.STARTED)
    def take_up_scaler(engine) -> None:
        # MONAI makes it when the run starts. There is no state of it where the run began in full precision.
        if engine.scaler is not None:
            engine.scaler.load_state_dict(state.get(SCALER) or engine.scaler.state_dict())


def _save_every_epoch(trainer: SupervisedTrainer, parts: dict, kept: Path) -> None:
    """Replace the state by the new one in one stroke. (Ignite's ``Checkpoint`` takes the old file of the same name away
    before it writes: a process killed in between would lose the whole run.)"""
    import torch
    from ignite.engine import Events

    @trainer.on(Events.EPOCH_COMPLETED)
    def save(engine) -> None:
        if is_first():
            saved = parts if engine.scaler is None else parts | {SCALER: engine.scaler}
            with written_atomically(kept) as temporary, temporary.open("wb") as file:
                try:
                    torch.save({name: part.state_dict() for name, part in saved.items()}, file)
                except RuntimeError as error:  # by which torch hides what the system said, as of a full disk
                    raise error.__context__ or error from None
