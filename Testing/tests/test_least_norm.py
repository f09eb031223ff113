"""The quadratic programme behind a correction is solved exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from TransformerSegLib.interaction.least_norm import least_norm


def random_problem(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    factors = random.normal(size=(size + 2, size))
    return factors.T @ factors + 0.05 * np.eye(size), random.normal(size=size)


@pytest.mark.parametrize("seed", range(20))
def test_every_demand_is_met_and_only_those_that_bind_have_weight(seed):
    gram, demands = random_problem(seed, 12)
    weights = least_norm(gram, demands)
    excess = gram @ weights - demands
    assert (weights >= 0).all()
    assert (excess > -1e-8).all()
    assert np.abs(weights * excess).max() < 1e-8


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_solution_that_scipy_finds(seed):
    gram, demands = random_problem(seed, 12)
    factor = np.linalg.cholesky(gram).T
    expected, _ = nnls(factor, np.linalg.solve(factor.T, demands))
    np.testing.assert_allclose(least_norm(gram, demands), expected, atol=1e-8)


def test_what_is_met_already_asks_for_nothing():
    gram, _ = random_problem(0, 5)
    assert not least_norm(gram, -np.ones(5)).any()


def test_no_demand_at_all_is_met():
    assert least_norm(np.zeros((0, 0)), np.zeros(0)).shape == (0,)
