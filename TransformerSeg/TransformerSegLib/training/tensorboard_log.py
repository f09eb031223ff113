"""The log of a run as TensorBoard shows it, where that is installed: ``tensorboard --logdir RUN``."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

from TransformerSegLib.training.reports import EpochReport


class TensorBoardLog:
    """Writes TensorBoard's event files; without the package ``tensorboard`` it does nothing.

    Args:
        folder: of the run.
        epochs: that the run's state knows of; what an earlier start wrote of later ones is not shown.
    """

    def __init__(self, folder: Path, epochs: int) -> None:
        self._writer = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(folder, purge_step=epochs + 1)

    def add(self, report: EpochReport) -> None:
        """Write the numbers of an epoch."""
        if self._writer is None:
            return
        for name, value in report.row.items():
            if name != "epoch" and value is not None and math.isfinite(value):
                self._writer.add_scalar(name.replace(" ", "/"), value, report.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Let go of the file."""
        if self._writer is not None:
            self._writer.close()
