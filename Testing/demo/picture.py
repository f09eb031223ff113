"""A picture of a segmentation over its volume, for people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import plain_views
from looking import focus_on
from offscreen_rendering import can_render
from view_image import ViewImage

from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.inference.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from TransformerSegLib.interaction.doubt import Doubt
    from TransformerSegLib.interaction.run_scores import RunScores

# Lengths are in pixels of the picture; views are drawn twice as large, and reduced, which smooths their edges.
_VIEW, _GAP, _MARGIN, _LEGEND, _HEAD, _FOOT = 720, 12, 16, 330, 76, 52
_ROW = 66.0
_SUPERSAMPLING = 2
_DOTS_PER_INCH = 100
_BACKGROUND, _TEXT, _QUIET_TEXT = "#101216", "#F2F4F8", "#9AA3B2"
_SCALE_BARS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
_NO_EGL = "VTK cannot draw here without EGL (on Debian: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri)."


def draw_picture(path: Path, volume: Volume, segmentation: Segmentation, drawn: np.ndarray | None = None) -> str:
    """Write a PNG: axial, coronal, sagittal and 3D view, a legend with volumes in mL, and what it must not be used for.

    The views are drawn by Slicer's displayable managers, off screen; where VTK cannot draw, the three slices are
    drawn without them.

    Args:
        path: replaced if it is there.
        drawn: labels (I, J, K) that a person drew on the same grid, shown by white outlines; None: there are none.

    Returns:
        a sentence that says how the views were drawn.
    """
    focus = focus_on(segmentation)
    reference = None if drawn is None else _in_white(segmentation, drawn)
    if can_render():
        import slicer_views

        draw_views, how = slicer_views.draw_views, "The views were drawn by Slicer's displayable managers, off screen."
    else:
        draw_views, how = plain_views.draw_views, f"{_NO_EGL} The slices were drawn with matplotlib."
    views = draw_views(volume, segmentation, reference, focus, _VIEW * _SUPERSAMPLING)
    figure = _lay_out(views, volume, segmentation, reference)
    with written_atomically(path) as temporary:
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, facecolor=_BACKGROUND)
    return how


def draw_doubt_picture(path: Path, volume: Volume, segmentation: Segmentation, scores: RunScores, doubt: Doubt) -> None:
    """Write a PNG: the first doubtful place in three slice views, as the panel shows it.

    Args:
        path: replaced if it is there.
        scores, doubt: of the run that found the segmentation.
    """
    import slicer_views
    from matplotlib.figure import Figure

    views = slicer_views.draw_doubt(volume, segmentation, scores, doubt, _VIEW * _SUPERSAMPLING)
    width, height = len(views) * (_VIEW + _GAP) - _GAP, _VIEW
    figure = Figure(figsize=(width / _DOTS_PER_INCH, height / _DOTS_PER_INCH))
    for place, view in enumerate(views):
        _draw_view(figure.add_axes((place * (_VIEW + _GAP) / width, 0, _VIEW / width, 1)), view)
    with written_atomically(path) as temporary:
        figure.savefig(temporary, dpi=_DOTS_PER_INCH / 2, facecolor=_BACKGROUND)


def _in_white(segmentation: Segmentation, drawn: np.ndarray) -> Segmentation:
    """The person's labels as a segmentation whose segments are white."""
    voxel_ml = abs(np.linalg.det(segmentation.affine[:3, :3])) / 1000
    segments = [
        Segment(
            segment.definition.model_copy(update={"color": (1.0, 1.0, 1.0)}),
            layer=0,
            volume_ml=float(np.count_nonzero(drawn == segment.definition.label) * voxel_ml),
        )
        for segment in segmentation.segments
    ]
    return replace(segmentation, layers=(drawn,), segments=tuple(segments), name="Drawn by a person")


def _lay_out(
    views: list[ViewImage], volume: Volume, segmentation: Segmentation, reference: Segmentation | None
) -> Figure:
    from matplotlib.figure import Figure

    width = 2 * _VIEW + 2 * _GAP + 2 * _MARGIN + _LEGEND
    height = 2 * _VIEW + _GAP + _HEAD + _FOOT
    figure = Figure(figsize=(width / _DOTS_PER_INCH, height / _DOTS_PER_INCH))

    def axes_at(left: int, top: int, wide: int, high: int) -> Axes:
        return figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))

    places = [(_MARGIN + x * (_VIEW + _GAP), _HEAD + y * (_VIEW + _GAP)) for y in range(2) for x in range(2)]
    for view, (left, top) in zip(views, places, strict=False):
        _draw_view(axes_at(left, top, _VIEW, _VIEW), view)
    if len(views) < len(places):
        _explain_missing_view(axes_at(*places[-1], _VIEW, _VIEW))
    legend = axes_at(_MARGIN + 2 * (_VIEW + _GAP), _HEAD, _LEGEND, 2 * _VIEW + _GAP)
    _draw_legend(legend, segmentation, reference)

    left, right, head, foot = _MARGIN / width, 1 - _MARGIN / width, 1 - 0.55 * _HEAD / height, 0.5 * _FOOT / height
    quiet = {"color": _QUIET_TEXT, "fontsize": 14, "ha": "right", "va": "center"}
    model = f"{segmentation.provenance.get('model', '')} {segmentation.provenance.get('version', '')}".strip()
    figure.text(left, head, segmentation.name, color=_TEXT, fontsize=20, fontweight="bold", va="center")
    figure.text(right, head, model, **quiet)
    figure.text(right, foot, _described(volume), **quiet)
    figure.text(left, foot, "For research use, not for diagnosis", color=_TEXT, fontsize=14, va="center")
    return figure


