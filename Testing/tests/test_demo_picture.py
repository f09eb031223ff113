"""The demo's picture: every pixel of a slice view shows what lies there, whoever draws it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import plain_views
import pytest
from looking import PLANES, Focus, Plane, focus_on, window
from offscreen_rendering import can_render
from view_image import ViewImage

from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.inference.volume import Volume

from example_segmentation import AFFINES, example_segmentation, segment_class

SIZE = 320
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
needs_egl = pytest.mark.skipif(not can_render(), reason="VTK cannot draw without EGL")
every_geometry = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())


def slicer_draws(*arguments) -> list[ViewImage]:
    import slicer_views

    return slicer_views.draw_views(*arguments)


DRAWERS = [pytest.param(slicer_draws, marks=needs_egl, id="Slicer"), pytest.param(plain_views.draw_views, id="plain")]


def scene_of(affine: np.ndarray) -> tuple[Volume, Segmentation]:
    """A smooth volume, lopsided in every direction, with a red and a blue box that bite into each other."""
    shape = (40, 36, 30)
    i, j, k = np.indices(shape)
    array = (1000 + 20 * i - 7 * j + 11 * k + 100 * np.sin(i / 5)).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    labels[6:24, 8:26, 6:20] = 1
    labels[15:33, 17:33, 12:26] = 2
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    segments = tuple(
        Segment(
            segment_class(label, name).model_copy(update={"color": color}),
            0,
            float(np.count_nonzero(labels == label) * voxel_ml),
        )
        for label, name, color in ((1, "Red", RED), (2, "Blue", BLUE))
    )
    segmentation = replace(example_segmentation(affine), layers=(labels,), segments=segments)
    return Volume(array, affine, "Kopf", "MR"), segmentation


def indices_seen(plane: Plane, focus: Focus, affine: np.ndarray) -> np.ndarray:
    """The voxel index (SIZE, SIZE, 3), not rounded, that each pixel of a view shows."""
    offsets = ((np.arange(SIZE) + 0.5) / SIZE - 0.5) * focus.field_of_view(plane)
    right, down = np.array(plane.right), -np.array(plane.up)
    points = focus.centre_in(plane) + offsets[None, :, None] * right + offsets[:, None, None] * down
    return (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T


def values_at(array: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Nearest values; 0 outside."""
    nearest = indices.round().astype(int)
    inside = np.all((nearest >= 0) & (nearest < array.shape), axis=-1)
    values = np.zeros(inside.shape, array.dtype)
    values[inside] = array[tuple(nearest[inside].T)]
    return values


@every_geometry
@pytest.mark.parametrize("draw", DRAWERS)
def test_the_segments_are_drawn_where_they_lie(draw, affine: np.ndarray):
    volume, segmentation = scene_of(affine)
    focus = focus_on(segmentation)
    views = draw(volume, segmentation, None, focus, SIZE)
    for plane, view in zip(PLANES, views, strict=False):
        assert view.title == plane.name
        labels = values_at(segmentation.layers[0], indices_seen(plane, focus, affine))
        red, _, blue = np.moveaxis(view.pixels.astype(int), -1, 0)
        for label, seen in ((1, red - blue > 30), (2, blue - red > 30)):
            expected = labels == label
            dice = 2 * np.count_nonzero(seen & expected) / (np.count_nonzero(seen) + np.count_nonzero(expected))
            assert dice > 0.85, (plane.name, label)


@every_geometry
@pytest.mark.parametrize("draw", DRAWERS)
def test_the_volume_is_drawn_in_its_window_where_it_lies(draw, affine: np.ndarray):
    volume, segmentation = scene_of(affine)
    focus = focus_on(segmentation)
    nothing = replace(segmentation, layers=(np.zeros_like(segmentation.layers[0]),))
    nothing = replace(nothing, segments=tuple(replace(segment, volume_ml=0.0) for segment in nothing.segments))
    low, high = window(volume)
    for plane, view in zip(PLANES, draw(volume, nothing, None, focus, SIZE), strict=False):
        indices = indices_seen(plane, focus, affine)
        well_inside = np.all((indices > 1) & (indices < np.array(volume.array.shape) - 2), axis=-1)
        expected = 255 * np.clip((values_at(volume.array, indices) - low) / (high - low), 0, 1)
        assert well_inside.mean() > 0.2
        assert np.abs(view.pixels[..., 1] - expected)[well_inside].mean() < 4


@needs_egl
def test_the_3d_view_shows_both_segments():
    volume, segmentation = scene_of(AFFINES["oblique"])
    view = slicer_draws(volume, segmentation, None, focus_on(segmentation), SIZE)[3]
    red, _, blue = np.moveaxis(view.pixels.astype(int), -1, 0)
    assert np.mean(red - blue > 60) > 0.02
    assert np.mean(blue - red > 120) > 0.01


@pytest.mark.parametrize("draw", DRAWERS)
def test_what_a_person_drew_is_outlined_in_white(draw):
    volume, segmentation = scene_of(AFFINES["RAS, 1 mm"])
    white = tuple(
        replace(segment, definition=segment.definition.model_copy(update={"color": (1.0, 1.0, 1.0)}))
        for segment in segmentation.segments
    )
    person = replace(segmentation, segments=white, layers=(np.roll(segmentation.layers[0], -3, axis=0),))
    focus = focus_on(segmentation)
    without, outlined = (draw(volume, segmentation, other, focus, SIZE)[0].pixels for other in (None, person))
    changed = np.any(without != outlined, axis=-1)
    assert 0.002 < changed.mean() < 0.15
    assert outlined[changed].mean() > without[changed].mean()


@pytest.mark.parametrize("hidden", [pytest.param(False, marks=needs_egl), True], ids=["EGL", "no EGL"])
def test_a_picture_is_made_with_and_without_egl(hidden: bool, tmp_path: Path):
    demo = Path(__file__).parents[1] / "demo"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(demo), str(demo.parent), str(Path(__file__).parent)))
    }
    if hidden:
        environment["__EGL_VENDOR_LIBRARY_DIRS"] = str(tmp_path)  # where libEGL looks for drivers
    script = (
        "from pathlib import Path; import sys; from picture import draw_picture; from example_segmentation import *\n"
        "affine = AFFINES['oblique']; segmentation = example_segmentation(affine)\n"
        "print(draw_picture(Path(sys.argv[1]), example_volume(affine), segmentation, segmentation.layers[0]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, tmp_path / "picture.png"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert ("matplotlib" in done.stdout) == hidden
    assert done.stderr == ""
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
