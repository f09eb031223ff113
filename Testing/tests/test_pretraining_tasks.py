"""The three tasks of the pretraining, against computations that share no code with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.networks.registry import configured
from TransformerSegLib.networks.swin_unetr_pretraining_module import Predictions, SwinUNETRPretraining
from TransformerSegLib.training.masking import LONGEST, MOST_MASKED, boxes, masked
from TransformerSegLib.training.pretraining_tasks import TASKS, TEMPERATURE, Views, task_losses, two_views
from TransformerSegLib.training.rotation import rotation_plane, turned

PATCH = (32, 64, 32)


def volumes(count: int, sides=PATCH, channels: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, channels, *sides)).astype(np.float32))


def network(**changed) -> SwinUNETRPretraining:
    arguments = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "window_size": 4} | changed
    torch.manual_seed(0)
    return SwinUNETRPretraining(configured("SwinUNETR", arguments).module(), arguments["in_channels"], 12)


@pytest.fixture
def predicted() -> tuple[Predictions, Views]:
    """For three sub-volumes, as a network might: numbers without order."""
    random = np.random.default_rng(7)
    rotation, contrastive = random.normal(size=(6, 4)), random.normal(size=(6, 512))
    reconstruction, whole = random.normal(size=(2, 6, 1, 4, 4, 4))
    turns = np.array([0, 3, 1, 2, 2, 0])
    tensors = (torch.from_numpy(array) for array in (rotation, contrastive, reconstruction))
    return Predictions(*tensors), Views(torch.zeros(6), torch.from_numpy(whole), torch.from_numpy(turns))


def test_the_inpainting_loss_is_the_mean_absolute_difference(predicted):
    predictions, views = predicted
    found, wanted = predictions.reconstruction.numpy(), views.whole.numpy()
    expected = sum(abs(a - b) for a, b in zip(found.ravel(), wanted.ravel(), strict=True)) / found.size
    assert task_losses(*predicted)["inpainting"].item() == pytest.approx(expected, rel=1e-12)


def test_the_rotation_loss_is_the_cross_entropy_of_the_quarter_turns(predicted):
    predictions, views = predicted
    expected = 0.0
    for logits, turn in zip(predictions.rotation.numpy(), views.turns.numpy(), strict=True):
        expected -= np.log(np.exp(logits[turn]) / np.exp(logits).sum()) / len(views.turns)
    assert task_losses(*predicted)["rotation"].item() == pytest.approx(expected, rel=1e-12)


def test_the_contrastive_loss_is_that_of_simclr_written_out_pair_by_pair(predicted):
    features = predicted[0].contrastive.numpy()
    count = len(features) // 2

    def similarity(a: int, b: int) -> float:
        return features[a] @ features[b] / np.sqrt((features[a] @ features[a]) * (features[b] @ features[b]))

    expected = 0.0
    for view in range(2 * count):
        partner = (view + count) % (2 * count)
        others = sum(np.exp(similarity(view, other) / TEMPERATURE) for other in range(2 * count) if other != view)
        expected -= np.log(np.exp(similarity(view, partner) / TEMPERATURE) / others) / (2 * count)
    assert task_losses(*predicted)["contrastive"].item() == pytest.approx(expected, rel=1e-6)


def test_a_perfect_encoder_has_lower_losses_in_every_task(predicted):
    predictions, views = predicted
    same = predictions.contrastive[:3].repeat(2, 1)
    perfect = Predictions(10 * torch.eye(4).double()[views.turns], same, views.whole.clone())
    before, after = task_losses(predictions, views), task_losses(perfect, views)
    assert set(before) == set(TASKS)
    assert all(after[task] < before[task] for task in TASKS)


@pytest.mark.parametrize(
    ("patch", "spacing", "axcodes", "plane"),
    [
        ((96, 96, 96), (1.5, 1.5, 2.0), "RAS", (0, 1)),
        ((32, 32, 64), (1.0, 1.0, 1.0), "RAS", (0, 1)),
        ((32, 64, 32), (1.0, 1.0, 1.0), "RAS", (0, 2)),
        ((64, 64, 64), (3.0, 1.0, 1.0), "SPR", (1, 2)),
        ((64, 64, 64), (1.0, 3.0, 1.0), "RAS", (0, 2)),
    ],
)
def test_patches_are_turned_where_sides_and_spacings_are_equal_axially_if_they_can(patch, spacing, axcodes, plane):
    assert rotation_plane(patch, spacing, axcodes) == plane


def test_a_patch_with_three_different_sides_is_refused_with_one_that_fits():
    with pytest.raises(TrainingDataRejected, match=r"32×64×96 voxels cannot be turned.*--patch 32,32,96"):
        rotation_plane((32, 64, 96), (1.0, 1.0, 1.0), "RAS")


def test_each_volume_is_turned_by_its_own_quarters():
    given = volumes(4, (3, 5, 3))
    found = turned(given, np.array([0, 1, 2, 3]), (0, 2)).numpy()
    for quarters in range(4):
        for i, j, k in np.ndindex(3, 5, 3):
            x, z = i - 1, k - 1  # from the middle; a quarter turn takes (x, z) to (−z, x)
            for _ in range(quarters):
                x, z = -z, x
            assert found[quarters, 0, x + 1, j, z + 1] == given[quarters, 0, i, j, k].item()


def test_the_boxes_of_a_mask_are_within_the_volume_small_and_together_as_large_as_drawn():
    shares = []
    for seed in range(200):
        mask = np.zeros(PATCH, bool)
        for box in boxes(PATCH, np.random.RandomState(seed)):
            assert all(0 <= part.start < part.stop <= side for part, side in zip(box, PATCH, strict=True))
            assert all(part.stop - part.start <= LONGEST * side for part, side in zip(box, PATCH, strict=True))
            mask[box] = True
        shares.append(mask.mean())
    assert max(shares) < MOST_MASKED + LONGEST**3
    assert 0.10 < np.mean(shares) < 0.16  # half of the most, less what boxes cut from each other


def test_masks_hold_noise_of_the_volumes_own_spread_or_another_volumes_voxels():
    given = volumes(1, (64, 64, 64)) * 100 + 1000
    found = masked(given, np.random.RandomState(3))
    changed = found != given
    assert 0.02 < changed.float().mean() < 0.3
    assert found[changed].mean().item() == pytest.approx(1000, abs=5)
    assert found[changed].std().item() == pytest.approx(100, abs=5)
    levels = torch.full((3, 1, 32, 32, 32), 0.0) + torch.arange(3.0).reshape(3, 1, 1, 1, 1)  # noise of no spread
    swapped = masked(levels, np.random.RandomState(3))
    assert (swapped != levels).any()
    assert set(swapped.unique().tolist()) <= {0.0, 1.0, 2.0}


def test_two_views_show_the_same_sub_volumes_in_the_same_order_turned_and_masked_apart():
    given = volumes(3, (8, 16, 8))
    views = two_views(given, (0, 2), np.random.RandomState(1))
    assert views.shown.shape == views.whole.shape == (6, 1, 8, 16, 8)
    for index in range(6):
        back = views.whole[index].rot90(-int(views.turns[index]), (1, 3))
        assert torch.equal(back, given[index % 3])
    assert not torch.equal(views.turns[:3], views.turns[3:])
    assert (views.shown != views.whole).any()


def test_views_follow_from_the_seed():
    given = volumes(2)
    first, again, other = (two_views(given, (0, 2), np.random.RandomState(seed)) for seed in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.shown, other.shown)


@pytest.mark.parametrize("merging", ["merging", "mergingv2", "legacy"])
def test_the_encoder_has_the_names_that_it_has_in_a_swin_unetr(merging: str):
    torch.manual_seed(1)
    arguments = {"in_channels": 2, "out_channels": 3, "feature_size": 12, "window_size": 4, "downsample": merging}
    swin_unetr = configured("SwinUNETR", arguments).module().eval()
    whole = {name: tensor for name, tensor in swin_unetr.state_dict().items() if name.startswith("swinViT.")}
    pretrained = SwinUNETRPretraining(swin_unetr, 2, 12).eval()
    kept = {name: tensor for name, tensor in pretrained.state_dict().items() if name.startswith("swinViT.")}
    assert kept.keys() == whole.keys()
    predictions = pretrained(volumes(2, PATCH, channels=2))
    assert predictions.rotation.shape == (2, 4)
    assert predictions.contrastive.shape == (2, 512)
    assert predictions.reconstruction.shape == (2, 2, *PATCH)


@pytest.mark.parametrize("patch", [(32, 32, 64), (64, 32, 64)])
def test_patches_need_not_be_cubes(patch):
    views = two_views(volumes(2, patch), rotation_plane(patch, (1.0, 1.0, 1.0), "RAS"), np.random.RandomState(0))
    losses = task_losses(network()(views.shown), views)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_every_weight_of_the_encoder_learns_from_the_sum_of_the_losses():
    learner = network()
    views = two_views(volumes(2), (0, 2), np.random.RandomState(0))
    sum(task_losses(learner(views.shown), views).values()).backward()
    idle = [name for name, parameter in learner.named_parameters() if parameter.grad is None]
    assert not idle
