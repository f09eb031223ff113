"""What is kept of a run's scores is what a click wants: near boundaries, within a budget, at the right voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from TransformerSegLib.bundles.card import SegmentClass
from TransformerSegLib.bundles.plan import Activation, Orientation, OutputPlan, Spacing
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.inference.discretising import discretiser
from TransformerSegLib.inference.network_run import ScoreBlock
from TransformerSegLib.inference.preparation import prepare
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.region import Region
from TransformerSegLib.inference.restoring import restore
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.interaction.kept_scores import BEST_CLASSES, WIDEST_BOUND, ScoresOfFields
from TransformerSegLib.interaction.score_keeper import ScoreKeeper
from TransformerSegLib.resources import resources_folder

from real_volumes import affine_of

SHAPE = (14, 17, 20)
EXCLUSIVE, OVERLAPPING = OutputPlan(), OutputPlan(Activation.SIGMOID, threshold=0.4)


def classes_of(number: int, first: int) -> list[SegmentClass]:
    return [
        SegmentClass(label=channel + 1 - first, channel=channel, name=str(channel), color=(0, 0, 0))
        for channel in range(first, number)
    ]


def smooth_logits(channels: int, shape=SHAPE, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(1, channels, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    return 6.0 * torch.nn.functional.interpolate(noise, shape, mode="trilinear")[0]


def whole(shape) -> tuple[slice, ...]:
    return tuple(slice(0, size) for size in shape)


def restored(output: OutputPlan, channels: int = 5, axes: str = "RAS", steps=(), budget: int = 10**8):
    """Keeper, masks of the classes, the model's grid, and the scores that the network gave there."""
    volume = Volume(np.zeros(SHAPE, np.float32), affine_of((1.0, 1.0, 1.0), axes), "empty")
    grid = prepare([volume], [Orientation("RAS"), *steps]).grid
    classes = classes_of(channels, first=1 if output.threshold is None else 0)
    logits, chosen = smooth_logits(channels, grid.shape), discretiser(output, classes)
    numbers = np.zeros((chosen.planes, *SHAPE), chosen.dtype)
    keeper = ScoreKeeper(output, classes, budget)
    keeper.begin(grid, SHAPE, whole(SHAPE))
    blocks = (
        ScoreBlock(slice(row, row + 1), slice(0, grid.shape[1]), logits[:, row : row + 1].clone())
        for row in range(grid.shape[0])
    )
    restore(blocks, grid, output, chosen, numbers, on_scores=keeper.take)
    layers = chosen.layers(numbers)
    masks = [layers[chosen.layer_of(n)] == definition.label for n, definition in enumerate(classes)]
    return keeper, masks, grid, logits.numpy()


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAR", "PIL"])
def test_kept_scores_are_the_network_s_own_at_their_voxels_whatever_the_axes(axes):
    keeper, _, grid, logits = restored(EXCLUSIVE, axes=axes)
    (kept,) = keeper.kept()
    local = kept.local(whole(SHAPE))
    expected = np.maximum(logits - logits.max(axis=0), -WIDEST_BOUND)
    found = np.stack([grid.onto_input(scores) for scores in local.scores])
    known = grid.onto_input(local.known)
    behind_best = np.argsort(np.argsort(-logits, axis=0, kind="stable"), axis=0) < BEST_CLASSES
    assert local.numbers == (0, 1, 2, 3, 4)
    assert 0.3 < known.mean() < 1.0
    assert (np.sort(logits, axis=0)[-1] - np.sort(logits, axis=0)[-2] < WIDEST_BOUND - 1e-3)[~known].sum() == 0
    np.testing.assert_allclose(found[behind_best & known], expected[behind_best & known], atol=0.005)
    assert (found[~behind_best & known] == -WIDEST_BOUND).all()


def test_the_best_of_what_is_kept_is_the_label_also_where_scores_were_resampled():
    keeper, masks, *_ = restored(EXCLUSIVE, axes="LPS", steps=[Spacing((1.3, 0.8, 1.0))])
    local = keeper.kept()[0].local(whole(SHAPE))
    label = np.select(masks, range(1, 5), 0)
    assert (local.scores.argmax(axis=0) == label)[local.known].mean() > 0.999


