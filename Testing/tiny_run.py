"""A training run of seconds: three real cases, and a network small enough for a test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from small_networks import UNETR

DATA = Path(__file__).parent / "data" / "hippocampus" / "training"
CASES = ("150", "243", "380")
RECIPE = {
    "architecture": "UNETR",
    "network": UNETR | {"img_size": [16, 16, 16]},
    "spacing_mm": [2.0, 2.0, 2.0],
    "patch": [16, 16, 16],
    "batch": 1,
    "epochs": 2,
    "warmup_steps": 1,
    "flip_axes": [0],
    "validation_interval": 2,
    "seed": 3,
}
CARD = {
    "name": "tiny",
    "title": "Tiny",
    "version": "0.0.1",
    "description": "For a test.",
    "inputs": [{"name": "image"}],
    "classes": [
        {"label": 1, "channel": 1, "name": "Anterior", "color": [1, 0, 0]},
        {"label": 2, "channel": 2, "name": "Posterior", "color": [0, 0, 1]},
    ],
    "licence": "CC-BY-SA-4.0",
    "training_data": "Three cases.",
}


def entry(case: str) -> dict[str, str]:
    return {"image": f"imagesTr/hippocampus_{case}.nii.gz", "label": f"labelsTr/hippocampus_{case}.nii.gz"}


def written_definition(folder: Path, **changes) -> Path:
    """A definition's folder: two cases to train on, one to measure on; ``changes`` are of the recipe."""
    folder.mkdir()
    lists = {"name": "three cases", "training": [entry(c) for c in CASES[:2]], "validation": [entry(CASES[2])]}
    for name, content in (("recipe", RECIPE | changes), ("card", CARD), ("data_list", lists)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def weights(network) -> np.ndarray:
    """All numbers of a network."""
    return np.concatenate([tensor.detach().float().numpy().ravel() for tensor in network.state_dict().values()])
