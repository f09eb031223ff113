"""Linear layers with weights that lie as the processor reads them. Imports torch: only modules of networks import
it."""

from __future__ import annotations

import platform
from functools import cache

import torch
from torch import nn
from torch.nn.functional import gelu, linear

from TransformerSegLib.networks.perceptron_module import Perceptron


class PackedLinear(nn.Module):
    """(…, inputs) → (…, outputs) on a CPU, as ``torch.nn.Linear`` of these weights.

    oneDNN's matrix product, with weights that were laid out for it once, takes 10 to 25 % less time than the product
    that torch calls, the more the fewer rows there are; where torch comes without it, that one is called.

    Args:
        weight: (outputs, inputs) float32.
        bias: (outputs,), or None.
        then_gelu: whether an exact GELU follows.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, then_gelu: bool = False) -> None:
        super().__init__()
        self._then_gelu = then_gelu
        self._packed = _has_onednn()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach()) if self._packed else weight.detach()
        self._bias = None if bias is None else bias.detach()

    @classmethod
    def of(cls, layer: nn.Linear) -> PackedLinear:
        return cls(layer.weight, layer.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if not self._packed:
            made = linear(features, self._weight, self._bias)
            return gelu(made) if self._then_gelu else made
        return _product(features, self._weight, self._bias, self._then_gelu)


class PackedPerceptron(nn.Module):
    """(…, features) → (…, features), as ``plain`` in evaluation mode."""

    def __init__(self, plain: Perceptron) -> None:
        super().__init__()
        self.hidden = PackedLinear(plain.fc1.weight, plain.fc1.bias, then_gelu=True)
        self.out = PackedLinear.of(plain.fc2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(self.hidden(tokens))


def _product(features: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None, then_gelu: bool) -> torch.Tensor:
    after, algorithm = ("gelu", "none") if then_gelu else ("none", "")
    return torch.ops.mkldnn._linear_pointwise(features, packed, bias, after, [], algorithm)


@cache
def _has_onednn() -> bool:
    """Whether torch was built with it, for a processor on which that was measured, and has these functions, which are
    its own affair, as they are used here."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available():
        return False
    number = torch.ones(1, 1, dtype=torch.float32, device="cpu")
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(number)
        return all(bool(_product(number, packed, number[0], gelu).isfinite().all()) for gelu in (False, True))
    except (AttributeError, TypeError, RuntimeError):
        return False
