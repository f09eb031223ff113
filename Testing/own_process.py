"""Trainings in processes of their own, which a test may stop and kill: they begin with torch and MONAI imported, which
takes five seconds where each does it for itself."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

READY = (
    "ignite.handlers",
    "matplotlib.figure",
    "monai.engines",
    "monai.networks.nets",
    "TransformerSegLib.cli",
    "TransformerSegLib.training.pretraining_session",
    "TransformerSegLib.training.session",
    __name__,
)


def started(function, *arguments: object) -> BaseProcess:
    """A process that calls a function of this module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(READY))
    process = context.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def command(said: Path, *arguments: str) -> None:
    """``transformerseg …``; what it prints goes to the file ``said``."""
    from TransformerSegLib.cli import main

    with said.open("w", encoding="utf-8", buffering=1) as sys.stdout:
        sys.stderr, sys.argv = sys.stdout, ["transformerseg", *arguments]
        main()


def pretraining_that_is_killed_in_its_second_epoch(recipe, data, folder: Path) -> None:
    """``pretrain`` with these arguments, ended as by ``kill -9``."""
    from TransformerSegLib.training.pretraining import pretrain
    from TransformerSegLib.training.reports import Watch

    def kill_in_epoch_2(report) -> None:
        if report.epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    pretrain(recipe, data, folder, watch=Watch(on_step=kill_in_epoch_2))
