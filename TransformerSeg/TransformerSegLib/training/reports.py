"""What a training run tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from TransformerSegLib.training.learning_log import FIELDS
from TransformerSegLib.training.progress_file import ProgressFile


@dataclass(frozen=True)
class Measured:
    """How well a network does.

    Attributes:
        mean_dice: over cases and classes; NaN where no case shows any class.
        dice: by the classes' names, mean over the cases; NaN where no case shows the class.
    """

    mean_dice: float
    dice: Mapping[str, float]


@dataclass(frozen=True)
class StepReport:
    """What a run tells after every step: how far it is, the step's loss, and an estimate of the time left."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    seconds_left: float


@dataclass(frozen=True)
class EpochReport:
    """What a run tells after every epoch.

    Attributes:
        epoch, epochs: done, and of how many.
        loss: mean over the epoch's steps.
        learning_rate: at the epoch's end.
        seconds: that this epoch took, its validation included.
        seconds_left: estimated, of the whole run.
        mean_dice: of the averaged weights over the validation cases and classes; None where it was not measured.
        dice: the same, by the classes' names.
        losses: where the loss has named parts, the mean of each.
    """

    epoch: int
    epochs: int
    loss: float
    learning_rate: float
    seconds: float
    seconds_left: float
    mean_dice: float | None
    dice: Mapping[str, float] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)

    @property
    def row(self) -> dict[str, float | None]:
        """Its line in the log."""
        return (
            {name: getattr(self, name) for name in FIELDS}
            | {f"dice {name}": value for name, value in self.dice.items()}
            | {f"loss {name}": value for name, value in self.losses.items()}
        )


@dataclass(frozen=True)
class Watch:
    """Who is told of a run; with several processes only those of the first.

    Attributes:
        on_epoch: called after every epoch.
        on_step: called after every step.
        progress: the run's ``progress.json``; None: the run keeps its own.
    """

    on_epoch: Callable[[EpochReport], None] = lambda report: None
    on_step: Callable[[StepReport], None] = lambda report: None
    progress: ProgressFile | None = None


UNWATCHED = Watch()
"""Nobody is told, but the run's own files."""
