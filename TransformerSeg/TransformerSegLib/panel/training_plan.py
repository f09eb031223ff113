"""What a training is asked to do: kept in its run folder, so that another day it can be continued."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from TransformerSegLib.bundles.atomic import write_json
from TransformerSegLib.bundles.file_lock import is_locked
from TransformerSegLib.training.run_files import CHECKPOINT, LOCK, run_folder

FILE = "panel.json"
"""In the run folder: the plan."""


@dataclass(frozen=True)
class TrainingPlan:
    """One training.

    Attributes:
        title: what a person called the model.
        data: a folder of cases, or a data list.
        output: folder of the model that comes of it, of which the last part is its name.
        start: folder of the model whose network, classes and weights are taken; "": a new network.
        network: of a new one, as the command names it.
        epochs: passes over the cases.
        device: as the command takes it.
    """

    title: str
    data: str
    output: str
    start: str
    network: str
    epochs: int
    device: str = "auto"

    @property
    def run(self) -> Path:
        """The run folder."""
        return run_folder(Path(self.output))

    @property
    def arguments(self) -> list[str]:
        """Of ``python -m TransformerSegLib.cli``."""
        begun = ["--from", self.start] if self.start else ["--network", self.network, "--recipe", "general"]
        return [
            *("train", *begun),
            *("--data", self.data, "--output", self.output, "--run", str(self.run)),
            *("--epochs", str(self.epochs), "--device", self.device),
        ]

    @property
    def is_free(self) -> bool:
        """Whether nothing is lost where this begins: there is no model of this name, and no run that got anywhere."""
        return not Path(self.output).exists() and (not self.run.exists() or self._got_nowhere)

    @property
    def _got_nowhere(self) -> bool:
        begun, kept = (self.run / FILE).is_file(), (self.run / CHECKPOINT).exists()
        return begun and not kept and not is_locked(self.run / LOCK)

    def clear(self) -> None:
        """Delete what an earlier run of this name left that got nowhere: its cases were refused, for instance."""
        if self._got_nowhere:
            shutil.rmtree(self.run, ignore_errors=True)

    def keep(self) -> None:
        """Write it into the run folder, which is made.

        Raises:
            OSError: it cannot be written.
        """
        write_json(self.run / FILE, asdict(self))

    @classmethod
    def kept_in(cls, folder: Path) -> Self | None:
        """None where the folder is gone, or holds no plan of ours."""
        try:
            plan = cls(**json.loads((folder / FILE).read_text(encoding="utf-8")))
            return plan if plan.run == folder else None
        except (OSError, ValueError, TypeError):
            return None
