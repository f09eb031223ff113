"""Images of a training that look like crops with a margin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from TransformerSegLib.training.intensity import MeanAndDeviation, Range
from TransformerSegLib.training.random_padding_module import SHARE, RandomPadding
from TransformerSegLib.training.recipe import Recipe

MOST = (3, 0, 5)


def recipe(**changed) -> Recipe:
    return Recipe(
        architecture="SwinUNETR",
        network={"in_channels": 1, "out_channels": 3},
        spacing_mm=(1.0, 1.0, 1.0),
        patch=(32, 32, 32),
        epochs=1,
        padding_voxels=MOST,
        **changed,
    )


@pytest.fixture
def raw() -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(0).gamma(2.0, 50.0, (1, 9, 11, 7)).astype(np.float32)) + 3


@pytest.fixture
def label() -> torch.Tensor:
    return torch.ones(1, 9, 11, 7)


def padded_pairs(settings: Recipe, raw: torch.Tensor, label: torch.Tensor, count: int = 60):
    """What comes out, and where the image lies in it."""
    scale = settings.scaling.transform()
    transform = RandomPadding(settings)
    transform.set_random_state(seed=1)
    for _ in range(count):
        found = transform({"image": scale({"image": raw})["image"], "label": label})
        inside = found["label"][0].nonzero()
        yield found, tuple(zip(inside.amin(0).tolist(), (inside.amax(0) + 1).tolist(), strict=True))


def padded(raw: torch.Tensor, found: torch.Tensor, box, kind: str) -> torch.Tensor:
    before_after = [(begin, size - end) for size, (begin, end) in zip(found.shape[1:], box, strict=True)]
    how = {"mode": "edge"} if kind == "border" else {"constant_values": float(raw.min())}
    return torch.from_numpy(np.pad(raw[0].numpy(), before_after, **how))[None]


def test_a_padded_image_is_what_would_have_come_of_padding_its_file(raw, label):
    settings = recipe()
    scale = settings.scaling.transform()
    kinds = {"air": 0, "border": 0}
    for found, box in padded_pairs(settings, raw, label):
        if found["image"].shape == raw.shape:
            continue
        fits = [
            kind
            for kind in kinds
            if torch.allclose(
                found["image"], scale({"image": padded(raw, found["image"], box, kind)})["image"], atol=1e-5
            )
        ]
        assert len(fits) == 1
        kinds[fits[0]] += 1
    assert min(kinds.values()) >= 3


def test_a_share_of_the_images_is_padded_on_each_side_by_itself_and_no_more_than_asked_for(raw, label):
    boxes = [(found["label"].shape[1:], box) for found, box in padded_pairs(recipe(), raw, label, 400)]
    sides = np.array(
        [[(begin, size - end) for size, (begin, end) in zip(shape, box, strict=True)] for shape, box in boxes]
    )
    assert sides.reshape(len(boxes), -1).max(0).tolist() == [3, 3, 0, 0, 5, 5]
    assert abs((sides > 0).any((1, 2)).mean() - SHARE) < 0.08
    assert any(before != after for before, after in sides[:, 0])


@pytest.mark.parametrize(
    "scaling", [Range(a_min=0, a_max=400), MeanAndDeviation(nonzero=True)], ids=["of a CT", "of the non-zero voxels"]
)
def test_intensities_that_padding_does_not_change_stay_as_they_are(scaling, raw, label):
    settings = recipe(intensity=scaling)
    expected = scaling.transform()({"image": raw})["image"]
    for found, ((i, end_i), (j, end_j), (k, end_k)) in padded_pairs(settings, raw, label):
        assert torch.equal(found["image"][:, i:end_i, j:end_j, k:end_k], expected)


def test_the_same_seed_pads_alike(raw, label):
    first, second = ([found["image"] for found, _ in padded_pairs(recipe(), raw, label, 20)] for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
