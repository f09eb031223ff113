"""A network made over without touching it. Imports torch: only modules of networks import it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import chain

from torch import nn


def shared_copy(network: nn.Module) -> nn.Module:
    """Layers of one's own, with the network's own weights: these are not copied, nor are hooks, which somebody may have
    on the network for a moment, and would not find to take off again."""
    weights = chain(network.parameters(), network.buffers())
    copied = deepcopy(network, {id(weight): weight for weight in weights})
    for layer in copied.modules():
        layer._forward_pre_hooks.clear()
        layer._forward_hooks.clear()
    return copied


def replace_layers(network: nn.Module, kind: type[nn.Module], made: Callable[[nn.Module], nn.Module]) -> None:
    """Every layer of that kind in a network by what is made of it."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind):
                setattr(parent, name, made(child))
