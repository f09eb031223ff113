"""The perceptron between the attentions of a transformer: Dosovitskiy et al., "An Image is Worth 16×16 Words",
https://arxiv.org/abs/2010.11929, section 3.1. Imports torch: only modules of networks import it.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Perceptron(nn.Module):
    """(…, features) → (…, features): two linear layers with an exact (not tanh) GELU between them."""

    def __init__(self, features: int, hidden: int, drop_rate: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, hidden)
        self.fc2 = nn.Linear(hidden, features)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.drop(self.fc2(self.drop(functional.gelu(self.fc1(tokens)))))
