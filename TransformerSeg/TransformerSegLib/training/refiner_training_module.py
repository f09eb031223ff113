"""Training of the learned refinement on simulated clicks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy, interpolate, one_hot

from TransformerSegLib.interaction.class_field import ClassField
from TransformerSegLib.interaction.correction import Situation
from TransformerSegLib.interaction.corrector import Corrector
from TransformerSegLib.interaction.kept_scores import WIDEST_BOUND
from TransformerSegLib.interaction.local_scores import LocalScores
from TransformerSegLib.interaction.neighbourhood import Box, Spacing
from TransformerSegLib.interaction.refiner_module import Refiner
from TransformerSegLib.interaction.refining import contrast_around, inner_box, maps
from TransformerSegLib.training.simulated_user import Finding, IdealUser, SloppyUser, click_for

LEARNING_RATE = 2e-3
WARM_UP_STEPS = 50
GRADIENT_NORM = 1.0
AVERAGE_MOMENTUM = 0.01
SMOOTHING = 5.0
"""Voxels that the Dice loss adds to numerator and denominator, for classes that are hardly there."""

MOST_CLICKS = 10
SHARE_OF_IDEAL_CLICKS = 0.6
SHARE_OF_WORSE_ANSWERS = 0.4
CASES_A_STEP = 2

SURENESS = 0.3
"""Standard deviation of the logarithm of what logits are multiplied by: some networks are surer than others."""


@dataclass(frozen=True, eq=False)
class ClickCase:
    """One image with a model's answer and the truth.

    Attributes:
        image: (I, J, K).
        logits: (numbers, I, J, K), float32: 0 is “none”, others the classes of a field.
        truth: (I, J, K): the right numbers.
        spacing: of voxel centres along i, j and k, in mm.
    """

    image: np.ndarray
    logits: np.ndarray
    truth: np.ndarray
    spacing: Spacing


class WholeScores:
    """A corrector's source that knows all scores, as a run would have kept them."""

    def __init__(self, logits: np.ndarray) -> None:
        self._scores = np.maximum(logits - logits.max(axis=0), -WIDEST_BOUND)
        ordered = np.partition(logits, -2, axis=0)
        self._known = ordered[-1] - ordered[-2] < WIDEST_BOUND

    def local(self, field: int, box: Box) -> LocalScores:
        known = self._known[box]
        return LocalScores(tuple(range(len(self._scores))), self._scores[:, *box] * known, known, WIDEST_BOUND)


def train_refiner(
    cases: Sequence[ClickCase],
    steps: int,
    seed: int,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> Refiner:
    """Train on clicks that simulated users make on these cases, mirrored, and with worse answers than the model's.

    Args:
        steps: of the optimizer, each on a click in two cases.
        on_step: called with the number of steps done and the loss.

    Returns:
        the weights' running average.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = Refiner()
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(1.0 - AVERAGE_MOMENTUM)
    )
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_rate(step, steps))
    users = [_Practice(cases, network, random) for _ in range(CASES_A_STEP)]
    for step in range(steps):
        loss = torch.stack([user.loss() for user in users]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        on_step(step + 1, float(loss.detach()))
    return average.module


def _share_of_rate(step: int, steps: int) -> float:
    """Rising, then falling as a cosine does."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


class _Practice:
    """A user who clicks on one case after the other."""

    def __init__(self, cases: Sequence[ClickCase], network: Refiner, random: np.random.Generator) -> None:
        self._cases, self._network, self._random = cases, network, random
        self._ideal, self._sloppy = IdealUser(), SloppyUser(int(random.integers(2**31)))
        self._clicks_left = 0

    def loss(self) -> torch.Tensor:
        """Of the next click."""
        finding = self._finding()
        while finding is None:
            self._begin()
            finding = self._finding()
        self._clicks_left -= 1
        self._corrector.click(click_for(finding, self._field.now))
        return self._last_loss

    def _finding(self) -> Finding | None:
        if not self._clicks_left:
            return None
        user = self._ideal if self._random.random() < SHARE_OF_IDEAL_CLICKS else self._sloppy
        return user.finding(self._field.now, self._truth)

    def _begin(self) -> None:
        case = self._cases[int(self._random.integers(len(self._cases)))]
        axes = [axis for axis in range(3) if self._random.random() < 0.5]
        self._image, self._truth = np.flip(case.image, axes), np.flip(case.truth, axes)
        surer = np.float32(math.exp(self._random.normal(0, SURENESS)))
        logits = surer * np.flip(case.logits, [axis + 1 for axis in axes])
        if self._random.random() < SHARE_OF_WORSE_ANSWERS:
            logits = logits + _disturbance(logits.shape, self._random)
        classes = {number - 1: number for number in range(1, len(logits))}
        self._field = ClassField.of(logits.argmax(axis=0).astype(np.uint8), classes)
        self._corrector = Corrector([self._field], case.spacing, WholeScores(logits), self._refined)
        self._clicks_left = int(self._random.integers(2, MOST_CLICKS + 1))

    def _refined(self, situation: Situation) -> np.ndarray:
        """As ``Refine``; the loss is kept."""
        box = inner_box(situation.around)
        seen = maps(situation, contrast_around(situation.around, self._image), box)
        answer = self._network(torch.from_numpy(seen)) + torch.from_numpy(situation.corrected[:, *box])
        truth = self._truth[situation.around.box][box]
        rows = np.searchsorted(situation.numbers, truth)
        rows[situation.numbers[np.minimum(rows, len(situation.numbers) - 1)] != truth] = 0
        self._last_loss = _loss(answer, torch.from_numpy(rows.astype(np.int64)))
        scores = situation.corrected.copy()
        scores[:, *box] = answer.detach().numpy()
        return scores


def _disturbance(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """(numbers, I, J, K): classes favoured here and there, and on the whole."""
    coarse = torch.from_numpy(random.normal(size=(1, shape[0], 5, 6, 5)).astype(np.float32))
    smooth = interpolate(coarse, shape[1:], mode="trilinear", align_corners=True)[0].numpy()
    on_the_whole = random.normal(0.0, 0.7, (shape[0], 1, 1, 1)).astype(np.float32)
    return np.float32(random.uniform(0.3, 1.2)) * smooth + on_the_whole


def _loss(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, and one less the mean soft Dice of the classes.

    Args:
        scores: (rows, i, j, k).
        truth: (i, j, k), rows.
    """
    share = scores.softmax(dim=0)
    wanted = one_hot(truth, len(scores)).movedim(-1, 0).float()
    both = (share * wanted).sum(dim=(1, 2, 3))[1:]
    sizes = (share.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3)))[1:]
    dice = (2.0 * both + SMOOTHING) / (sizes + SMOOTHING)
    return cross_entropy(scores[None], truth[None]) + 1.0 - dice.mean()
