"""Clicks set, moved and deleted on a segmentation, each of which can be undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from TransformerSegLib.errors import ClickRefused
from TransformerSegLib.interaction.class_field import ClassField, Patch
from TransformerSegLib.interaction.click import Click, Index
from TransformerSegLib.interaction.correction import Refine, corrected, nothing_known
from TransformerSegLib.interaction.local_scores import NEARNESS_MM, LocalScores
from TransformerSegLib.interaction.neighbourhood import (
    REACH_MM,
    Box,
    Neighbourhood,
    Spacing,
    millimetres_between,
)

BEARING_MM = 2 * REACH_MM
"""Clicks further away from another than this do not bear upon what it changes."""


class ScoreSource(Protocol):
    """Knows what a model said."""

    def local(self, field: int, box: Box) -> LocalScores | None:
        """The scores of a field's classes in a box; None where nothing is known."""


@dataclass(frozen=True, eq=False)
class Change:
    """One act, and what it did.

    Attributes:
        patches: in the order in which they were made.
        clicks_before, clicks_after: all clicks, on whichever field.
    """

    patches: tuple[Patch, ...]
    clicks_before: tuple[Click, ...]
    clicks_after: tuple[Click, ...]


class Corrector:
    """The state of a correction.

    Args:
        fields: one for classes that exclude each other; else one a class. All are on one grid.
        spacing: of voxel centres along i, j and k, in mm.
        source: of the model's scores; None: only labels are known.
        refine: a further step of the correction; None: the kernel's is the last.

    Attributes:
        fields: further ones may be appended.
        clicks: in the order in which they were set.

    Example:
        >>> field = ClassField.of(np.zeros((20, 20, 20), np.uint8), {0: 1})
        >>> corrector = Corrector([field], (1.0, 1.0, 1.0))
        >>> change = corrector.click(Click((10, 10, 10), position=0))
        >>> int(field.now[10, 10, 10])
        1
    """

    def __init__(
        self,
        fields: Sequence[ClassField],
        spacing: Spacing,
        source: ScoreSource | None = None,
        refine: Refine | None = None,
    ) -> None:
        self.fields = list(fields)
        self.clicks: tuple[Click, ...] = ()
        self._spacing = spacing
        self._source = source
        self._refine = refine
        self._done: list[Change] = []
        self._undone: list[Change] = []

    def click(self, click: Click) -> Change:
        """Set a click. Earlier ones on the same voxel that contradict it give way to it.

        Raises:
            ClickRefused: it lies outside, or a person set its voxel otherwise.
        """
        number = self._field_of(click)
        self._check(click, self.fields[number])
        return self._corrected(number, (*self._agreeing(self.clicks, click), click), click.voxel)

    def move(self, click: Click, voxel: Index) -> Change:
        """Take a click to another voxel.

        Raises:
            ClickRefused: as for a new one.
            ValueError: there is no such click.
        """
        number, moved = self._field_of(click), replace(click, voxel=voxel)
        self._check(moved, self.fields[number])
        self._ready(number, [click.voxel, voxel])
        before, self.clicks = self.clicks, self._without(click)
        left = self._renewed(number, click.voxel)
        self.clicks = (*self._agreeing(self.clicks, moved), moved)
        reached = self._renewed(number, voxel)
        return self._done_now([patch for patch in (left, reached) if patch], before)

    def delete(self, click: Click) -> Change:
        """Take a click away; its surroundings become what the others make of them.

        Raises:
            ValueError: there is no such click.
        """
        return self._corrected(self._field_of(click), self._without(click), click.voxel)

    def renew(self, bases: Mapping[int, np.ndarray], box: Box, where: np.ndarray) -> Change:
        """A model said anew what lies in a box: clicks hold on top of it.

        Args:
            bases: field → its numbers in the box; of some of the fields.
            where: boolean, of the box's shape: only there anything changes.
        """
        patches: list[Patch] = []
        for number, numbers in bases.items():
            self.fields[number].ready(box)
            self._ready(number, self._clicked(number, box))
            patches += self._renewed_base(number, numbers, box, where)
        return self._done_now(patches, self.clicks)

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def undo(self) -> Change | None:
        """Take back the last act: every voxel and click is what it was, but for voxels that a person set since.

        Returns:
            what was done, newly as its reverse; None: there was nothing to undo.
        """
        if not self._done:
            return None
        change = self._done.pop()
        self._undone.append(change)
        return self._go(_reversed(change))

    def redo(self) -> Change | None:
        """Do again what was undone last; None: nothing was."""
        if not self._undone:
            return None
        change = self._undone.pop()
        self._done.append(change)
        return self._go(change)

    def take_over(self, field: int, box: Box, painted: np.ndarray, numbers: np.ndarray) -> None:
        """A person painted: see ``ClassField.take_over``."""
        self.fields[field].take_over(box, painted, numbers)

    def set_spacing(self, spacing: Spacing) -> None:
        """Before the first click, where fields come later."""
        self._spacing = spacing

    def adopt(self, clicks: Sequence[Click]) -> None:
        """Take clicks for set, of which the fields tell already what came of them: when a scene is reopened."""
        self.clicks = tuple(clicks)

    def forget(self) -> None:
        """Nothing that was done so far can be undone any longer."""
        self._done.clear()
        self._undone.clear()

    def _corrected(self, number: int, clicks: tuple[Click, ...], centre: Index) -> Change:
        self._ready(number, [centre])
        before, self.clicks = self.clicks, clicks
        patch = self._renewed(number, centre)
        return self._done_now([patch] if patch else [], before)

    def _done_now(self, patches: Sequence[Patch], clicks_before: tuple[Click, ...]) -> Change:
        change = Change(tuple(patches), clicks_before, self.clicks)
        self._done.append(change)
        self._undone.clear()
        return change

    def _renewed(self, number: int, centre: Index, within: Callable[[Box], np.ndarray] | None = None) -> Patch | None:
        """Correct what lies around a voxel anew.

        Args:
            within: gives, of a box, the voxels to which that is confined.
        """
        field = self.fields[number]
        around = Neighbourhood.of(centre, field.now.shape, self._spacing)
        model = partial(self._source.local, number) if self._source else nothing_known
        bearing = self._bearing(number, centre)
        numbers = corrected(field, around, bearing, model, refine=self._refine)
        numbers = np.where(_reached(around, bearing), numbers, field.base[around.box])
        here = around.ball() if within is None else around.ball() & within(around.box)
        patch = field.change(around.box, np.where(here, numbers, field.now[around.box]))
        return patch and replace(patch, field=number)

    def _renewed_base(self, number: int, numbers: np.ndarray, box: Box, where: np.ndarray) -> list[Patch]:
        field = self.fields[number]
        patches = [
            field.rebase(box, np.where(where, numbers, field.base[box])),
            field.change(box, np.where(where, numbers, field.now[box])),
        ]
        within = partial(_part, where, box)
        patches += [self._renewed(number, voxel, within) for voxel in self._clicked(number, box)]
        return [replace(patch, field=number) for patch in patches if patch]

    def _clicked(self, number: int, box: Box) -> list[Index]:
        """Where clicks are that may change something in a box of a field."""
        shape = self.fields[number].now.shape
        return [
            click.voxel
            for click in self.clicks
            if self._field_of(click) == number and _meets(box, click.voxel, shape, self._spacing)
        ]

    def _ready(self, number: int, centres: Sequence[Index]) -> None:
        """All that is read around some voxels, before anything changes: what an act has done is not in the scene yet,
        and must not pass for a person's."""
        for centre in centres:
            field = self.fields[number]
            field.ready(self._read(number, Neighbourhood.of(centre, field.now.shape, self._spacing)))

    def _read(self, number: int, around: Neighbourhood) -> Box:
        """All that a correction around a voxel may read."""
        shape = self.fields[number].now.shape
        boxes = [around.grown(NEARNESS_MM, shape)[0]]
        boxes += [
            Neighbourhood.of(click.voxel, shape, self._spacing, NEARNESS_MM).box
            for click in self._near(number, around.centre)
        ]
        return tuple(
            slice(min(part.start for part in along), max(part.stop for part in along))
            for along in zip(*boxes, strict=True)
        )

    def _bearing(self, number: int, centre: Index) -> list[Click]:
        """The clicks that bear upon what lies around a voxel. On a person's voxels, they have nothing to say."""
        return [click for click in self._near(number, centre) if not self.fields[number].protected[click.voxel]]

    def _near(self, number: int, centre: Index) -> list[Click]:
        return [
            click
            for click in self.clicks
            if self._field_of(click) == number and millimetres_between(click.voxel, centre, self._spacing) <= BEARING_MM
        ]

    def _go(self, change: Change) -> Change:
        self.clicks = change.clicks_after
        patches = []
        for wanted in change.patches:
            self.fields[wanted.field].ready(wanted.box)
        for wanted in change.patches:
            field = self.fields[wanted.field]
            patch = (field.rebase if wanted.of_base else field.change)(wanted.box, wanted.after)
            if patch:
                patches.append(replace(patch, field=wanted.field))
        return replace(change, patches=tuple(patches))

    def _without(self, click: Click) -> tuple[Click, ...]:
        if click not in self.clicks:
            raise ValueError(f"{click} was not set")
        return tuple(other for other in self.clicks if other != click)

    def _agreeing(self, clicks: Sequence[Click], new: Click) -> tuple[Click, ...]:
        """Those that a new click leaves: a voxel belongs to one class of a field at most."""
        classes = self.fields[self._field_of(new)].number_of
        return tuple(
            click
            for click in clicks
            if click.voxel != new.voxel
            or click.position not in classes
            or (click.position != new.position and not new.belongs)
        )

    def _field_of(self, click: Click) -> int:
        for number, field in enumerate(self.fields):
            if click.position in field.number_of:
                return number
        raise ValueError(f"no class is at position {click.position}")

    def _check(self, click: Click, field: ClassField) -> None:
        """That it can be obeyed."""
        if any(not 0 <= index < size for index, size in zip(click.voxel, field.now.shape, strict=True)):
            raise ClickRefused(
                "The click lies outside of the segmented volume",
                why="there is no voxel to correct",
                remedy="Click within the volume",
            )
        voxel = tuple(slice(index, index + 1) for index in click.voxel)
        field.ready(voxel)
        is_of_class = int(field.now[click.voxel]) == field.number_of[click.position]
        if field.spared(voxel).all() and is_of_class != click.belongs:
            raise ClickRefused(
                "The clicked voxel was painted by a person, or is of a completed segment",
                why="clicks change only what the model, or another click, proposed",
                remedy="Paint or erase it by hand, or click beside it",
            )


