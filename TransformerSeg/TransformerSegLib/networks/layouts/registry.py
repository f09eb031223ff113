"""Which network a checkpoint holds, among those that are known."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.file_text import quoted
from TransformerSegLib.networks.layouts import swin_unet, swin_unetr, transunet, unest, unetr, unetr_tamasino52
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes

LAYOUTS: tuple[Callable[[Shapes], Recognised | None], ...] = (
    unetr.recognised,
    swin_unetr.recognised,
    unetr_tamasino52.recognised,
    swin_unet.recognised,
    transunet.recognised,
    unest.recognised,
)
"""Each tells its own network by tensors that no other has."""

STUMBLING = (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError)
"""What reading sizes from shapes ends in where a tensor has a network's name, and not its number of axes."""

CLASSIFIER = re.compile(r"(.*\.)?(head|fc|classifier|heads\.head|logits)\.weight")

NAMES_SHOWN = 3


def recognise(shapes: Shapes) -> Recognised:
    """The network that a checkpoint holds.

    Raises:
        CheckpointRejected: it is none that is known here.
    """
    for layout in LAYOUTS:
        with suppress(*STUMBLING):
            if (found := layout(shapes)) is not None:
                return found
    if swin_unetr.encoder_names(shapes):
        raise CheckpointRejected(
            "The checkpoint holds the encoder of a Swin UNETR alone",
            why="it was trained without labels, and knows no structures yet",
            remedy="Train a model from it with “transformerseg train … --start FILE”",
        )
    raise CheckpointRejected(
        f"The checkpoint's network is not recognised ({_shown(shapes)})",
        why=_reason(shapes),
        remedy="Import a checkpoint of one of these as its official trainer saves it",
    )


def _shown(shapes: Shapes) -> str:
    names = ", ".join(quoted(name) for name in list(shapes)[:NAMES_SHOWN])
    return f"{len(shapes)} tensors: {names}{', …' if len(shapes) > NAMES_SHOWN else ''}"


def _reason(shapes: Shapes) -> str:
    known = "UNETR, Swin UNETR, Swin-Unet, TransUNet or UNesT in three or, for slices, two dimensions"
    if any(CLASSIFIER.fullmatch(name) and len(shape) == 2 for name, shape in shapes.items()):
        return f"it looks like a network that classifies images, and what is imported here is {known}"
    return f"what is imported here is {known}"
