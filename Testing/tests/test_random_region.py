"""Where in a large image the patches of a training come from."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from TransformerSegLib.training.augmentation import augmentation
from TransformerSegLib.training.random_region_module import RandomRegion
from TransformerSegLib.training.recipe import Recipe

SIDES = (90, 60, 20)
PATCH = (16, 16, 16)
SMALL, LARGE = (80, 5, 3), (slice(10, 50), slice(20, 50), slice(5, 15))


def recipe(share: float, **changed) -> Recipe:
    return Recipe(
        architecture="SwinUNETR",
        network={"in_channels": 1, "out_channels": 3},
        spacing_mm=(1.0, 1.0, 1.0),
        patch=PATCH,
        epochs=1,
        labelled_share=share,
        **changed,
    )


@pytest.fixture
def case() -> dict[str, torch.Tensor]:
    """The image numbers its voxels; class 1 is large, class 2 a single voxel."""
    label = torch.zeros(1, *SIDES)
    label[(0, *LARGE)] = 1
    label[(0, *SMALL)] = 2
    return {"image": torch.arange(float(label.numel())).reshape(1, *SIDES), "label": label}


def regions(share: float, case: dict[str, torch.Tensor], count: int = 300) -> list[dict[str, torch.Tensor]]:
    transform = RandomRegion(recipe(share))
    transform.set_random_state(seed=3)
    return [transform(case) for _ in range(count)]


def test_image_and_label_are_cut_alike_and_reach_three_quarters_of_a_patch_from_a_voxel_of_the_image(case):
    for region in regions(0.0, case, 50):
        assert region["image"].shape == region["label"].shape
        first = [int(index) for index in torch.unravel_index(region["image"].flatten()[0].long(), SIDES)]
        part = tuple(slice(begin, begin + side) for begin, side in zip(first, region["image"].shape[1:], strict=True))
        assert torch.equal(region["image"][0], case["image"][0][part])
        assert torch.equal(region["label"][0], case["label"][0][part])
        assert all(12 <= side <= 24 for side in region["image"].shape[1:])


def test_small_classes_are_shown_as_often_as_large_ones(case):
    shown = Counter()
    for region in regions(1.0, case):
        assert region["label"].any()
        shown[bool((region["label"] == 2).any())] += 1
    assert 0.4 < shown[True] / shown.total() < 0.6


def test_without_a_share_a_small_class_is_hardly_seen(case):
    assert sum(bool((region["label"] == 2).any()) for region in regions(0.0, case)) < 40


def test_regions_that_overlap_each_count_as_a_class(case):
    channels = torch.stack([case["label"][0] == number for number in (1, 2, 3)]).float()
    found = regions(1.0, {**case, "label": channels}, 100)
    assert 30 < sum(bool(region["label"][1].any()) for region in found) < 70


def test_an_image_without_any_label_is_cut_anywhere(case):
    empty = {**case, "label": torch.zeros_like(case["label"])}
    assert len({tuple(region["image"].flatten()[:1].tolist()) for region in regions(1.0, empty, 20)}) > 10


def test_every_patch_of_the_recipe_shows_the_class_that_it_was_drawn_for(case):
    case["label"][case["label"] == 2] = 0
    random_part = augmentation(recipe(1.0, margin_voxels=(2, 2, 2)))
    random_part.set_random_state(seed=5)
    patches = [random_part(case) for _ in range(30)]
    assert all(patch["image"].shape == patch["label"].shape == (1, *PATCH) for patch in patches)
    assert all(patch["label"].any() for patch in patches)
