"""What a training makes smaller, against the formulas of its papers in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from TransformerSegLib.training.deep_supervision import head_weights
from TransformerSegLib.training.losses import loss
from TransformerSegLib.training.recipe import Recipe

SMOOTHING = 1e-3
TRANSUNET = {"img_size": 32, "multi_scale": True}


def recipe(network: dict | None = None, architecture: str = "UNETR", **fields) -> Recipe:
    network = {"in_channels": 1, "out_channels": 3, **(network or {"img_size": [16, 16, 16]})}
    fields = {"patch": (16, 16, 16), "spacing_mm": None, "epochs": 1} | fields
    return Recipe(architecture=architecture, network=network, **fields)


def dice_loss(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """Of (B, C, …): 1 - (2 Σpg + s) / (Σp + Σg + s), the mean over cases and channels."""
    axes = tuple(range(2, masks.ndim))
    overlap, sizes = (probabilities * masks).sum(axes), probabilities.sum(axes) + masks.sum(axes)
    return float(np.mean(1 - (2 * overlap + SMOOTHING) / (sizes + SMOOTHING)))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def exclusive_loss(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Dice of the classes without the background, and cross-entropy."""
    probabilities, masks = softmax(logits), np.stack([labels[:, 0] == each for each in range(3)], axis=1)
    cross_entropy = -np.log((probabilities * masks).sum(1)).mean()
    return dice_loss(probabilities[:, 1:], masks[:, 1:]), float(cross_entropy)


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, (2, 3, 8, 6, 4))


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 3, (2, 1, 8, 6, 4)).astype(np.float64)


def test_of_classes_that_exclude_each_other(logits, labels):
    dice, cross_entropy = exclusive_loss(logits, labels)
    found = loss(recipe())(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(found) == pytest.approx(dice + cross_entropy, rel=1e-6)
    alone = loss(recipe(loss="dice"))(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(alone) == pytest.approx(dice, rel=1e-6)


def test_of_classes_that_overlap(logits):
    masks = (np.random.default_rng(2).random(logits.shape) < 0.4).astype(np.float64)
    probabilities = 1 / (1 + np.exp(-logits))
    cross_entropy = -(masks * np.log(probabilities) + (1 - masks) * np.log(1 - probabilities)).mean()
    found = loss(recipe(labels="brats"))(torch.from_numpy(logits), torch.from_numpy(masks))
    assert float(found) == pytest.approx(dice_loss(probabilities, masks) + cross_entropy, rel=1e-6)
    alone = loss(recipe(labels="brats", loss="dice"))(torch.from_numpy(logits), torch.from_numpy(masks))
    assert float(alone) == pytest.approx(dice_loss(probabilities, masks), rel=1e-6)


def test_inner_heads_count_half_of_the_finer_one():
    assert head_weights(1) == [1]
    assert head_weights(4) == pytest.approx([8 / 15, 4 / 15, 2 / 15, 1 / 15])


def test_of_several_heads():
    random = np.random.default_rng(3)
    heads = [random.normal(size=(2, 3, side, side)).astype(np.float32) for side in (32, 16, 8, 4)]
    labels = np.repeat(np.repeat(random.integers(0, 3, (2, 1, 4, 4)), 8, axis=2), 8, axis=3).astype(np.float32)
    expected = 0.0
    for weight, head in zip((8, 4, 2, 1), heads, strict=True):
        step = 32 // head.shape[-1]
        expected += weight / 15 * sum(exclusive_loss(head, labels[:, :, ::step, ::step]))
    network = recipe(TRANSUNET, "TransUNet", patch=(2, 32, 32), axcodes="SLA", deep_supervision=True)
    found = loss(network)([torch.from_numpy(head) for head in heads], torch.from_numpy(labels))
    assert float(found) == pytest.approx(expected, rel=1e-5)