def _reversed(change: Change) -> Change:
    patches = tuple(patch.reversed for patch in reversed(change.patches))
    return Change(patches, change.clicks_after, change.clicks_before)


def _reached(around: Neighbourhood, clicks: Sequence[Click]) -> np.ndarray:
    """Boolean, of the neighbourhood's box: what lies within reach of a click. (That of a deleted one may not.)"""
    if any(click.voxel == around.centre for click in clicks):
        return np.ones(around.shape, bool)  # its own ball is all that is going to be written
    reached = np.zeros(around.shape, bool)
    for click in clicks:
        reached |= replace(around, centre=click.voxel).ball()
    return reached


def _meets(box: Box, voxel: Index, shape: Index, spacing: Spacing) -> bool:
    """Whether a click on a voxel may change something in a box."""
    reach = Neighbourhood.of(voxel, shape, spacing).box
    return all(one.start < other.stop and other.start < one.stop for one, other in zip(box, reach, strict=True))


def _part(where: np.ndarray, box: Box, wanted: Box) -> np.ndarray:
    """What a mask on one box says of another; False outside of it."""
    result = np.zeros(tuple(extent.stop - extent.start for extent in wanted), bool)
    shared = [
        slice(max(one.start, other.start), max(min(one.stop, other.stop), max(one.start, other.start)))
        for one, other in zip(box, wanted, strict=True)
    ]
    source = tuple(slice(part.start - own.start, part.stop - own.start) for part, own in zip(shared, box, strict=True))
    target = tuple(slice(p.start - own.start, p.stop - own.start) for p, own in zip(shared, wanted, strict=True))
    result[target] = where[source]
    return result
