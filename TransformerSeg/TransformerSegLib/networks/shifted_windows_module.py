"""Which tokens look at each other in a block of a Swin transformer, computed once. Imports torch: only modules of
networks import it.

Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
https://arxiv.org/abs/2103.14030, section 3.2 and figure 4: the grid is filled up to whole windows, shifted in a circle,
and cut into windows; in those that lie across the seam, tokens from different sides are masked from each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

MASKED = -100.0
"""Added to the score of a token from another side of the seam."""


@dataclass(frozen=True, eq=False)
class ShiftedWindows:
    """The windows of one grid, those with the same mask side by side.

    Attributes:
        sides: of a window, in tokens.
        tokens: (windows, n): the number of each token in the grid, D, H, W order; 0 for what fills the grid up.
        filling: (windows, n), true for what fills the grid up; None where nothing does.
        places: (D·H·W,): where in ``tokens`` each token of the grid lies.
        kinds: windows from … up to … have the mask of that number.
        masks: (kinds, n, n), added to the scores; None where there is only one kind, and nothing is masked.
    """

    sides: tuple[int, int, int]
    tokens: torch.Tensor
    filling: torch.Tensor | None
    places: torch.Tensor
    kinds: tuple[tuple[int, int], ...]
    masks: torch.Tensor | None


def shifted_windows(
    grid: tuple[int, int, int], window: tuple[int, int, int], shift: tuple[int, int, int], device: torch.device
) -> ShiftedWindows:
    """Args:
    grid: tokens along D, H, W.
    window, shift: as the block has them; along an axis on which the grid is no longer than the window, the window
        is the grid, and nothing is shifted.
    """
    sides = tuple(min(side, length) for side, length in zip(window, grid, strict=True))
    shifts = tuple(0 if length <= side else by for length, side, by in zip(grid, window, shift, strict=True))
    filled = tuple(-(-length // side) * side for length, side in zip(grid, sides, strict=True))
    count = grid[0] * grid[1] * grid[2]
    numbers = torch.full(filled, count, device="cpu")
    numbers[: grid[0], : grid[1], : grid[2]] = torch.arange(count, device="cpu").view(grid)
    tokens = _cut(torch.roll(numbers, [-by for by in shifts], dims=(0, 1, 2)), sides)
    areas = _cut(_areas(filled, sides, shifts), sides)
    patterns = areas - areas[:, :1]  # two windows have the same mask if the same tokens lie on the same side
    order, kinds, firsts = _side_by_side(patterns)
    tokens, areas = tokens[order], areas[order]
    filling = tokens == count
    places = torch.empty(count + 1, dtype=torch.long, device="cpu")
    places[tokens.flatten()] = torch.arange(tokens.numel(), device="cpu")
    masks = torch.stack([(areas[first][:, None] != areas[first][None, :]).float() * MASKED for first in firsts])
    return ShiftedWindows(
        sides,
        tokens.masked_fill(filling, 0).to(device),
        filling.to(device) if filling.any() else None,
        places[:count].to(device),
        kinds,
        masks.to(device) if masks.any() else None,
    )


def _cut(grid: torch.Tensor, sides: tuple[int, int, int]) -> torch.Tensor:
    """(D, H, W) → (windows, n)."""
    for axis, side in zip((0, 2, 4), sides, strict=True):
        grid = grid.unflatten(axis, (-1, side))
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, sides[0] * sides[1] * sides[2])


def _areas(filled: tuple[int, ...], sides: tuple[int, ...], shifts: tuple[int, ...]) -> torch.Tensor:
    """The shifted grid with a number for each area without a seam in it: 0, 1 or 2 along each axis, as digits."""
    areas = torch.zeros(filled, dtype=torch.long, device="cpu")
    for axis, (length, side, by) in enumerate(zip(filled, sides, shifts, strict=True)):
        place = torch.arange(length, device="cpu")
        digit = (place >= length - side).long() + (place >= length - by).long() if by else torch.zeros_like(place)
        areas = areas * 3 + digit.view([-1 if other == axis else 1 for other in range(3)])
    return areas


def _side_by_side(patterns: torch.Tensor) -> tuple[torch.Tensor, tuple[tuple[int, int], ...], list[int]]:
    """An order of the windows in which equal patterns (windows, n) follow each other, where each kind begins and ends
    in it, and where it begins."""
    _, kind, counts = patterns.unique(dim=0, return_inverse=True, return_counts=True)
    stops = counts.cumsum(0).tolist()
    starts = [0, *stops[:-1]]
    return kind.argsort(stable=True), tuple(zip(starts, stops, strict=True)), starts
