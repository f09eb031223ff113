"""One view, drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ViewImage:
    """A slice view, or the 3D view.

    Attributes:
        title: what it shows.
        color: of its frame.
        pixels: (height, width, 3), uint8, top row first.
        edges: what its left, right, upper and lower edge look towards, "R", "L", …; empty for the 3D view.
        field_of_view: side of the square that is seen, mm; None for the 3D view.
    """

    title: str
    color: str
    pixels: np.ndarray
    edges: tuple[str, ...] = ()
    field_of_view: float | None = None


def edge_letters(right: tuple[int, int, int], up: tuple[int, int, int]) -> tuple[str, str, str, str]:
    """Of the left, right, upper and lower edge, from the RAS directions of two of them."""
    return tuple(
        _letter(np.array(sign) * direction) for sign, direction in ((-1, right), (1, right), (1, up), (-1, up))
    )


def _letter(direction: np.ndarray) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return ("RL", "AP", "SI")[axis][0 if direction[axis] > 0 else 1]
