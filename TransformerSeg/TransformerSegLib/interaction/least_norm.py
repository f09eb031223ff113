"""The smallest change that meets all demands."""

from __future__ import annotations

import numpy as np

RELATIVE_TOLERANCE = 1e-9

STEPS_A_DEMAND = 10
"""More than are ever taken; where the matrix is nearly singular, rounding could go round in circles."""


def least_norm(gram: np.ndarray, demands: np.ndarray) -> np.ndarray:
    """Minimise ½ αᵀGα − bᵀα over α ≥ 0, exactly.

    This is the dual of “of all corrections, the one of least norm that meets every demand”, so that Gα ≥ b. Solved by
    an active set, as non-negative least squares is (Lawson, Hanson, Solving Least Squares Problems, 1974, chapter 23,
    algorithm NNLS; on the normal equations: Bro, De Jong, Journal of Chemometrics 11, 1997): the demand that is missed
    most is taken in, and those that others then meet for it are let go. It ends after finitely many steps, and always
    in the same way.

    Args:
        gram: G, (n, n), symmetric and positive definite.
        demands: b, (n,): by how much each is missed before the correction; negative where it is met.

    Returns:
        α, (n,), float64.
    """
    weights, active = np.zeros(len(demands)), np.zeros(len(demands), bool)
    tolerance = RELATIVE_TOLERANCE * max(1.0, np.abs(demands).max(initial=0.0))
    for _ in range(STEPS_A_DEMAND * len(demands)):
        missed = np.where(active, -np.inf, demands - gram @ weights)
        worst = int(np.argmax(missed))
        if missed[worst] <= tolerance:
            break
        active[worst] = True
        _settle(gram, demands, weights, active)
    return weights


def _settle(gram: np.ndarray, demands: np.ndarray, weights: np.ndarray, active: np.ndarray) -> None:
    """Meet the active demands to the point, letting go of those whose weight would become negative. In place."""
    while True:
        taken = np.flatnonzero(active)
        wanted = np.linalg.solve(gram[np.ix_(taken, taken)], demands[taken])
        negative = wanted <= 0.0
        if not negative.any():
            weights[:] = 0.0
            weights[taken] = wanted
            return
        now = weights[taken]
        steps = np.full(len(taken), np.inf)
        steps[negative] = now[negative] / (now[negative] - wanted[negative])
        first = int(np.argmin(steps))
        weights[taken] = now + steps[first] * (wanted - now)
        weights[taken[first]] = 0.0
        active[taken[first]] = False
        active &= ~((weights <= 0.0) & active)
