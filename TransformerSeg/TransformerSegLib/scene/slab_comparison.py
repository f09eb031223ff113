"""A labelmap compared with what a run proposed, slab by slab: only slabs that changed are compared again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.scene.comparing import Placed, differing
from TransformerSegLib.scene.labelmaps import Labels
from TransformerSegLib.scene.lattice import Lattice
from TransformerSegLib.scene.unpacked_layers import unpacked

if TYPE_CHECKING:
    from TransformerSegLib.inference.proposal import Proposal

SLAB_PLANES = 16
"""Of the labelmap, across its axis k. A click or a stroke of the brush concerns a few slabs."""

Members = Mapping[str, tuple[int, int]]
"""Segment id → its label in the labelmap, and in the layer."""


@dataclass
class SlabComparison:
    """What came of comparing a labelmap with a layer of a proposal, when somebody last asked.

    The time of a labelmap's last change would not tell what scripts write into its array; digests of its slabs do.

    Attributes:
        state: the labelmap's place, and the members.
        digests: of each slab.
        found: ids of the members that differ in each slab; at the ends, and at the sides, beyond the labelmap, too.
    """

    state: tuple[bytes, Members] = (b"", {})
    digests: list[bytes] = field(default_factory=list)
    found: list[set[str]] = field(default_factory=list)

    def agree(self, labels: Labels, members: Members) -> None:
        """Note that none differs now."""
        self.state, self.digests = (_place(labels), members), _digests(labels)
        self.found = [set() for _ in self.digests]

    def differing(self, labels: Labels, members: Members, proposal: Proposal, layer: int) -> set[str]:
        """Ids of the members whose voxels are not the same in both."""
        lattice = Lattice.between(labels.affine, proposal.affine, labels.reach)
        if lattice is None:
            return set(members)
        state, digests = (_place(labels), members), _digests(labels)
        if state != self.state or len(digests) != len(self.digests):
            self.digests, self.found = [b""] * len(digests), [set() for _ in digests]
        stale = [number for number, digest in enumerate(digests) if digest != self.digests[number]]
        if stale:
            then = unpacked(proposal, layer)
            for number in stale:
                slab, part = _slab(labels, number, len(digests), lattice, then)
                self.found[number] = differing(members, slab, part, axis=1)
        self.state, self.digests = state, digests
        return set().union(*self.found)


def _slab(labels: Labels, number: int, count: int, lattice: Lattice, then: Placed) -> tuple[Placed, Placed]:
    """A slab of the labelmap, and of the layer what lies beside it; both on the layer's grid."""
    first = number * SLAB_PLANES
    planes = labels.array[:, :, first : first + SLAB_PLANES]
    i, j, k = labels.start
    slab, start = lattice.placed(planes, (i, j, k + first))
    across = lattice.axes.index(2)
    low, high = start[across], start[across] + slab.shape[across]
    ends = (number == 0, number == count - 1)
    lowest, highest = ends if lattice.signs[across] > 0 else reversed(ends)
    array, begin = then
    low = 0 if lowest else min(max(low - begin[across], 0), array.shape[across])
    high = array.shape[across] if highest else min(max(high - begin[across], low), array.shape[across])
    part = array[tuple(slice(low, high) if axis == across else slice(None) for axis in range(3))]
    shifted = tuple(first + low if axis == across else first for axis, first in enumerate(begin))
    return (slab, start), (part, shifted)


def _place(labels: Labels) -> bytes:
    numbers = np.array([*labels.start, *labels.array.shape, *labels.affine.ravel()])
    return numbers.tobytes() + labels.array.dtype.str.encode()


def _digests(labels: Labels) -> list[bytes]:
    """Of each slab; of one without voxels where the labelmap has none."""
    firsts = range(0, max(labels.array.shape[2], 1), SLAB_PLANES)
    slabs = (labels.array[:, :, first : first + SLAB_PLANES] for first in firsts)
    return [sha1(np.ascontiguousarray(slab.T), usedforsecurity=False).digest() for slab in slabs]
