"""Pictures of the cases in which a model does worst: what it missed, and what it took for more than there is."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.inference.orientation import reorientation
from TransformerSegLib.training.drawn_text import plain_text, shortened
from TransformerSegLib.training.evaluation import MeasuredCase, badness
from TransformerSegLib.training.metrics import DICE, HD95, ClassFigures, Presence

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEPT = 4
"""How many cases are drawn."""

SURROUNDINGS = 0.35
"""How much is shown around a class on every side, as a share of its longest side."""

LEAST_SURROUNDINGS_MM = 8.0

BRIGHTNESS_PERCENTILES = (2, 98)
BRIGHTNESS_REACH_MM = 4.0
BRIGHTNESS_MORE = 0.35
"""Black and white are as far apart as these percentiles of the voxels in and around the class, and this share of it
more at either end: a class is told from what it touches, whatever air and bone there are farther away."""

TITLE_CHARACTERS = 105
NAME_CHARACTERS, SHOWN_CLASS_CHARACTERS = 40, 32
"""So that both fit into one line."""

MISSED, TOO_MUCH, OTHER_CLASS = "#FF4D6D", "#FFE14D", "#C58BFF"
TINTS = {"missed": MISSED, "too much": TOO_MUCH, "taken for another class": OTHER_CLASS}
TINT_OPACITY = 0.55

_BACKGROUND, _TEXT, _QUIET_TEXT = "#101216", "#F2F4F8", "#9AA3B2"
_DOTS_PER_INCH = 150
_VIEW_INCHES, _HEAD_INCHES, _LEGEND_ROW_INCHES, _GAP_INCHES = 3.9, 0.9, 0.3, 0.1
_LEGEND_COLUMNS = 6
_SCALE_BARS_MM = (1, 2, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Direction:
    """One direction in which slices are cut out of an array in RAS order.

    Attributes:
        title: for people.
        across: the axis that is cut across.
        left, up: the axis that runs to the left of the picture, as radiologists look (the patient's right and front
            are on the left), and the one that runs upwards; ``left`` comes first in the array.
        edges: letters at the picture's left, right, top and bottom.
    """

    title: str
    across: int
    left: int
    up: int
    edges: tuple[str, str, str, str]


DIRECTIONS = (
    Direction("Axial", 2, 0, 1, ("R", "L", "A", "P")),
    Direction("Coronal", 1, 0, 2, ("R", "L", "S", "I")),
    Direction("Sagittal", 0, 1, 2, ("A", "P", "S", "I")),
)


@dataclass(frozen=True, eq=False)
class SliceView:
    """One slice of a case; every array has the shape (rows, columns), its first row at the bottom.

    Attributes:
        direction: how it is cut.
        gray: brightness, 0…1.
        found, reference: one mask a class, (classes, rows, columns).
        extent: left, right, bottom and top edge of the arrays in the picture, mm.
        side: of the picture, which is a square from 0 to ``side``, mm.
        error: where in the picture the largest error is: from the left and from the bottom, mm.
    """

    direction: Direction
    gray: np.ndarray
    found: np.ndarray
    reference: np.ndarray
    extent: tuple[float, float, float, float]
    side: float
    error: tuple[float, float]


@dataclass(frozen=True, eq=False)
class WorstCase:
    """What is kept of a case until it is known whether it is among the worst.

    Attributes:
        name: of the case.
        figures: by class name.
        shown: the class whose largest error the slices go through.
        colors: of the classes, in the order of the masks.
        views: one a direction.
    """

    name: str
    figures: Mapping[str, ClassFigures]
    shown: str
    colors: tuple[tuple[float, float, float], ...]
    views: tuple[SliceView, ...]


class WorstCases:
    """Collects the worst of the cases that are offered, by ``badness``; of all others nothing is kept."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._worst: list[tuple[tuple[float, float], WorstCase]] = []

    def offer(self, case: MeasuredCase) -> None:
        """Keep the slices of a case for as long as fewer than ``kept`` others are worse."""
        key = badness(case.figures)
        if key is None or (len(self._worst) == self._kept and key >= self._worst[-1][0]):
            return
        bisect.insort(self._worst, (key, worst_case(case)), key=lambda entry: entry[0])
        del self._worst[self._kept :]

    def __iter__(self) -> Iterator[WorstCase]:
        """The worst first."""
        return (case for _, case in self._worst)


