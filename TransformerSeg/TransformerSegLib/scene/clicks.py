"""Clicks on a segmentation of the scene: points say them, segments obey them, and each can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.util import NodeModify

from TransformerSegLib.errors import ClickRefused, GridMismatch
from TransformerSegLib.interaction.class_field import Patch
from TransformerSegLib.interaction.click import Click
from TransformerSegLib.interaction.corrector import Change, Corrector
from TransformerSegLib.interaction.trained_refiner import TrainedRefiner, refiner_at_hand
from TransformerSegLib.scene import segment_voxels
from TransformerSegLib.scene.click_fields import ClickFields
from TransformerSegLib.scene.click_points import (
    Point,
    Said,
    add_point,
    changed_at_once,
    ensured_points_node,
    follow_transform,
    move_point,
    placed_points,
    points_node,
    remove_point,
    write_said,
)
from TransformerSegLib.scene.click_refinement import ClickRefinement
from TransformerSegLib.scene.kept_scores import keep, scores_of
from TransformerSegLib.scene.labelmaps import CLOSED_SURFACE, segments_of
from TransformerSegLib.scene.target import check_labelmaps

if TYPE_CHECKING:
    from TransformerSegLib.inference.region import Region
    from TransformerSegLib.inference.segmentation import Segmentation
    from TransformerSegLib.interaction.run_scores import RunScores


NEAR_MM = 8.0
"""About the radius of a doubtful place."""

_known: dict[str, Clicks] = {}


def clicks_on(node: slicer.vtkMRMLSegmentationNode) -> Clicks:
    """Those on a segmentation, with what can be undone of them; kept until ``let_go_of_clicks``."""
    known = _known.get(node.GetID())
    if known is None or known.node is not node:
        known = _known[node.GetID()] = Clicks(node)
    return known


def let_go_of_clicks(node_id: str | None = None) -> None:
    """A segmentation was deleted, or, None, the scene is closed. (Its points stay where they are.)"""
    for known in [node_id] if node_id is not None else list(_known):
        _known.pop(known, None)


class Clicks:
    """The clicks on one segmentation.

    The points are the person's: placed, moved and removed as any markups. ``follow`` brings the segments in line with
    them; it may be called at any time, and does nothing where nothing changed.

    Args:
        node: the segmentation.
        refiner: gives the network of the learned step, or None: then the kernel's correction is the last.
    """

    def __init__(
        self,
        node: slicer.vtkMRMLSegmentationNode,
        refiner: Callable[[], TrainedRefiner | None] = refiner_at_hand,
    ) -> None:
        self.node = node
        self._fields = ClickFields(node)
        self._refinement = ClickRefinement(node, refiner)
        self._corrector = Corrector([], (1.0, 1.0, 1.0), self._fields, self._refinement)
        self._known: dict[str, Click] = {}
        self._places: dict[Click, tuple[float, float, float]] = {}
        self._positions: dict[str, int] = {}
        self._busy = False
        self._stale: set[str] = set()
        self._take_up()
        self._adopt(self._fields.positions)

    # What a person does

    def click(self, segment_id: str, place: Sequence[float], belongs: bool) -> None:
        """Set a click where no point was placed by the mouse.

        Args:
            place: in mm, in the frame of the segmentation node.

        Raises:
            ClickRefused: it cannot be obeyed.
            GridMismatch: the segment no longer lies on the volume that was segmented.
        """
        said = Said(segment_id, belongs)
        self._check(said)
        points = ensured_points_node(self.node)
        self._busy = True
        add_point(points, said, np.asarray(place))
        self._busy = False
        self.follow()

    def follow(self, fresh: Said | None = None) -> bool:
        """Obey the points as they are now.

        Args:
            fresh: what those say that were just placed; None: they are let be.

        Returns:
            whether there was something to do.

        Raises:
            ClickRefused: one cannot be obeyed; it is gone, or where it was, and all others are obeyed.
            GridMismatch: a segment no longer lies on the volume that was segmented.
        """
        if self._busy:
            return False
        self._busy = True
        try:
            return self._followed(fresh)
        finally:
            self._busy = False

    def undo(self) -> bool:
        """Take the last act back: a click set, moved or deleted, or a box segmented again; whether there was one."""
        return self._travel(self._corrector.undo)

    def redo(self) -> bool:
        return self._travel(self._corrector.redo)

    @property
    def can_undo(self) -> bool:
        return self._corrector.can_undo

    @property
    def can_redo(self) -> bool:
        return self._corrector.can_redo

    def segment_near(self, place: Sequence[float]) -> str | None:
        """The segment that lies next to a place, ``NEAR_MM`` away at most; None: none does.

        Args:
            place: in mm, in the frame of the segmentation node.
        """
        self._take_up()
        return self._fields.segment_near(place, NEAR_MM)

    @property
    def surfaces_lag(self) -> bool:
        """Whether surfaces are not what the voxels are."""
        return bool(self._stale)

    def renew_surfaces(self) -> None:
        """Of the segments that clicks changed."""
        segments = segments_of(self.node.GetSegmentation())
        stale = [segments[name] for name in self._stale if name in segments]
        self._stale.clear()
        with NodeModify(self.node):
            for segment in stale:
                segment.RemoveRepresentation(CLOSED_SURFACE)
            if stale:
                self.node.GetSegmentation().CreateRepresentation(CLOSED_SURFACE)

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self._corrector.clicks)

    def renew(self, result: Segmentation, region: Region, scores: RunScores | None = None) -> None:
        """A box was segmented again: its voxels become what was found there, but for those that a person set.

        Raises:
            GridMismatch: the result lies on another grid.
        """
        from TransformerSegLib.inference.volume import Volume

        self._take_up()
        check_labelmaps(self.node)
        grid = self._fields.grid
        if grid is None or grid.shape != result.layers[0].shape or not np.allclose(grid.affine, result.affine):
            raise GridMismatch(
                "The volume is no longer the one that was segmented",
                why="what was found in the box would not lie where it belongs",
                remedy="Segment the volume anew",
            )
        box = region.crop(Volume(result.layers[0], result.affine, result.name)).box
        inside = region.inside(result.affine, box)
        bases = self._fields.numbers_in(result, box)
        for proposal in self._fields.proposals() if scores else ():
            kept = scores_of(proposal)
            if kept is not None and kept.names == scores.names:
                keep(proposal, kept.renewed(scores, box))
        self._take_up()
        self._obey(self._corrector.renew(bases, box, inside))

    # How it is obeyed

    def _take_up(self) -> None:
        """What of segments and scores is in the scene by now."""
        self._fields.take_up()
        self._corrector.fields[:] = self._fields.fields
        self._refinement.take_up(self._fields.grid)
        if self._fields.grid is not None:
            self._corrector.set_spacing(self._fields.spacing)
        positions = self._fields.positions
        others = any(positions.get(name) != position for name, position in self._positions.items())
        if others or (positions and not self._positions):
            self._corrector.forget()
            self._adopt(positions)
        self._positions = dict(positions)

    def _adopt(self, positions: dict[str, int]) -> None:
        """Points of a scene that was reopened, or of segments that another run has made meanwhile."""
        points = points_node(self.node)
        self._known = {}
        for point in placed_points(points) if points is not None else ():
            click = self._click_of(point, positions)
            if click is not None:
                self._known[point.identifier] = click
                self._places[click] = point.place
        self._corrector.adopt(tuple(dict.fromkeys(self._known.values())))

    def _followed(self, fresh: Said | None) -> bool:
        self._take_up()
        points = points_node(self.node)
        refusals: list[Exception] = []
        before = self._corrector.clicks
        if points is not None:
            follow_transform(self.node, points)
            self._write_fresh(points, fresh)
        there = {} if points is None else {point.identifier: point for point in placed_points(points)}
        for identifier in [name for name in self._known if name not in there]:
            self._delete(identifier)
        for point in there.values():
            try:
                self._set_or_move(point)
            except (ClickRefused, GridMismatch) as refusal:
                refusals.append(refusal)
                self._put_back(points, point)
        if points is not None:
            self._align(points)
        if refusals:
            raise refusals[0]
        return before != self._corrector.clicks

    def _write_fresh(self, points: slicer.vtkMRMLMarkupsFiducialNode, fresh: Said | None) -> None:
        for point in placed_points(points):
            if point.said is None and fresh is not None:
                write_said(points, point.identifier, fresh)

    def _delete(self, identifier: str) -> None:
        click = self._known.pop(identifier)
        if click in self._corrector.clicks and click not in self._known.values():
            self._obey(self._corrector.delete(click))

    def _set_or_move(self, point: Point) -> None:
        if point.said is None:
            return
        known = self._known.get(point.identifier)
        click = self._click_of(point, self._fields.positions)
        if click is None:
            if known is None:
                self._check(point.said)
            return
        self._places[click] = point.place
        if click == known:
            return
        self._check(point.said)
        if known is not None and replace(known, voxel=click.voxel) == click and known in self._corrector.clicks:
            self._obey(self._corrector.move(known, click.voxel))
        else:
            self._obey(self._corrector.click(click))
        self._known[point.identifier] = click

    def _put_back(self, points: slicer.vtkMRMLMarkupsFiducialNode, point: Point) -> None:
        known = self._known.get(point.identifier)
        if known is None:
            remove_point(points, point.identifier)
        else:
            move_point(points, point.identifier, self._places[known])

    def _travel(self, there: Callable[[], Change | None]) -> bool:
        if self._busy:
            return False
        self._busy = True
        try:
            self._take_up()
            change = there()
            if change is None:
                return False
            self._obey(change)
            self._align(ensured_points_node(self.node))
            return True
        finally:
            self._busy = False

    def _align(self, points: slicer.vtkMRMLMarkupsFiducialNode) -> None:
        """As many points as there are clicks: some give way to others, some come back."""
        wanted = dict.fromkeys(self._corrector.clicks)
        segment_ids = {position: name for name, position in self._fields.positions.items()}
        with changed_at_once(points):
            for identifier, click in reversed(list(self._known.items())):
                if click in wanted:
                    del wanted[click]
                else:
                    remove_point(points, identifier)
                    del self._known[identifier]
            for click in wanted:
                if click.position in segment_ids:
                    said = Said(segment_ids[click.position], click.belongs)
                    add_point(points, said, self._places.get(click, self._fields.place(click.voxel)))
                    number = points.GetNumberOfControlPoints() - 1
                    self._known[points.GetNthControlPointID(number)] = click

    def _obey(self, change: Change) -> None:
        """Write what changed into the segments, once for each labelmap; and remember that no person did it."""
        for number in sorted({patch.field for patch in change.patches}):
            patches = [patch for patch in change.patches if patch.field == number]
            field = self._corrector.fields[number]
            for patch in patches:
                field.note(patch)
            patches = [patch for patch in patches if not patch.of_base]
            if patches:
                self._write(number, patches)
        self._fields.store()

    def _write(self, number: int, patches: Sequence[Patch]) -> None:
        field = self._corrector.fields[number]
        box = tuple(
            slice(min(extent.start for extent in along), max(extent.stop for extent in along))
            for along in zip(*(patch.box for patch in patches), strict=True)
        )
        after = field.now[box]
        before = after.copy()
        for patch in reversed(patches):
            part = tuple(
                slice(own.start - whole.start, own.stop - whole.start)
                for own, whole in zip(patch.box, box, strict=True)
            )
            before[part] = patch.before
        differing = before != after
        at = np.argwhere(differing) + [extent.start for extent in box]
        changed = segment_voxels.Change(at, before[differing], after[differing])
        present = field.present
        concerned = {present.segment_ids.get(number) for number in np.unique([changed.before, changed.after])}
        with NodeModify(self.node), self._surfaces_kept(concerned):
            segment_voxels.write_numbers(present.segmentation, present.segment_ids, field.grid, changed)

    @contextmanager
    def _surfaces_kept(self, concerned: set[str | None]) -> Iterator[None]:
        """Slicer drops all surfaces when voxels change: to make them takes longer than a click. Those of segments that
        changed stay until ``renew_surfaces``."""
        segments = segments_of(self.node.GetSegmentation())
        surfaces = {name: segment.GetRepresentation(CLOSED_SURFACE) for name, segment in segments.items()}
        yield
        for name, surface in surfaces.items():
            if surface is not None:
                segments[name].AddRepresentation(CLOSED_SURFACE, surface)
                if name in concerned:
                    self._stale.add(name)

    def _click_of(self, point: Point, positions: dict[str, int]) -> Click | None:
        if point.said is None or point.said.segment_id not in positions:
            return None
        return Click(self._fields.voxel(point.place), positions[point.said.segment_id], point.said.belongs)

    def _check(self, said: Said) -> None:
        """That the segment can be corrected by clicks."""
        check_labelmaps(self.node)
        self._take_up()
        segment = self.node.GetSegmentation().GetSegment(said.segment_id)
        if segment is None:
            raise ClickRefused("The segment is gone", why="there is nothing to correct", remedy="Choose another")
        name = f"“{segment.GetName()}”"
        if said.segment_id not in self._fields.positions:
            raise ClickRefused(
                f"{name} was not made by a model in this scene",
                why="clicks correct what a model proposed, and never what a person drew",
                remedy="Paint or erase it by hand",
            )
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        if logic.GetSegmentStatus(segment) == logic.Completed:
            raise ClickRefused(
                f"{name} is completed",
                why="a completed segment stays as it was declared good",
                remedy="Set it back to in progress first",
            )
