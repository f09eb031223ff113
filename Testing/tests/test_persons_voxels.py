"""Whatever is done, and in whatever order: no voxel that a person set changes without that person's act."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.errors import ClickRefused
from TransformerSegLib.inference.region import Region
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.scene.click_points import points_node
from TransformerSegLib.scene.clicks import Clicks
from TransformerSegLib.scene.labelmaps import segments_of
from TransformerSegLib.scene.made import protected_segments
from TransformerSegLib.scene.undoing import can_undo, undo_run
from TransformerSegLib.scene.volumes import add_volume_node

from clicked_scene import SHAPE, ball_result, place, random_voxel
from example_segmentation import AFFINES, example_volume
from scene_runs import masks, put
from segment_edits import EDITOR, Pencil

AFFINE = AFFINES["oblique"]
ACTS = 200
MOST_SEGMENTS = 6


@pytest.mark.parametrize("overlapping", [False, True], ids=["exclusive", "overlapping"])
def test_after_two_hundred_acts_every_voxel_that_a_person_set_is_as_that_person_left_it(scene, overlapping):
    acting = Acting(scene, overlapping, seed=7)
    for _ in range(ACTS):
        acting.act()
    assert acting.changes_by_models > ACTS
    assert acting.set_by_person() > ACTS


class Acting:
    """A person and models at work on one segmentation, and what the person set, known apart from the code under test.

    Attributes:
        made: segment id → its voxels as models left them: what differs from it now, the person set.
    """

    def __init__(self, scene, overlapping: bool, seed: int) -> None:
        self._scene, self._overlapping = scene, overlapping
        self._random = np.random.default_rng(seed)
        self._volume_node = add_volume_node(scene, example_volume(AFFINE, shape=SHAPE))
        self.node = put(scene, self._result(), self._volume_node).node
        self._pencil = Pencil(scene, self.node, self._volume_node)
        self._clicks = Clicks(self.node)
        self.made = self._now()
        self._before_runs: list[dict[str, np.ndarray]] = []
        self.changes_by_models = 0

    def act(self) -> None:
        """Something that may be done at any moment."""
        acts = {
            self._paint: 5,
            self._erase: 4,
            self._click: 8,
            self._move: 2,
            self._delete: 2,
            self._undo: 4,
            self._redo: 2,
            self._segment_again_here: 1,
            self._run: 1,
            self._take_run_back: 1,
            self._cancelled_run: 1,
        }
        chances = np.array(list(acts.values())) / sum(acts.values())
        list(acts)[self._random.choice(len(acts), p=chances)]()

    def set_by_person(self) -> int:
        return sum(int((mask != self.made[name]).sum()) for name, mask in self._now().items() if name in self.made)

    # A person's own acts: no model may undo them

    def _paint(self) -> None:
        overwrite = self._random.choice([EDITOR.OverwriteNone, EDITOR.OverwriteAllSegments])
        self._pencil.paint(self._segment(), self._box(), int(overwrite))

    def _erase(self) -> None:
        self._pencil.erase(self._segment(), self._box())

    # What models do

    def _click(self) -> None:
        voxel, belongs = random_voxel(self._random), bool(self._random.random() < 0.6)
        self._by_model(lambda: self._clicks.click(self._segment(), place(AFFINE, voxel), belongs))

    def _move(self) -> None:
        points = points_node(self.node)
        if points is not None and points.GetNumberOfControlPoints():
            number = int(self._random.integers(points.GetNumberOfControlPoints()))
            points.SetNthControlPointPosition(number, *place(AFFINE, random_voxel(self._random)))
            self._by_model(self._clicks.follow)

    def _delete(self) -> None:
        points = points_node(self.node)
        if points is not None and points.GetNumberOfControlPoints():
            points.RemoveNthControlPoint(int(self._random.integers(points.GetNumberOfControlPoints())))
            self._by_model(self._clicks.follow)

    def _undo(self) -> None:
        self._by_model(self._clicks.undo)

    def _redo(self) -> None:
        self._by_model(self._clicks.redo)

    def _segment_again_here(self) -> None:
        voxel = np.array(random_voxel(self._random, 8))
        region = Region(place(AFFINE, voxel), np.full(3, 14.0), AFFINE[:3, :3] / np.linalg.norm(AFFINE[:3, :3], axis=0))
        self._by_model(lambda: self._clicks.renew(self._result(), region))

    def _run(self) -> None:
        if len(self.made) >= MOST_SEGMENTS:
            return
        kept = protected_segments(self.node)
        before = {name: mask for name, mask in self.made.items() if name not in kept}
        self._by_model(lambda: put(self._scene, self._result(), self._volume_node, self.node), only=kept)
        self._before_runs.append(before)

    def _take_run_back(self) -> None:
        """What a person changed since the run is kept, be it under another name."""
        if not self._before_runs or not can_undo(self.node):
            return
        now, made = self._now(), self.made
        undo_run(self.node)
        after = self._now()
        for name, mask in now.items():
            own = mask != made[name]
            assert not own.any() or any((other[own] == mask[own]).all() for other in after.values())
        copied = {name: mask for name, mask in after.items() if name not in now}
        before = self._before_runs.pop()
        self.made = {name: before.get(name, made.get(name)) for name in after if name in before or name in made}
        for name in copied:
            original = name.split("_changed")[0]
            self.made[name] = made[original]

    def _cancelled_run(self) -> None:
        """Nothing of it comes into the scene."""
        before = self._now()
        self._clicks.follow()
        after = self._now()
        assert all((after[name] == mask).all() for name, mask in before.items())

    def _by_model(self, act, only=None) -> None:
        """Do it, and look at every voxel that the person set."""
        before = self._now()
        with suppress(ClickRefused):
            act()
        after = self._now()
        for name, mask in before.items():
            own = mask != self.made[name]
            np.testing.assert_array_equal(after[name][own], mask[own])
            if only is not None and name in only:
                np.testing.assert_array_equal(after[name], mask)
            changed = mask != after[name]
            self.changes_by_models += int(changed.sum())
            self.made[name] = np.where(changed, after[name], self.made[name])
        self.made |= {name: mask for name, mask in after.items() if name not in before}

    # Chance

    def _result(self) -> Segmentation:
        result = ball_result(AFFINE, self._overlapping, tuple(self._random.integers(-2, 3, 3)))
        return replace(result, name="Kopf")

    def _segment(self) -> str:
        return str(self._random.choice(list(segments_of(self.node.GetSegmentation()))))

    def _box(self) -> tuple[slice, slice, slice]:
        low = np.array(random_voxel(self._random))
        size = self._random.integers(1, 5, 3)
        return tuple(slice(int(first), int(first + count)) for first, count in zip(low, size, strict=True))

    def _now(self) -> dict[str, np.ndarray]:
        return masks(self.node, AFFINE, SHAPE)