def worst_case(case: MeasuredCase) -> WorstCase:
    """Three slices of a case through the largest error in its worst class."""
    shown = min(case.figures, key=lambda name: _order(case.figures[name].dice))
    to_ras = reorientation(case.image.affine, "RAS")
    spacing = np.array(case.image.spacing)[list(to_ras.order)]
    found, reference = (
        np.stack([to_ras.view(mask) for mask in masks])
        for masks in (
            [case.segmentation.mask(segment) for segment in case.segmentation.segments],
            [case.reference[segment.definition.name] for segment in case.segmentation.segments],
        )
    )
    number = list(case.figures).index(shown)
    error = largest_error(found[number] ^ reference[number], spacing)
    side, box, corner = _window(found[number] | reference[number], spacing)
    brightness = _brightness(to_ras.view(case.image.array)[box], (found[number] | reference[number])[box], spacing)
    masks = [each[(slice(None), *box)] for each in (found, reference)]
    inside = [at - cut.start for at, cut in zip(error, box, strict=True)]
    views = tuple(_view(direction, brightness, *masks, inside, corner, side, spacing) for direction in DIRECTIONS)
    colors = tuple(segment.definition.color for segment in case.segmentation.segments)
    return WorstCase(case.name, case.figures, shown, colors, views)


def largest_error(error: np.ndarray, spacing_mm: Sequence[float]) -> tuple[int, int, int]:
    """The voxel of an error mask (I, J, K) around which most of the error lies; the middle of the grid where there
    is none.

    Around it means under a Gaussian whose standard deviation is half the radius of a ball of the error's volume: one
    lump weighs more than a thin shell of as many voxels.
    """
    from scipy.ndimage import gaussian_filter

    if not error.any():
        return tuple(size // 2 for size in error.shape)
    volume = float(np.count_nonzero(error) * np.prod(spacing_mm))
    radius = (3 * volume / (4 * math.pi)) ** (1 / 3)
    width = radius / 2 / np.asarray(spacing_mm)
    density = gaussian_filter(error.astype(np.float32), width, mode="constant", truncate=3.0)
    at = np.unravel_index(np.argmax(np.where(error, density, -1.0)), error.shape)
    return tuple(int(index) for index in at)


def draw_worst_case(path: Path, case: WorstCase, place: int) -> None:
    """Write a PNG: three slices with what was missed and what was too much, and the same slices as they are.

    Args:
        path: replaced if it is there.
        place: 1 for the worst of all.
    """
    with plain_text(), written_atomically(path) as temporary:
        figure = _lay_out(case, place)
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, facecolor=_BACKGROUND)


def _order(dice: float) -> float:
    return dice if math.isfinite(dice) else math.inf


