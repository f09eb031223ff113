"""Checkpoints as the official trainers save them, with the weights of the golden cases."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.networks.registry import build

from golden_case import KEPT, golden_case
from official_arguments import PREFIX, ours

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]

NUMPY_1, NUMPY_2 = b"numpy.core.multiarray", b"numpy._core.multiarray"


@cache
def _official_state(name: str) -> State:
    case = golden_case(name)
    weights = case.weights
    if kept := [tensor for tensor, _, rule, _ in case.tensors if rule == KEPT]:
        tables = build(*ours(case, "output_merging161" if "swin_unetr" in name else "output")).state_dict()
        weights |= {tensor: tables[tensor.removeprefix(PREFIX)] for tensor in kept}
    return {tensor: weights[tensor] for tensor in case.shapes}


def official_state(name: str) -> State:
    """The whole state dict of a golden case, the tables that its constructor makes included."""
    return dict(_official_state(name))


def with_prefix(prefix: str) -> Callable[[State], object]:
    """A flat state dict of which every name has a prefix."""
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


def of_monai_trainer(state: State) -> dict[str, object]:
    """As the BTCV and BraTS21 trainers of research-contributions save it."""
    return {"epoch": 3, "best_acc": np.float64(0.8), "state_dict": state}


def with_optimizer(state: State) -> dict[str, object]:
    """The same with what they save at first."""
    optimizer = {"state": {0: {"step": 5, "exp_avg": next(iter(state.values()))}}, "param_groups": [{"lr": 1e-4}]}
    return {**of_monai_trainer(state), "optimizer": optimizer, "scheduler": {"last_epoch": 3}}


def save(content: object, path: Path) -> Path:
    """In torch's format of today."""
    import torch

    torch.save(content, path)
    return path


def save_before_torch_1_6(content: object, path: Path) -> Path:
    """In the format that is no zip archive."""
    import torch

    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def save_with_numpy_1(content: object, path: Path) -> Path:
    """With numbers of NumPy's under the name that NumPy 1 gives them."""
    import torch

    today = io.BytesIO()
    torch.save(content, today)
    with zipfile.ZipFile(today) as read, zipfile.ZipFile(path, "w") as written:
        for entry in read.infolist():
            written.writestr(entry.filename, read.read(entry).replace(NUMPY_2, NUMPY_1))
    return path
