"""The learned step of a correction in a scene: on the volume that was segmented, or else not at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from TransformerSegLib.interaction.neighbourhood import REACH_MM
from TransformerSegLib.interaction.refiner_module import Refiner
from TransformerSegLib.interaction.trained_refiner import SHIPPED, TrainedRefiner, read_refiner
from TransformerSegLib.scene.clicks import Clicks
from TransformerSegLib.scene.volumes import add_volume_node, voxels

from clicked_scene import CLASSES, SHAPE, ball_result, place, random_voxel
from example_segmentation import AFFINES, example_volume
from scene_runs import masks, put

AFFINE = AFFINES["RAS, 1 mm"]


def wild_refiner() -> TrainedRefiner:
    """One that would change labels at random, whatever the voxels' size."""
    torch.manual_seed(0)
    network = Refiner()
    torch.nn.init.normal_(network.answer.weight, std=3.0)
    card = read_refiner(SHIPPED).card.model_copy(update={"spacing_mm": (0.1, 10.0)})
    return TrainedRefiner(network.eval(), card)


def segmented(scene, affine=AFFINE, overlapping=False):
    volume_node = add_volume_node(scene, example_volume(affine, shape=SHAPE))
    return put(scene, ball_result(affine, overlapping), volume_node).node, volume_node


def clicked(node, refiner) -> dict[str, np.ndarray]:
    """What one click makes of it; it is undone."""
    clicks = Clicks(node, refiner)
    clicks.click("Segment_1", place(AFFINE, (15, 18, 22)), True)
    after = masks(node, AFFINE, SHAPE)
    clicks.undo()
    return after


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in CLASSES)


def no_refiner() -> None:
    """The kernel's correction is the last."""


@pytest.mark.parametrize("overlapping", [False, True], ids=["exclusive", "overlapping"])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_whatever_the_network_says_each_click_is_obeyed_and_far_voxels_stay(scene, affine, overlapping):
    node, _ = segmented(scene, affine, overlapping)
    clicks, random, obeyed = Clicks(node, wild_refiner), np.random.default_rng(3), {}
    start = masks(node, affine, SHAPE)
    for _ in range(6):
        voxel, segment_id = random_voxel(random), str(random.choice(list(CLASSES)))
        belongs = bool(random.random() < 0.6)
        before = masks(node, affine, SHAPE)
        clicks.click(segment_id, place(affine, voxel), belongs)
        after = masks(node, affine, SHAPE)
        obeyed[segment_id, voxel] = belongs
        assert all(after[name][at] == expected for (name, at), expected in obeyed.items())
        for name in CLASSES:
            for other in np.argwhere(before[name] != after[name]):
                assert np.linalg.norm(place(affine, other) - place(affine, voxel)) <= REACH_MM + 1e-6
    while clicks.undo():
        pass
    assert same(masks(node, affine, SHAPE), start)


def test_the_network_sees_the_volume_as_it_is_now(scene):
    node, volume_node = segmented(scene)
    first = clicked(node, wild_refiner)
    assert not same(first, clicked(node, no_refiner))
    assert same(first, clicked(node, wild_refiner))
    image = voxels(volume_node.GetImageData())
    image[:] = np.random.default_rng(0).permutation(image.ravel()).reshape(image.shape)
    assert not same(first, clicked(node, wild_refiner))


@pytest.mark.parametrize("change", ["deleted", "no voxels", "another grid", "moved"])
def test_without_the_volume_that_was_segmented_the_kernel_answers_alone(scene, change):
    node, volume_node = segmented(scene)
    match change:
        case "deleted":
            scene.RemoveNode(volume_node)
        case "no voxels":
            volume_node.SetAndObserveImageData(None)
        case "another grid":
            other = add_volume_node(scene, example_volume(AFFINE, shape=tuple(size + 1 for size in SHAPE)))
            node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), other.GetID())
        case "moved":
            volume_node.SetOrigin(3.0, 0.0, 0.0)
    assert same(clicked(node, wild_refiner), clicked(node, no_refiner))


def test_voxels_that_it_was_not_proven_with_are_left_to_the_kernel(scene):
    node, _ = segmented(scene)
    refiner = wild_refiner()
    coarse = TrainedRefiner(refiner.network, refiner.card.model_copy(update={"spacing_mm": (1.1, 1.5)}))
    assert same(clicked(node, lambda: coarse), clicked(node, no_refiner))
