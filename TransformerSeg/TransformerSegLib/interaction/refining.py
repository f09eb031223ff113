"""A learned step after the kernel's correction: what errors look like around a click, whatever the model or class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.inference.threads import one_thread
from TransformerSegLib.interaction.correction import Situation
from TransformerSegLib.interaction.demands import Demand
from TransformerSegLib.interaction.neighbourhood import Box, Neighbourhood

if TYPE_CHECKING:
    import torch

VOXELS_EACH_WAY = 12
"""The network sees, and changes, a box of 25×25×25 voxels; of fine ones every second, third, … along an axis."""

STEP_MM = 1.0
"""About: the voxels that it learned from."""

NARROW_MM, WIDE_MM = 2.0, 5.0
"""Standard deviations of the Gaussians that show it where clicks are."""

MOST_LEAD = 8.0
LEAD_UNIT = 4.0

CONTRAST_MM = 24.0
"""Within so far along each axis an image's deviation is taken: in the cases that it was trained on, about all there is.
A deviation of the whole of a larger image would be that of air and bone."""

RELUCTANCE = 0.5
"""By so much, in logits, the network has to lead before it changes a voxel that the kernel left: of what changes by a
hair about half was right. (Without it 28 % of an ideal user's clicks lower Dice, with it 21 %, and the mean after five
clicks is the same: on the card's cases.)"""

MOST_CLASSES = 4
"""“None” included; more would not be answered within a tenth of a second on one core."""


class LearnedRefinement:
    """A correction's further step, for one image.

    Args:
        network: a ``Refiner``.
        image: (I, J, K): that was segmented, the first of several; only read, around clicks.
        spacing_mm: smallest and largest distance of voxel centres, on any axis, with which it is used; else what the
            kernel says stays as it is.
    """

    def __init__(
        self,
        network: Callable[[torch.Tensor], torch.Tensor],
        image: np.ndarray,
        spacing_mm: tuple[float, float] = (0.0, np.inf),
    ) -> None:
        self._network = network
        self._image = image
        self._spacing_mm = spacing_mm

    def __call__(self, situation: Situation) -> np.ndarray:
        """As ``Refine``: the scores, with what the network adds."""
        import torch

        scores, box = situation.corrected.copy(), inner_box(situation.around)
        contrast = contrast_around(situation.around, self._image) if self._serves(situation.around) else None
        if contrast is None:
            return scores
        seen = nearest_classes(situation, box)
        with one_thread():  # it is the window's, and runs stay fast only if it takes no more
            added = _in_between(added_by(self._network, torch.from_numpy(maps(seen, contrast, box))), box).numpy()
        if np.isfinite(added).all():
            inside = tuple(slice(extent.start, extent.stop) for extent in box)
            # what it adds to all alike says nothing, and the classes that it was not shown do not get it
            scores[np.searchsorted(situation.numbers, seen.numbers), *inside] += added - added.mean(axis=0)
            _hold(scores, situation)
        return scores

    def _serves(self, around: Neighbourhood) -> bool:
        smallest, largest = self._spacing_mm
        return smallest <= min(around.spacing) and max(around.spacing) <= largest


def _hold(scores: np.ndarray, situation: Situation) -> None:
    """Raise, in place, what the kernel left a voxel to be."""
    winner = situation.corrected.argmax(axis=0)[np.newaxis]
    left = situation.numbers[winner] == situation.before
    np.put_along_axis(scores, winner, np.take_along_axis(scores, winner, axis=0) + RELUCTANCE * left, axis=0)


def added_by(network: Callable[[torch.Tensor], torch.Tensor], seen: torch.Tensor) -> torch.Tensor:
    """What a network makes of ``maps``: (rows, i, j, k). With channels last it takes three quarters of the time."""
    import torch

    with torch.inference_mode():
        return network(seen.contiguous(memory_format=torch.channels_last_3d))


def contrast_around(around: Neighbourhood, image: np.ndarray) -> np.ndarray | None:
    """An image's difference from the value at the click, in units of its deviation around there.

    Args:
        image: (I, J, K), of all the grid.

    Returns:
        of the neighbourhood's box, float32; None where the image has values that are not finite.
    """
    outer, inner = around.grown(CONTRAST_MM - around.reach_mm, image.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        part = image[outer].astype(np.float32)
        deviation = float(part.std())
    if not np.isfinite(deviation):
        return None
    return (part[inner] - np.float32(image[around.centre])) / np.float32(deviation or 1.0)


def nearest_classes(situation: Situation, box: Box) -> Situation:
    """The situation, of those classes alone that have to do with a click: each costs a network's pass.

    The nearer to the click the scores of a class are high, the sooner it is among them; a class that is everywhere as
    far behind as counts is not.
    """
    scores = situation.corrected[:, *box]
    behind = scores - scores.max(axis=0)
    nearness = _gaussian(_squared_distances(situation.around, box)(situation.around.centre), WIDE_MM)
    weights = (np.exp(behind) * nearness).sum(axis=(1, 2, 3))
    weights[behind.max(axis=(1, 2, 3)) < -MOST_LEAD] = 0.0
    rows = np.sort(np.argsort(-weights, kind="stable")[:MOST_CLASSES])
    return situation.of_rows(rows[weights[rows] > 0.0])


def inner_box(around: Neighbourhood) -> Box:
    """The voxels that the network sees, the click's among them, counted from the neighbourhood's first."""
    box = []
    for place, size, spacing in zip(around.place(around.centre), around.shape, around.spacing, strict=True):
        step = max(round(STEP_MM / spacing), 1)
        before, after = (min(voxels // step, VOXELS_EACH_WAY) * step for voxels in (place, size - 1 - place))
        box.append(slice(place - before, place + after + 1, step))
    return tuple(box)


def _in_between(added: torch.Tensor, box: Box) -> torch.Tensor:
    """(rows, i, j, k) on the voxels that the network saw → on those between them, too."""
    from torch.nn.functional import interpolate

    size = [extent.stop - extent.start for extent in box]
    if list(added.shape[1:]) == size:
        return added
    return interpolate(added[:, None], size, mode="trilinear", align_corners=True)[:, 0]


def maps(situation: Situation, contrast: np.ndarray, box: Box) -> np.ndarray:
    """(rows, MAPS, *box), float32: what the network sees of each class.

    Its lead over all others, before clicks and after; where it was; the image's contrast to the click; where clicks
    say that it is, and that it is not, narrow and wide; and the newest click, positive if for the class.

    Args:
        contrast: of the neighbourhood: see ``contrast_around``.
        box: the part of the neighbourhood that it sees.
    """
    around = situation.around
    squared = _squared_distances(around, box)
    said = {(demand.voxel, demand.winner, demand.loser): demand for demand in situation.demands}.values()
    base, now = _leads(situation.base[:, *box]), _leads(situation.corrected[:, *box])
    contrast, before = contrast[box], situation.before[box]
    result = []
    for row, number in enumerate(situation.numbers):
        for_it = _clicks_on(said, row, squared, wanted=True)
        against_it = _clicks_on(said, row, squared, wanted=False)
        newest = _gaussian(squared(around.centre), WIDE_MM) * _sign(said, row, around)
        result.append([base[row], now[row], before == number, contrast, *for_it, *against_it, newest])
    return np.array(result, np.float32)


def _clicks_on(said, row: int, squared, wanted: bool) -> list[np.ndarray]:
    """Two maps, narrow and wide."""
    voxels = {demand.voxel for demand in said if (demand.winner if wanted else demand.loser) == row}
    nearest = np.minimum.reduce(
        [squared(voxel) for voxel in sorted(voxels)] or [np.float32(np.inf) + squared((0, 0, 0))]
    )
    return [_gaussian(nearest, NARROW_MM), _gaussian(nearest, WIDE_MM)]


def _sign(said, row: int, around: Neighbourhood) -> float:
    newest: list[Demand] = [demand for demand in said if demand.voxel == around.centre]
    return 1.0 if any(demand.winner == row for demand in newest) else -1.0


def _squared_distances(around: Neighbourhood, box: Box):
    """A function of a voxel: (*box), float32, in mm²."""
    along = [
        np.arange(whole.start + part.start, whole.start + part.stop, part.step)
        for whole, part in zip(around.box, box, strict=True)
    ]

    def of(voxel) -> np.ndarray:
        i, j, k = (
            (((indices - at) * step) ** 2).astype(np.float32)
            for indices, at, step in zip(along, voxel, around.spacing, strict=True)
        )
        return i[:, None, None] + j[None, :, None] + k

    return of


def _gaussian(squared: np.ndarray, sigma_mm: float) -> np.ndarray:
    return np.exp(-squared / np.float32(2.0 * sigma_mm**2))


def _leads(scores: np.ndarray) -> np.ndarray:
    """(rows, …): logits of each against all others together, limited, in units that suit a network."""
    shares = np.exp(scores - scores.max(axis=0))
    others = shares.sum(axis=0) - shares
    leads = np.log(np.maximum(shares, 1e-9)) - np.log(np.maximum(others, 1e-9))
    return np.clip(leads, -MOST_LEAD, MOST_LEAD) / LEAD_UNIT
