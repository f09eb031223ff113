"""A network among what a class around it keeps beside it, as PyTorch Lightning saves it: “net.…”, and “loss.weight”."""

from __future__ import annotations

import re
from dataclasses import replace

from TransformerSegLib.bundles.weights import PREFIXES
from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes
from TransformerSegLib.networks.layouts.registry import recognise

OF_TRAINING = re.compile(r"[^.]*(loss|criterion|metric)", re.IGNORECASE)
"""Begins the name of a tensor that only the training needs: the loss's weights of classes, a metric's counts."""

BESIDE = "of the loss or a metric"
"""Why such a tensor is left behind."""


def recognised_among(shapes: Shapes) -> Recognised:
    """The network that a checkpoint holds: of all tensors, or of those under the prefix that most of them have.

    What lies beside it is left behind where its name tells that it is of the training; anything else keeps its name,
    which is none of the network's.

    Raises:
        CheckpointRejected: it is none that is known here.
    """
    try:
        return recognise(shapes)
    except CheckpointRejected:
        prefix = _usual_prefix(shapes)
        if not prefix:
            raise
    inner = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
    found = recognise(inner)
    beside = [name for name in shapes if not name.startswith(prefix) and OF_TRAINING.match(name)]
    ignored = {prefix + name: reason for name, reason in found.ignored.items()} | dict.fromkeys(beside, BESIDE)
    return replace(found, renamed={prefix + name: found.renamed.get(name, name) for name in inner}, ignored=ignored)


def _usual_prefix(shapes: Shapes) -> str:
    prefix = ""
    while longer := next((prefix + each for each in PREFIXES if _is_usual(prefix + each, shapes)), None):
        prefix = longer
    return prefix


def _is_usual(prefix: str, shapes: Shapes) -> bool:
    return 2 * sum(name.startswith(prefix) for name in shapes) > len(shapes)