def _described(volume: Volume) -> str:
    voxels = "×".join(str(size) for size in volume.array.shape)
    spacing = "×".join(f"{length:.2f}" for length in volume.spacing)
    return " · ".join(filter(None, (volume.modality, f"{voxels} voxels", f"{spacing} mm")))


def _draw_view(axes: Axes, view: ViewImage) -> None:
    from matplotlib.patheffects import withStroke

    # Coordinates are pixels of the picture, whatever the number of pixels that were drawn.
    axes.imshow(view.pixels, interpolation="antialiased", extent=(0, _VIEW, _VIEW, 0))
    axes.set(xticks=[], yticks=[], xlim=(0, _VIEW), ylim=(_VIEW, 0))
    for spine in axes.spines.values():
        spine.set(color=view.color, linewidth=2)
    readable = {"fontsize": 14, "fontweight": "bold", "path_effects": [withStroke(linewidth=3, foreground="black")]}
    axes.text(14, 12, view.title, va="top", color=view.color, **readable)
    if view.edges:
        left, right, top, bottom = view.edges
        middle = _VIEW / 2
        axes.text(12, middle, left, va="center", color=_TEXT, **readable)
        axes.text(_VIEW - 12, middle, right, va="center", ha="right", color=_TEXT, **readable)
        axes.text(middle, 12, top, va="top", ha="center", color=_TEXT, **readable)
        axes.text(middle, _VIEW - 12, bottom, ha="center", color=_TEXT, **readable)
    if view.field_of_view is not None:
        _draw_scale_bar(axes, _VIEW / view.field_of_view, readable)


def _draw_scale_bar(axes: Axes, pixels_per_mm: float, readable: dict[str, object]) -> None:
    """The longest of some round lengths that takes at most a quarter of the view."""
    fitting = [length for length in _SCALE_BARS_MM if length * pixels_per_mm <= _VIEW / 4]
    length = max(fitting, default=_SCALE_BARS_MM[0])
    ends = [_VIEW - 16 - length * pixels_per_mm, _VIEW - 16]
    for color, thickness in (("black", 5), (_TEXT, 3)):
        axes.plot(ends, [_VIEW - 18] * 2, color=color, linewidth=thickness, solid_capstyle="butt")
    axes.text(ends[1], _VIEW - 28, f"{length} mm", color=_TEXT, ha="right", **(readable | {"fontsize": 12}))


def _draw_legend(axes: Axes, segmentation: Segmentation, reference: Segmentation | None) -> None:
    axes.set_axis_off()
    high = 2 * _VIEW + _GAP
    axes.set(xlim=(0, _LEGEND), ylim=(high, 0))
    segments = segmentation.segments
    if len(segments) * _ROW > high:
        segments = [segment for segment in segments if not segment.empty]
    entries = [
        (s.definition.color, s.definition.name, "not found" if s.empty else f"{s.volume_ml:.2f} mL") for s in segments
    ]
    if reference is not None:
        entries.append(((1.0, 1.0, 1.0), reference.name, "white outline"))
    row = min(_ROW, high / max(len(entries), 1))  # many classes: smaller rows
    small = row / _ROW
    for number, (color, name, note) in enumerate(entries):
        top = number * row
        filled = color if number < len(segments) else "none"
        axes.plot([20], [top + 14 * small], marker="s", markersize=12 * small, color=color, markerfacecolor=filled)
        axes.text(44, top + 14 * small, name, color=_TEXT, fontsize=14 * small, va="center")
        axes.text(44, top + 38 * small, note, color=_QUIET_TEXT, fontsize=13 * small, va="center")


def _explain_missing_view(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        "No 3D view.\n" + _NO_EGL.replace("(", "\n("),
        color=_QUIET_TEXT,
        fontsize=13,
        ha="center",
        va="center",
        linespacing=1.8,
    )
