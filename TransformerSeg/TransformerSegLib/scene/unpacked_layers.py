"""Layers of proposals, unpacked once for those who look into them again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import numpy as np

    from TransformerSegLib.inference.proposal import Proposal
    from TransformerSegLib.scene.lattice import Index

_kept: WeakKeyDictionary[Proposal, dict[int, np.ndarray]] = WeakKeyDictionary()


def kept_unpacked(proposal: Proposal, layer: int) -> tuple[np.ndarray, Index]:
    """A layer's labels, and where they begin; kept for as long as the proposal is."""
    known = _kept.setdefault(proposal, {})
    if layer not in known:
        known[layer] = proposal.layers[layer].labels()
    return known[layer], proposal.layers[layer].start


def unpacked(proposal: Proposal, layer: int) -> tuple[np.ndarray, Index]:
    """Likewise, for one look: not kept, but taken from those that are."""
    known = _kept.get(proposal, {}).get(layer)
    return proposal.layers[layer].labels() if known is None else known, proposal.layers[layer].start
