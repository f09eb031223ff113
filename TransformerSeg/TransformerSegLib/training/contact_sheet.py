"""Pictures of a data set: a row of slices for every case, with its labels as outlines, on as few pages as can be read.

Faulty cases come first, then unusual ones, so that the first page tells whether there is anything to look at.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.training.case_check import CheckedCase
from TransformerSegLib.training.case_slices import SliceView
from TransformerSegLib.training.cases import ClassName, counted_cases
from TransformerSegLib.training.data_check import DataCheck
from TransformerSegLib.training.drawn_text import plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE_INCHES = 16.0
DOTS_PER_INCH = 110
HEADER_INCHES = 0.9
TITLE_INCHES = 0.62
"""Above a row: the case's name, and two lines on what is wrong."""

MARGIN_INCHES = 0.15
LARGEST_BOX_INCHES = 2.6
ROWS = 6
"""Of cases, on a page."""

CLASSES_NAMED = 12
LETTER_INCHES = 0.073
"""Width of a letter of the texts above a row, on average."""

OF_NO_CLASS = (1.0, 1.0, 1.0)
FAULTY, UNUSUAL, USUAL = "#c00000", "#a05a00", "#202020"


@dataclass(frozen=True)
class _Layout:
    """How rows are arranged on a page; lengths in inches."""

    columns: int
    slices: int
    box: float

    @classmethod
    def of(cls, cases: int, slices: int) -> _Layout:
        """Few cases are shown larger than many; more slices take a wider row."""
        columns = max(1, min(3 if cases > 2 * ROWS else 2, 9 // slices, cases))
        side = min(LARGEST_BOX_INCHES, (PAGE_INCHES / columns - MARGIN_INCHES) / slices)
        return cls(columns, slices, side)

    @property
    def row(self) -> float:
        return self.box + TITLE_INCHES + MARGIN_INCHES

    @property
    def width(self) -> float:
        return self.columns * (self.slices * self.box + MARGIN_INCHES) + MARGIN_INCHES

    @property
    def cases_a_page(self) -> int:
        return self.columns * ROWS


def write_contact_sheet(
    folder: Path, check: DataCheck, on_page: Callable[[int, int], None] = lambda done, total: None
) -> list[Path]:
    """Write ``contact_sheet_1.png``, ``…_2.png``, … into a folder.

    Args:
        folder: must exist.
        check: that the pictures are of.
        on_page: called after every page with how many are written, and of how many.

    Returns:
        The files, in their order.

    Raises:
        OutputRejected: the folder cannot be written to.
    """
    cases = worst_first(check.cases)
    layout = _Layout.of(len(cases), max(3, *(len(case.slices) for case in cases)))
    pages = math.ceil(len(cases) / layout.cases_a_page)
    digits = len(str(pages))
    written = []
    for page in range(1, pages + 1):
        shown = cases[(page - 1) * layout.cases_a_page : page * layout.cases_a_page]
        path = folder / f"contact_sheet_{page:0{digits}d}.png"
        with plain_text(), written_atomically(path) as temporary:
            _page(shown, check, layout, page, pages).savefig(temporary, dpi=DOTS_PER_INCH)
        written.append(path)
        on_page(page, pages)
    return written


def worst_first(cases: Sequence[CheckedCase]) -> list[CheckedCase]:
    """Faulty cases, then unusual ones, then the others; each in the order given."""
    return sorted(cases, key=lambda case: 0 if case.faults else 1 if case.remarks else 2)


def _page(shown: Sequence[CheckedCase], check: DataCheck, layout: _Layout, page: int, pages: int) -> Figure:
    paper = _paper(layout.width, HEADER_INCHES + math.ceil(len(shown) / layout.columns) * layout.row)
    _draw_header(paper, check, page, pages)
    for place, case in enumerate(shown):
        row, column = divmod(place, layout.columns)
        left = MARGIN_INCHES + column * (layout.slices * layout.box + MARGIN_INCHES)
        _draw_case(paper, case, check, layout, left, HEADER_INCHES + row * layout.row)
    return paper.figure


def _paper(width: float, height: float) -> Axes:
    """A white page; its coordinates are inches from the upper left corner."""
    from matplotlib.figure import Figure

    axes = Figure((width, height), facecolor="white").add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return axes


def _draw_header(paper: Axes, check: DataCheck, page: int, pages: int) -> None:
    width = paper.get_xlim()[1]
    counted = f"{counted_cases(len(check.cases))}, {len(check.faulty)} faulty, {len(check.unusual)} unusual"
    title = f"{check.data.name}: {counted}" + (f" – page {page} of {pages}" if pages > 1 else "")
    paper.text(MARGIN_INCHES, MARGIN_INCHES, _fitting(title, width * 0.75), size=14, weight="bold", va="top")
    at = MARGIN_INCHES
    for each in check.classes[:CLASSES_NAMED]:
        name = each.name if len(each.name) <= 24 else f"{each.name[:23]}…"
        step = (len(name) + 4) * LETTER_INCHES * 1.15
        if at + step > width:
            break
        paper.text(at, 0.55, "■", color=each.color, size=13, va="center")
        paper.text(at + 0.17, 0.55, name, size=10, va="center")
        at += step


def _draw_case(paper: Axes, checked: CheckedCase, check: DataCheck, layout: _Layout, left: float, top: float) -> None:
    """One row, its upper left corner at ``left`` and ``top``."""
    told, color = _told(checked)
    width = layout.slices * layout.box
    name = f"{checked.case.name} (kept out)" if checked.case in check.data.validation else checked.case.name
    lines = _fitting(told, width, lines=2)
    style = {"color": color, "va": "bottom"}
    bottom = top + TITLE_INCHES - 0.04
    paper.text(left, bottom, lines, size=8.5, linespacing=1.15, **style)
    bottom -= 0.18 + 0.15 * lines.count("\n")
    paper.text(left, bottom, _fitting(name, width * 0.8), size=10, weight="bold", **style)
    for place in range(layout.slices):
        corner = (left + place * layout.box, top + TITLE_INCHES)
        _draw_box(paper, corner, layout.box * 0.985, color)
        if place < len(checked.slices):
            draw_slice(paper, corner, layout.box * 0.985, checked.slices[place], check.classes)
        elif not checked.slices and place == 0:
            middle = (corner[0] + layout.box / 2, corner[1] + layout.box / 2)
            paper.text(*middle, "cannot be\nread", color="white", ha="center", va="center")


def _draw_box(paper: Axes, corner: tuple[float, float], side: float, color: str) -> None:
    from matplotlib.patches import Rectangle

    framed = color != USUAL
    paper.add_patch(Rectangle(corner, side, side, facecolor="black", edgecolor="none"))
    paper.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=color, linewidth=2.5 * framed, zorder=3))