def test_of_classes_that_overlap_each_is_kept_by_itself_with_nought_at_its_threshold():
    keeper, masks, grid, logits = restored(OVERLAPPING, channels=3, axes="PIL")
    fields = keeper.kept()
    assert len(fields) == 3
    for kept, mask, own in zip(fields, masks, logits, strict=True):
        local = kept.local(whole(SHAPE))
        lead = local.scores[1] - local.scores[0]
        assert ((lead > 0) == mask)[local.known & (np.abs(lead) > 0.01)].all()
        expected = own - np.log(0.4 / 0.6)
        shown = grid.onto_input(local.known)
        np.testing.assert_allclose(grid.onto_input(lead)[shown], expected[shown], atol=0.01)


def test_a_box_holds_what_the_whole_holds_there():
    keeper, *_ = restored(EXCLUSIVE)
    (kept,) = keeper.kept()
    box = (slice(3, 9), slice(5, 6), slice(7, 20))
    part, all_of_it = kept.local(box), kept.local(whole(SHAPE))
    np.testing.assert_array_equal(part.known, all_of_it.known[box])
    for row, number in enumerate(part.numbers):
        np.testing.assert_array_equal(part.scores[row], all_of_it.scores[number][box])


def test_with_less_memory_than_that_the_least_sure_voxels_are_kept():
    plenty, short = restored(EXCLUSIVE)[0].kept()[0], restored(EXCLUSIVE, budget=15_000)[0].kept()[0]
    assert short.bytes <= 15_000 < plenty.bytes
    assert 0 < short.bound < WIDEST_BOUND
    assert set(short.places) < set(plenty.places)
    least_sure = plenty.places[-plenty.scores[:, 1] < short.bound]
    assert set(short.places) == set(least_sure)


@pytest.mark.parametrize(("output", "channels"), [(EXCLUSIVE, 5), (OVERLAPPING, 3)])
def test_what_is_thinned_afterwards_fits_into_the_smaller_budget_and_is_the_least_sure(output, channels):
    keeper = restored(output, channels)[0]
    plenty = keeper.scores()
    keeper.thin(15_000)
    short = keeper.scores()
    assert short.bytes <= 15_000 < plenty.bytes
    for few, all_ in zip(short.fields, plenty.fields, strict=True):
        least_sure = -all_.scores[:, 1] < few.bound
        np.testing.assert_array_equal(few.places, all_.places[least_sure])
        np.testing.assert_array_equal(few.scores, all_.scores[least_sure])


def test_nothing_is_known_of_a_field_of_which_nothing_was_kept():
    assert ScoresOfFields([None]).local(0, whole(SHAPE)) is None


@pytest.mark.parametrize("in_region", [False, True])
def test_a_run_of_the_embedded_model_shows_its_scores_to_a_keeper(in_region):
    volume = read_volume(resources_folder() / "SampleData" / "hippocampus_297.nii.gz")
    bundle = read_bundle(resources_folder() / "Models" / "hippocampus_swin_unetr")
    options = SegmentOptions(region=_inner_region(volume) if in_region else None)
    keeper = ScoreKeeper(bundle.plan.output, bundle.card.classes)
    segmentation = Segmenter(bundle, "cpu", options).segment([volume], observer=keeper)
    (kept,) = keeper.kept()
    assert len(kept.places) > 1000
    assert (kept.numbers[:, 0] == segmentation.layers[0].ravel()[kept.places]).all()


def _inner_region(volume: Volume) -> Region:
    """All but a few voxels on every side, not the same number on each."""
    low, high = np.array([3.0, 6.0, 4.0, 1.0]), np.array([*volume.array.shape, 1.0]) - [5.0, 4.0, 7.0, 0.0]
    corners = np.stack([volume.affine @ low, volume.affine @ high])[:, :3]
    return Region(corners.mean(axis=0), np.abs(corners[1] - corners[0]), np.eye(3))
