"""Into which of as few layers as possible each of several classes goes, of which some overlap.

Classes are the nodes of a graph, and those that overlap are joined: its fewest colours are the fewest layers. Sets of
classes are whole numbers here, one bit a class.
"""

from __future__ import annotations

import numpy as np

MOST_STEPS = 4000
"""Of the search, a quarter of a second; after that the best layering found so far is taken. Random graphs of forty
classes took up to 700."""

MOST_CLASSES = 100
"""With more, no better layering is looked for than the first; the search goes a class deeper at every step."""


def fewest_layers(overlap: np.ndarray) -> list[int]:
    """The layer of each class, so that classes that overlap lie in different ones.

    As few as can be, but for graphs so large that the search ends before; of layerings with equally many, one in which
    no class could lie in an earlier layer.

    Args:
        overlap: (classes, classes), boolean and symmetric: which classes share a voxel. Its diagonal does not matter.

    Source:
        D. Brélaz, New methods to color the vertices of a graph, Communications of the ACM 22 (4), 1979 (DSATUR):
        the class that meets the most layers is next, in the first layer that it fits in. Then the other layers are
        tried, too (branch and bound).
    """
    count = len(overlap)
    neighbours = [
        sum(1 << int(other) for other in np.flatnonzero(row) if other != place) for place, row in enumerate(overlap)
    ]
    search = _Search(neighbours)
    layer_of = [0] * count
    for layer, members in enumerate(search.best):
        for place in range(count):
            if members >> place & 1:
                layer_of[place] = layer
    return _settled(layer_of, overlap)


class _Search:
    """Goes through the layerings.

    Attributes:
        best: the classes of each layer, in the best layering found.
    """

    def __init__(self, neighbours: list[int]) -> None:
        self._neighbours = neighbours
        self._steps = 0
        everything = (1 << len(neighbours)) - 1
        self.best = self._first(everything)
        self._at_least = self._clique(everything)
        if len(neighbours) <= MOST_CLASSES:
            self._go_on([], everything)

    def _first(self, left: int) -> list[int]:
        layers: list[int] = []
        while left:
            place = self._next(layers, left)
            fitting = self._fitting(place, layers)
            layers = _with(place, layers, fitting[0])
            left &= ~(1 << place)
        return layers

    def _go_on(self, layers: list[int], left: int) -> None:
        self._steps += 1
        if len(layers) >= len(self.best) or len(self.best) == self._at_least or self._steps > MOST_STEPS:
            return
        if not left:
            self.best = layers
            return
        place = self._next(layers, left)
        for layer in self._fitting(place, layers):
            self._go_on(_with(place, layers, layer), left & ~(1 << place))

    def _next(self, layers: list[int], left: int) -> int:
        """The class that meets the most layers; of several the one that overlaps the most others; the first."""

        def freedom(place: int) -> tuple[int, int]:
            met = sum(members & self._neighbours[place] != 0 for members in layers)
            return met, (self._neighbours[place] & left).bit_count()

        return max(_members(left), key=freedom)

    def _fitting(self, place: int, layers: list[int]) -> list[int]:
        """The layers whose classes it does not overlap, and a new one."""
        free = [layer for layer, members in enumerate(layers) if not members & self._neighbours[place]]
        return [*free, len(layers)]

    def _clique(self, left: int) -> int:
        """How many classes were found that all overlap each other: no fewer layers are possible."""
        size = 0
        while left:
            place = max(_members(left), key=lambda place: (self._neighbours[place] & left).bit_count())
            left &= self._neighbours[place]
            size += 1
        return size


def _with(place: int, layers: list[int], layer: int) -> list[int]:
    changed = [*layers, 0] if layer == len(layers) else [*layers]
    changed[layer] |= 1 << place
    return changed


def _members(classes: int) -> list[int]:
    return [place for place in range(classes.bit_length()) if classes >> place & 1]


def _settled(layer_of: list[int], overlap: np.ndarray) -> list[int]:
    """The same with the layers in the order of their first classes, and each class in the first that has room."""
    order = list(dict.fromkeys(layer_of))
    settled = [order.index(layer) for layer in layer_of]
    for place, row in enumerate(overlap):
        taken = {settled[other] for other in np.flatnonzero(row) if other != place}
        settled[place] = next(layer for layer in range(len(settled)) if layer not in taken)
    return settled