def draw_slice(
    paper: Axes, corner: tuple[float, float], side: float, view: SliceView, classes: Sequence[ClassName]
) -> None:
    """One slice in its true proportions, in the middle of a square, with every class's outline in its colour.

    Args:
        paper: whose second coordinate runs down.
        corner: the square's upper left one.
        side: of the square.
        view: what is drawn.
        classes: whose outlines are drawn; labels of no class have white ones.
    """
    scale = side / max(view.size_mm)
    height, width = (length * scale for length in view.size_mm)
    left, top = corner[0] + (side - width) / 2, corner[1] + (side - height) / 2
    extent = (left, left + width, top + height, top)
    # An image sets the limits and the proportions of its axes anew.
    limits, proportions = (paper.get_xlim(), paper.get_ylim()), paper.get_aspect()
    paper.imshow(view.image, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="bilinear", zorder=1)
    rows, columns = view.labels.shape
    x = left + (np.arange(-1, columns + 1) + 0.5) * width / columns
    y = top + (np.arange(-1, rows + 1) + 0.5) * height / rows
    colors = {each.label: each.color for each in classes}
    found, sizes = np.unique(view.labels[view.labels > 0], return_counts=True)
    for label in found[np.argsort(-sizes, kind="stable")].tolist():  # small ones last, on top of those around them
        mask, color = view.labels == label, colors.get(label, OF_NO_CLASS)
        # Padded, so that an outline closes at the image's border.
        paper.contour(x, y, np.pad(mask, 1).astype(np.uint8), levels=[0.5], colors=[color], linewidths=1.4, zorder=2)
    paper.set(xlim=limits[0], ylim=limits[1], aspect=proportions)


def _told(checked: CheckedCase) -> tuple[str, str]:
    """What is said above a case, and in which colour."""
    if checked.faults:
        more = f" (and {len(checked.faults) - 1} more)" if len(checked.faults) > 1 else ""
        first = checked.faults[0]
        return f"Fault{more}: {first.what}: {first.why}", FAULTY
    if checked.remarks:
        return "; ".join(checked.remarks), UNUSUAL
    return _in_numbers(checked), USUAL


def _in_numbers(checked: CheckedCase) -> str:
    size = "×".join(map(str, checked.size))
    spacing = "×".join(f"{length:.3g}" for length in checked.spacing)
    labelled = f", {sum(checked.volumes_ml.values()):.3g} mL labelled" if checked.volumes_ml else ""
    return f"{size} voxels of {spacing} mm{labelled}"


def _fitting(text: str, inches: float, lines: int = 1) -> str:
    wrapped = textwrap.wrap(text, max(8, int(inches / LETTER_INCHES)), max_lines=lines, placeholder=" …")
    return "\n".join(wrapped)