def _window(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, tuple[slice, ...], np.ndarray]:
    """A cube around a mask, moved into the image as far as that is large enough.

    Returns:
        its side in mm, the part of the grid that lies in it, and where in the cube that part begins, in mm.
    """
    size = np.array(mask.shape)
    low, high = np.zeros(3, int), size - 1
    if mask.any():
        for axis in range(3):
            places = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
            low[axis], high[axis] = places[0], places[-1]
    longest = float(np.max((high - low + 1) * spacing))
    side = longest + 2 * max(SURROUNDINGS * longest, LEAST_SURROUNDINGS_MM)
    wanted = np.minimum(np.ceil(side / spacing).astype(int), size)
    start = np.clip((low + high + 1 - wanted) // 2, 0, size - wanted)
    box = tuple(slice(int(begin), int(begin + count)) for begin, count in zip(start, wanted, strict=True))
    return side, box, (side - wanted * spacing) / 2


def _brightness(array: np.ndarray, mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    near = array[distance_transform_edt(~mask, spacing) <= BRIGHTNESS_REACH_MM] if mask.any() else array
    low, high = np.percentile(near, BRIGHTNESS_PERCENTILES)
    more = BRIGHTNESS_MORE * max(high - low, 1e-6)
    return np.clip((array.astype(np.float32) - (low - more)) / (high - low + 2 * more), 0, 1)


def _view(
    direction: Direction,
    image: np.ndarray,
    found: np.ndarray,
    reference: np.ndarray,
    error: Sequence[int],
    corner: np.ndarray,
    side: float,
    spacing: np.ndarray,
) -> SliceView:
    def cut(array: np.ndarray) -> np.ndarray:
        """(…, rows, columns) of (…, I, J, K)."""
        plane = np.take(array, error[direction.across], axis=array.ndim - 3 + direction.across)
        return np.ascontiguousarray(np.swapaxes(plane, -1, -2)[..., ::-1])

    left, up = direction.left, direction.up
    right_edge, top_edge = (corner[axis] + image.shape[axis] * spacing[axis] for axis in (left, up))
    extent = (side - right_edge, side - corner[left], corner[up], top_edge)
    at = (side - corner[left] - (error[left] + 0.5) * spacing[left], corner[up] + (error[up] + 0.5) * spacing[up])
    return SliceView(direction, cut(image), cut(found), cut(reference), tuple(map(float, extent)), side, at)


def _lay_out(case: WorstCase, place: int) -> Figure:
    from matplotlib.figure import Figure

    step = _VIEW_INCHES + _GAP_INCHES
    explained = _explained(case)
    foot = _LEGEND_ROW_INCHES * (math.ceil(len(explained) / _LEGEND_COLUMNS) + 0.5)
    width, height = len(case.views) * step + _GAP_INCHES, _HEAD_INCHES + 2 * step + foot
    figure = Figure(figsize=(width, height))
    for row, draw in enumerate((_draw_errors, _draw_plain)):
        for column, view in enumerate(case.views):
            left, bottom = _GAP_INCHES + column * step, height - _HEAD_INCHES - row * step - _VIEW_INCHES
            size = (_VIEW_INCHES / width, _VIEW_INCHES / height)
            draw(figure.add_axes((left / width, bottom / height, *size)), view, case)
    _write_head(figure, case, place)
    figure.legend(
        handles=explained,
        loc="lower center",
        ncols=min(len(explained), _LEGEND_COLUMNS),
        frameon=False,
        fontsize=11,
        labelcolor=_TEXT,
        handlelength=1.4,
        columnspacing=1.4,
    )
    return figure


def _write_head(figure: Figure, case: WorstCase, place: int) -> None:
    width, height = figure.get_size_inches()
    left, right, first, second = _GAP_INCHES / width, 1 - _GAP_INCHES / width, 1 - 0.28 / height, 1 - 0.63 / height
    name = shortened(case.name, NAME_CHARACTERS)
    figure.text(left, first, f"{place}. {name}", color=_TEXT, fontsize=17, fontweight="bold", va="center")
    where = f"Slices through the largest error in {shortened(case.shown, SHOWN_CLASS_CHARACTERS)}"
    figure.text(right, first, where, color=_QUIET_TEXT, fontsize=11, va="center", ha="right")
    worst_first = sorted(case.figures, key=lambda name: _order(case.figures[name].dice))
    line = ""
    for number, name in enumerate(worst_first):
        told = f"{name}: {_told(case.figures[name])}"
        if number and len(line) + len(told) > TITLE_CHARACTERS:
            line += f"     and {len(worst_first) - number} more"
            break
        line += f"{'     ' if number else ''}{told}"
    figure.text(left, second, line, color=_TEXT, fontsize=12, va="center")


def _told(figures: ClassFigures) -> str:
    if figures.presence is not Presence.BOTH:
        return figures.presence.value if figures.presence is Presence.ABSENT else f"Dice 0, {figures.presence.value}"
    return f"Dice {figures.dice:.{DICE.digits}f}, HD95 {figures.hd95_mm:.{HD95.digits - 1}f} mm"


def _draw_plain(axes: Axes, view: SliceView, case: WorstCase) -> None:
    axes.imshow(view.gray, cmap="gray", vmin=0, vmax=1, origin="lower", extent=view.extent, interpolation="bilinear")
    axes.set(xticks=[], yticks=[], xlim=(0, view.side), ylim=(0, view.side), facecolor="black")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_errors(axes: Axes, view: SliceView, case: WorstCase) -> None:
    from matplotlib.patheffects import withStroke

    _draw_plain(axes, view, case)
    axes.imshow(_tint(view), origin="lower", extent=view.extent, interpolation="nearest")
    for masks, colors in ((view.reference, ["white"] * len(case.colors)), (view.found, case.colors)):
        for mask, color in zip(masks, colors, strict=True):
            _outline(axes, mask, view, color)
    _mark_other_slices(axes, view)
    axes.set(xlim=(0, view.side), ylim=(0, view.side))
    text = {
        "color": _TEXT,
        "fontsize": 11,
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "path_effects": [withStroke(linewidth=2.5, foreground="black")],
    }
    axes.annotate(view.direction.title, (0, 1), (6, -6), va="top", fontweight="bold", **text)
    left, right, top, bottom = view.direction.edges
    axes.annotate(left, (0, 0.5), (6, 0), va="center", **text)
    axes.annotate(right, (1, 0.5), (-6, 0), ha="right", va="center", **text)
    axes.annotate(top, (0.5, 1), (0, -6), ha="center", va="top", **text)
    axes.annotate(bottom, (0.5, 0), (0, 6), ha="center", **text)
    length = max(each for each in _SCALE_BARS_MM if each <= max(view.side / 4, _SCALE_BARS_MM[0]))
    ends = (0.965 - length / view.side, 0.965)
    for color, thickness in (("black", 4.5), (_TEXT, 2.5)):
        axes.plot(ends, (0.035, 0.035), color=color, lw=thickness, solid_capstyle="butt", transform=axes.transAxes)
    axes.annotate(f"{length} mm", (ends[1], 0.035), (0, 5), ha="right", **(text | {"fontsize": 9}))


def _mark_other_slices(axes: Axes, view: SliceView) -> None:
    """Short lines at the edges, where the other two slices cut this one."""
    across, up = view.error
    short = 0.05 * view.side
    for color, thickness in (("black", 2.4), (_TEXT, 1.0)):
        for start in (0.0, view.side - short):
            axes.plot((across, across), (start, start + short), color=color, linewidth=thickness)
            axes.plot((start, start + short), (up, up), color=color, linewidth=thickness)


def _tint(view: SliceView) -> np.ndarray:
    """(rows, columns, 4): a colour where what was found differs from the reference, transparent elsewhere."""
    from matplotlib.colors import to_rgb

    lacking = (view.reference & ~view.found).any(axis=0)
    extra = (view.found & ~view.reference).any(axis=0)
    pixels = np.zeros((*lacking.shape, 4))
    kinds = (lacking & ~extra, extra & ~lacking, lacking & extra)
    for where, color in zip(kinds, TINTS.values(), strict=True):
        pixels[where] = (*to_rgb(color), TINT_OPACITY)
    return pixels


def _outline(axes: Axes, mask: np.ndarray, view: SliceView, color: object) -> None:
    """The line that runs around the mask's pixels, half-way to their neighbours; closed at the picture's edge."""
    if not mask.any():
        return
    rows, columns = mask.shape
    left, right, bottom, top = view.extent
    across = left + (np.arange(columns + 2) - 0.5) * (right - left) / columns
    up = bottom + (np.arange(rows + 2) - 0.5) * (top - bottom) / rows
    axes.contour(across, up, np.pad(mask, 1).astype(float), levels=[0.5], colors=[color], linewidths=1.8)


def _explained(case: WorstCase) -> list[Artist]:
    """What the legend shows: classes that are in no slice are left out."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [Line2D([], [], color="white", linewidth=2, label="reference")]
    for number, (name, color) in enumerate(zip(case.figures, case.colors, strict=True)):
        if any(masks[number].any() for view in case.views for masks in (view.found, view.reference)):
            handles.append(Line2D([], [], color=color, linewidth=2, label=name))
    return handles + [Patch(facecolor=color, alpha=0.8, label=kind) for kind, color in TINTS.items()]
