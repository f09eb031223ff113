"""What becomes of a patch on its way to the network."""

from __future__ import annotations

import pytest
import torch

from TransformerSegLib.training.augmentation import augmentation
from TransformerSegLib.training.recipe import Recipe

SIDE = 12


@pytest.fixture
def cube() -> dict[str, torch.Tensor]:
    """A labelled cube in the middle of an image."""
    label = torch.zeros(1, 36, 36, 36)
    label[:, 12 : 12 + SIDE, 12 : 12 + SIDE, 12 : 12 + SIDE] = 1
    return {"image": torch.rand(label.shape, generator=torch.Generator().manual_seed(0)), "label": label}


def is_cube(label: torch.Tensor) -> bool:
    """Whether what is labelled is the cube still, wherever it lies."""
    voxels = label[0].nonzero()
    return len(voxels) == SIDE**3 and bool((voxels.amax(0) - voxels.amin(0) == SIDE - 1).all())


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_so_many_patches_are_deformed_as_the_recipe_says(share: float, cube: dict[str, torch.Tensor]):
    recipe = Recipe(
        architecture="SwinUNETR",
        network={"in_channels": 1, "out_channels": 2},
        spacing_mm=(1.0, 1.0, 1.0),
        patch=(32, 32, 32),
        epochs=1,
        margin_voxels=(4, 4, 4),
        deformed_share=share,
    )
    random_part = augmentation(recipe)
    random_part.set_random_state(seed=2)
    labels = [random_part(cube)["label"] for _ in range(60)]
    deformed = sum(not is_cube(label) for label in labels) / len(labels)
    assert abs(deformed - share) <= (0.2 if 0 < share < 1 else 0)
    assert len({tuple(label[0].nonzero().amin(0).tolist()) for label in labels}) > 10
