"""The fields of a segmentation: which of its segments exclude each other, and what the model said of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import slicer

from TransformerSegLib.export.segment_metadata import TAG_PREFIX
from TransformerSegLib.interaction.neighbourhood import Neighbourhood
from TransformerSegLib.scene.kept_scores import scores_of
from TransformerSegLib.scene.labelmaps import segments_of
from TransformerSegLib.scene.made import known_state
from TransformerSegLib.scene.model_changes import changes_of, key_of
from TransformerSegLib.scene.scene_field import Member, Present, SceneField
from TransformerSegLib.scene.segment_tags import CLASS_TAG, State, tag
from TransformerSegLib.scene.segment_voxels import Box, Grid, read_numbers
from TransformerSegLib.scene.stored_proposals import stored_proposal

if TYPE_CHECKING:
    from TransformerSegLib.inference.proposal import Proposal
    from TransformerSegLib.inference.segmentation import Segmentation
    from TransformerSegLib.interaction.click import Index
    from TransformerSegLib.interaction.local_scores import LocalScores
    from TransformerSegLib.interaction.neighbourhood import Spacing

OVERLAPPING_TAG = f"{TAG_PREFIX}overlapping"
"""Whether the classes of a segment's model may overlap: "true" or "false"."""

FieldKey = tuple[str, str]
"""The proposal's identifier, and the class's name where classes may overlap, else ""."""


class ClickFields:
    """The fields of one segmentation: one a run; where classes may overlap, one a class.

    Args:
        node: the segmentation.

    Attributes:
        fields: in the order in which they were found; none is ever taken away.
        positions: segment id → the position by which clicks know its class; of those that clicks can correct.
        grid: of all of them; None where there is none.
    """

    def __init__(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        self._node = node
        self.fields: list[SceneField] = []
        self.positions: dict[str, int] = {}
        self.grid: Grid | None = None
        self._keys: list[FieldKey] = []
        self._positions: dict[tuple[str, str], int] = {}

    @property
    def spacing(self) -> Spacing:
        return tuple(float(length) for length in np.linalg.norm(self.grid.affine[:3, :3], axis=0))

    def voxel(self, place: tuple[float, float, float]) -> Index:
        """In which a place lies, given in the frame of the segmentation node."""
        index = np.linalg.solve(self.grid.affine, (*place, 1.0))[:3]
        return tuple(int(along) for along in np.rint(index))

    def place(self, voxel: Index) -> np.ndarray:
        """The middle of a voxel, in mm."""
        return (self.grid.affine @ (*voxel, 1.0))[:3]

    def segment_near(self, place: Sequence[float], reach_mm: float) -> str | None:
        """The segment that has the voxel nearest to a place; None: none has one within reach."""
        if self.grid is None:
            return None
        middle = np.clip(self.voxel(tuple(place)), 0, np.subtract(self.grid.shape, 1))
        around = Neighbourhood.of(tuple(int(index) for index in middle), self.grid.shape, self.spacing, reach_mm)
        found: list[tuple[float, str]] = []
        for field in self.fields:
            present = field.present
            numbers, _several = read_numbers(present.segments, self.grid, around.box, field.now.dtype)
            at = np.argwhere((numbers > 0) & around.ball())
            if len(at):
                away = np.linalg.norm((at + around.start - middle) * self.spacing, axis=1)
                nearest = int(away.argmin())
                found.append((float(away[nearest]), present.segment_ids[int(numbers[tuple(at[nearest])])]))
        return min(found)[1] if found else None

    def local(self, field: int, box: Box) -> LocalScores | None:
        """What the model said of a field's classes (a corrector's source)."""
        return self.fields[field].local(box)

    def proposals(self) -> list[Proposal]:
        """Of the runs."""
        return list({id(field.proposal): field.proposal for field in self.fields}.values())

    def store(self) -> None:
        """What clicks changed, into the scene."""
        changes_of(self._node).store(self._node)

    def take_up(self) -> None:
        """Find out what segments there are by now."""
        found: dict[FieldKey, dict[str, State]] = defaultdict(dict)
        self.positions = {}
        segments = segments_of(self._node.GetSegmentation())
        states = {name: state for name, one in segments.items() if (state := known_state(self._node, one, name))}
        for name, state in states.items():
            proposal = stored_proposal(self._node, state.proposal)
            if self.grid is None:
                self.grid = Grid(proposal.shape, proposal.affine)
            if proposal.shape != self.grid.shape or not np.allclose(proposal.affine, self.grid.affine):
                continue
            class_name = tag(segments[name], CLASS_TAG) or name
            overlapping = _overlapping(segments[name], state, states)
            found[state.proposal, class_name if overlapping else ""][name] = state
            position = self._positions.setdefault((state.proposal, class_name), len(self._positions))
            self.positions[name] = position
        for key in dict.fromkeys((*self._keys, *found)):
            self._show(key, found.get(key, {}))

    def numbers_in(self, result: Segmentation, box: Box) -> dict[int, np.ndarray]:
        """Field → what a result holds in a box, as its numbers; where the result does not know a class, its base."""
        there = {segment.definition.name: segment for segment in result.segments}
        numbers = {}
        for index, field in enumerate(self.fields):
            known = {number: there.get(field.members[number].name) for number in field.present.segment_ids}
            if not any(known.values()):
                continue
            field.ready(box)
            unknown = [number for number, segment in known.items() if segment is None]
            own = np.where(np.isin(field.base[box], unknown), field.base[box], field.base.dtype.type(0))
            for number, segment in known.items():
                if segment is not None:
                    own[result.layers[segment.layer][box] == segment.definition.label] = number
            numbers[index] = own
        return numbers

    def _show(self, key: FieldKey, states: dict[str, State]) -> None:
        if key not in self._keys:
            self._keys.append(key)
            self.fields.append(self._made(key, states))
        field = self.fields[self._keys.index(key)]
        self._complete(field, states)
        number_by_position = field.number_of
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        segmentation = self._node.GetSegmentation()
        segment_ids = {number_by_position[self.positions[name]]: name for name in states}
        completed = [
            number
            for number, name in segment_ids.items()
            if logic.GetSegmentStatus(segmentation.GetSegment(name)) == logic.Completed
        ]
        field.show(Present(segmentation, segment_ids, completed), scores_of(field.proposal))

    def _complete(self, field: SceneField, states: dict[str, State]) -> None:
        """Number the classes that the field does not know yet."""
        for name, state in states.items():
            position = self.positions[name]
            if position not in field.number_of:
                number = field.number_of[position] = len(field.number_of) + 1
                own_name = tag(self._node.GetSegmentation().GetSegment(name), CLASS_TAG) or name
                field.members[number] = Member(own_name, state.layer, state.label)

    def _made(self, key: FieldKey, states: dict[str, State]) -> SceneField:
        identifier, class_name = key
        proposal = stored_proposal(self._node, identifier)
        changes = changes_of(self._node)
        return SceneField.empty(
            len(states),
            proposal,
            changes.of(key_of(identifier, class_name), proposal.shape),
            changes.of(f"base {key_of(identifier, class_name)}", proposal.shape),
        )


def _overlapping(segment: slicer.vtkSegment, state: State, states: dict[str, State]) -> bool:
    """Where no run has noted it: whether the run's segments lie in several layers."""
    noted = tag(segment, OVERLAPPING_TAG)
    if noted in ("true", "false"):
        return noted == "true"
    return len({other.layer for other in states.values() if other.proposal == state.proposal}) > 1
