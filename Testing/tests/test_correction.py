"""A click is obeyed where it was set, moves the boundary near it, and changes nothing further away."""

from __future__ import annotations

import numpy as np
import pytest

from TransformerSegLib.errors import ClickRefused
from TransformerSegLib.interaction.class_field import ClassField
from TransformerSegLib.interaction.click import Click
from TransformerSegLib.interaction.corrector import Corrector
from TransformerSegLib.interaction.kernel import Kernel
from TransformerSegLib.interaction.local_scores import LocalScores
from TransformerSegLib.interaction.nearness import distance_to, distances_from
from TransformerSegLib.interaction.neighbourhood import REACH_MM, Neighbourhood, millimetres_between

SPACINGS = {
    "isotropic": (1.0, 1.0, 1.0),
    "thick slices": (0.8, 0.8, 5.0),
    "fine": (0.6, 0.5, 0.7),
    "thick rows": (4.0, 1.1, 0.9),
}
SHAPE = (40, 36, 32)


def balls(*places: tuple[tuple[int, int, int], float], shape=SHAPE) -> np.ndarray:
    """Labels 1, 2, …: a ball each, given its centre and radius in voxels; later ones on top."""
    labels = np.zeros(shape, np.uint8)
    grid = np.indices(shape)
    for number, (centre, radius) in enumerate(places, start=1):
        labels[((grid - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(axis=0) <= radius**2] = number
    return labels


TWO = balls(((16, 16, 16), 8), ((26, 18, 16), 7))


class RoughScores:
    """What a network might say of labels: right nearly everywhere, sure in some places and not in others."""

    def __init__(self, labels: np.ndarray, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._scores = random.normal(-3.0, 2.0, (3, *labels.shape)).astype(np.float32)
        np.put_along_axis(self._scores, labels[None].astype(np.intp), 0.5, axis=0)
        self._scores -= self._scores.max(axis=0)
        self._known = random.random(labels.shape) < 0.7

    def local(self, field, box) -> LocalScores:
        known = self._known[box]
        return LocalScores((0, 1, 2), self._scores[:, *box] * known, known, 8.0)


def corrector_of(labels=TWO, spacing=(1.0, 1.0, 1.0), source=None, protected=None) -> Corrector:
    classes = {position: position + 1 for position in range(int(labels.max()))}
    return Corrector([ClassField.of(labels, classes, protected)], spacing, source)


def random_click(random: np.random.Generator, shape=SHAPE) -> Click:
    voxel = tuple(int(index) for index in random.integers(8, np.array(shape) - 8))
    return Click(voxel, int(random.integers(2)), bool(random.random() < 0.6))


def is_obeyed(corrector: Corrector, click: Click) -> bool:
    number = next(int(field.now[click.voxel]) for field in corrector.fields if click.position in field.number_of)
    own = next(f.number_of[click.position] for f in corrector.fields if click.position in f.number_of)
    return (number == own) == click.belongs


@pytest.mark.parametrize("with_scores", [True, False])
@pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS)
def test_each_click_is_obeyed_also_when_later_ones_come_near(spacing, with_scores):
    random = np.random.default_rng(3)
    corrector = corrector_of(spacing=spacing, source=RoughScores(TWO, 0) if with_scores else None)
    for _ in range(25):
        corrector.click(random_click(random))
        assert all(is_obeyed(corrector, click) for click in corrector.clicks)


def test_neighbours_that_say_opposite_things_are_both_obeyed_and_nothing_surges_around_them():
    corrector = corrector_of(spacing=(0.5, 0.5, 0.5))
    for step in range(4):
        corrector.click(Click((20, 24, 12 + step), 0, belongs=step % 2 == 0))
    assert all(is_obeyed(corrector, click) for click in corrector.clicks)
    change = corrector.click(Click((20, 24, 16), 0, belongs=True))
    assert sum(np.count_nonzero(patch.before != patch.after) for patch in change.patches) < 500


@pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS)
def test_no_voxel_further_than_twelve_millimetres_changes(spacing):
    random = np.random.default_rng(4)
    corrector = corrector_of(spacing=spacing, source=RoughScores(TWO, 1))
    now, changed = corrector.fields[0].now, 0
    for _ in range(15):
        before, click = now.copy(), random_click(random)
        corrector.click(click)
        for voxel in np.argwhere(before != now):
            assert millimetres_between(tuple(voxel), click.voxel, spacing) <= REACH_MM
            changed += 1
    assert changed > 200


def test_a_click_beside_a_boundary_moves_the_boundary_and_makes_no_island():
    from scipy.ndimage import label

    corrector = corrector_of(balls(((18, 18, 16), 8)))
    corrector.click(Click((18, 18, 26), 0))
    now = corrector.fields[0].now
    assert label(now == 1)[1] == 1
    assert np.count_nonzero(now != TWO) > 10
    assert now[18, 18, 25] == 1


def test_what_does_not_belong_becomes_none_at_the_outside_and_the_other_class_between_two():
    outside, between = corrector_of(), corrector_of(balls(((16, 16, 16), 15), ((26, 16, 16), 9)))
    outside.click(Click((9, 16, 16), 0, belongs=False))
    assert outside.fields[0].now[9, 16, 16] == 0
    assert between.fields[0].now[16, 16, 16] == 1
    between.click(Click((16, 16, 16), 0, belongs=False))
    assert between.fields[0].now[16, 16, 16] == 2


def test_classes_that_may_overlap_are_corrected_each_for_itself():
    one, other = balls(((16, 16, 16), 8)), balls(((20, 16, 16), 8))
    fields = [ClassField.of(one, {0: 1}), ClassField.of(other, {1: 1})]
    corrector = Corrector(fields, (1.0, 1.0, 2.0))
    corrector.click(Click((7, 16, 16), 0))
    assert (fields[1].now == other).all()
    corrector.click(Click((7, 16, 16), 1))
    assert fields[0].now[7, 16, 16] == fields[1].now[7, 16, 16] == 1
    corrector.click(Click((20, 16, 16), 0, belongs=False))
    assert fields[0].now[20, 16, 16] == 0
    assert fields[1].now[20, 16, 16] == 1
    assert len(corrector.clicks) == 3


def test_voxels_that_a_person_painted_never_change():
    random = np.random.default_rng(5)
    protected = random.random(SHAPE) < 0.3
    corrector = corrector_of(protected=protected, source=RoughScores(TWO, 2))
    refused = 0
    for _ in range(40):
        try:
            corrector.click(random_click(random))
        except ClickRefused:
            refused += 1
        if random.random() < 0.3:
            corrector.undo()
    assert (corrector.fields[0].now[protected] == TWO[protected]).all()
    assert (corrector.fields[0].now != TWO).any()
    assert refused > 3


def test_what_is_painted_between_clicks_is_kept_by_undo_and_redo():
    corrector = corrector_of()
    field = corrector.fields[0]
    corrector.click(Click((16, 16, 26), 0))
    box = (slice(14, 18), slice(14, 18), slice(24, 28))
    painted = np.full((4, 4, 4), 2, np.uint8)
    corrector.take_over(0, box, np.ones((4, 4, 4), bool), painted)
    for act in (corrector.undo, corrector.redo, corrector.undo):
        act()
        assert (field.now[box] == 2).all()
    corrector.click(Click((16, 16, 22), 0, belongs=False))
    assert (field.now[box] == 2).all()


def test_a_click_that_a_person_s_voxel_contradicts_is_refused_with_a_remedy():
    protected = np.zeros(SHAPE, bool)
    protected[16, 16, 16] = True
    corrector = corrector_of(protected=protected)
    with pytest.raises(ClickRefused, match=r"painted by a person.*beside it"):
        corrector.click(Click((16, 16, 16), 1))
    corrector.click(Click((16, 16, 16), 0))
    assert len(corrector.clicks) == 1


def test_a_click_outside_of_the_volume_is_refused():
    with pytest.raises(ClickRefused, match="outside"):
        corrector_of().click(Click((16, 16, 32), 0))


def test_undoing_all_gives_back_every_bit_and_redoing_all_does_too():
    random = np.random.default_rng(6)
    corrector = corrector_of(source=RoughScores(TWO, 3))
    states = [(corrector.fields[0].now.tobytes(), corrector.clicks)]
    for step in range(30):
        if step % 5 == 3:
            corrector.move(corrector.clicks[step % len(corrector.clicks)], random_click(random).voxel)
        elif step % 5 == 4:
            corrector.delete(corrector.clicks[step % len(corrector.clicks)])
        else:
            corrector.click(random_click(random))
        states.append((corrector.fields[0].now.tobytes(), corrector.clicks))
    assert len({state for state, _ in states}) > 25
    for expected in reversed(states[:-1]):
        corrector.undo()
        assert (corrector.fields[0].now.tobytes(), corrector.clicks) == expected
    assert corrector.undo() is None
    for expected in states[1:]:
        corrector.redo()
        assert (corrector.fields[0].now.tobytes(), corrector.clicks) == expected
    assert corrector.redo() is None


def test_a_new_click_forgets_what_was_undone():
    corrector = corrector_of()
    corrector.click(Click((16, 16, 26), 0))
    corrector.undo()
    corrector.click(Click((16, 16, 6), 0))
    assert corrector.redo() is None


def test_deleting_the_only_click_gives_back_what_was_there_before_it():
    corrector = corrector_of()
    click = Click((16, 16, 26), 0)
    corrector.click(click)
    assert (corrector.fields[0].now != TWO).any()
    corrector.delete(click)
    assert (corrector.fields[0].now == TWO).all()


def test_a_moved_click_is_obeyed_at_its_new_place_and_forgotten_at_the_old_one():
    corrector = corrector_of()
    click = Click((16, 16, 26), 0)
    corrector.click(click)
    corrector.move(click, (16, 16, 5))
    assert corrector.fields[0].now[16, 16, 5] == 1
    assert corrector.fields[0].now[16, 16, 26] == 0


def test_moved_and_deleted_clicks_leave_the_others_obeyed():
    random = np.random.default_rng(7)
    corrector = corrector_of(source=RoughScores(TWO, 4))
    for _ in range(12):
        corrector.click(random_click(random))
    for _ in range(5):
        corrector.move(corrector.clicks[0], random_click(random).voxel)
        corrector.delete(corrector.clicks[1])
        assert all(is_obeyed(corrector, click) for click in corrector.clicks)


class Closed(ClassField):
    """A field whose class 2 neither gives nor takes a voxel."""

    @property
    def closed(self):
        return (2,)

    def spared(self, box, numbers=None):
        spared = self.protected[box] | (self.now[box] == 2)
        return spared if numbers is None else spared | (numbers == 2)


@pytest.mark.parametrize("third", [False, True], ids=["none is left", "another is left"])
def test_what_does_not_belong_does_so_although_the_best_other_class_takes_nothing(third):
    scores = np.full((4, 1, 1, 1), -30.0, np.float32)
    scores[:, 0, 0, 0] = (-20.0, 0.0, -1.0, -2.0 if third else -40.0)

    def everywhere(field, box) -> LocalScores:
        shape = tuple(extent.stop - extent.start for extent in box)
        return LocalScores((0, 1, 2, 3), np.broadcast_to(scores, (4, *shape)), np.ones(shape, bool), 8.0)

    labels = balls(((16, 16, 16), 8), ((30, 18, 16), 4), ((8, 28, 8), 3))
    field = Closed.of(labels, {0: 1, 1: 2, 2: 3})
    source = type("Everywhere", (), {"local": staticmethod(everywhere)})()
    Corrector([field], (1.0, 1.0, 1.0), source).click(Click((16, 16, 16), 0, belongs=False))
    assert field.now[16, 16, 16] == (3 if third else 0)
    np.testing.assert_array_equal(field.now == 2, labels == 2)


def test_of_contradicting_clicks_on_one_voxel_the_last_stays():
    corrector = corrector_of()
    for click in (Click((21, 17, 16), 0), Click((21, 17, 16), 1)):
        corrector.click(click)
        assert corrector.clicks == (click,)
    corrector.click(Click((21, 17, 16), 1, belongs=False))
    corrector.click(Click((21, 17, 16), 0, belongs=False))
    assert len(corrector.clicks) == 2
    assert corrector.fields[0].now[21, 17, 16] == 0


@pytest.mark.parametrize("spacing", SPACINGS.values(), ids=SPACINGS)
def test_distances_are_those_of_scipy(spacing):
    from scipy.ndimage import distance_transform_edt

    mask = np.random.default_rng(8).random((14, 12, 13)) < 0.02
    mask[6, 6, 7] = True
    expected = np.minimum(distance_transform_edt(~mask, sampling=spacing), 4.0)
    found = distance_to(mask, spacing, 4.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    near = Neighbourhood.of((6, 5, 7), mask.shape, spacing, 4.0).box
    place = tuple(index - extent.start for index, extent in zip((6, 5, 7), near, strict=True))
    assert distances_from(place, mask[near].astype(np.uint8), spacing, 4.0)[1] == pytest.approx(expected[6, 5, 7])


def test_the_kernel_s_sum_over_clicks_is_what_its_matrix_says():
    kernel, spacing = Kernel(((0.3, 2.0), (0.7, 6.0)), own=0.1), (0.7, 1.3, 2.0)
    voxels = np.array([[1, 2, 3], [4, 4, 4], [1, 2, 4], [9, 0, 0]])
    amounts = np.random.default_rng(9).normal(size=(2, 4))
    box = (slice(0, 6), slice(1, 6), slice(2, 6))
    spread = kernel.spread(amounts, voxels, box, spacing)
    at_voxels = amounts @ kernel.between(voxels, spacing)
    for voxel, expected in zip(voxels[:3], at_voxels.T, strict=False):
        np.testing.assert_allclose(spread[:, *(voxel - [0, 1, 2])], expected, rtol=1e-5)
