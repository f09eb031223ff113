"""What the names and shapes of a checkpoint's tensors tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shapes = Mapping[str, tuple[int, ...]]
"""The tensors of a checkpoint by their names, without a prefix that all of them have ("module.", "swin_unet.")."""


@dataclass(frozen=True)
class Recognised:
    """A network and its sizes, as far as a checkpoint tells them.

    Attributes:
        architecture: its name in the registry.
        layout: who wrote it, for people ("UNETR, MONAI 0.7 (BTCV release)").
        arguments: of the architecture, under the names of its fields: all that names and shapes tell.
        open: names of those arguments that they cannot tell and that change the result: they are asked for.
        assumed: of the arguments, those that are likely but not certain, each with the reason in a few words.
        renamed: the name of a tensor in the checkpoint → its name in the network, where the two differ.
        ignored: names of tensors that take no part in the result → what they are ("pretraining head").
        hints: of the open arguments, those of which something is known, with what that is.
    """

    architecture: str
    layout: str
    arguments: Mapping[str, object]
    open: tuple[str, ...] = ()
    assumed: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
