"""`G w = w^(-1/alpha)`, `w > 0`: the equation of Nash bargaining (alpha = 1) and of alpha-fairness."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import _qp
from mtljax.balance._gramian import Gramian


class _Point(NamedTuple):
    logarithms: jax.Array  # log y, (T,)
    residual: jax.Array  # the largest relative error of an equation
    done: jax.Array


def solve(gramian: Gramian, alpha: float) -> jax.Array:
    """The positive solution w of `G w = w^(-1/alpha)`, (T,); 0 for zero rows.

    With `y_t = w_t |g_t|` it reads `C y = b y^(-1/alpha)`, `b_t = |g_t|^(1/alpha - 1)`: where the convex
    `1/2 y^T C y - sum_t b_t y_t^(1 - 1/alpha) / (1 - 1/alpha)` is smallest. Newton steps, shortened so that it falls
    with each, find it. Where there is no solution (zero in the hull of the gradients), a ridge of some rounding errors
    of the dtype on C keeps y finite.

    It ends where the largest relative error of an equation is below 100 rounding errors or falls no further, or after
    100 steps.
    """
    norms, cosines = gramian
    number, dtype = norms.shape[0], norms.dtype
    eps = jnp.finfo(dtype).eps
    usable = norms > 0
    eye = jnp.eye(number, dtype=dtype)
    matrix = cosines + eye * jnp.where(usable, 4 * number * eps, 1.0)
    logs = jnp.where(usable, jnp.log(jnp.where(usable, norms, 1.0)), 0.0)
    # The equation is homogeneous: norms relative to their geometric mean keep b in range.
    middle = jnp.sum(logs) / jnp.maximum(jnp.sum(usable), 1)
    log_b = jnp.where(usable, (1 / alpha - 1) * (logs - middle), 0.0)

    def sides(logarithms: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        left, right = _qp.dot(matrix, jnp.exp(logarithms)), jnp.exp(log_b - logarithms / alpha)
        errors = jnp.abs(left - right) / (jnp.abs(left) + right)
        return left, right, jnp.max(jnp.where(usable, errors, 0.0))

    def step(point: _Point) -> _Point:
        y = jnp.exp(point.logarithms)
        left, right, before = sides(point.logarithms)
        # Scaled by the square root of y over the right side, the Hessian is at least 1 / alpha.
        root = jnp.where(usable, jnp.sqrt(y / right), 0.0)
        inverse = _qp.inverse_of(root[:, None] * matrix * root + eye / alpha)
        move = root * _qp.dot(inverse, root * (right - left))
        relative = jnp.where(usable, move / y, 0.0)
        largest = jnp.max(jnp.abs(relative))
        # The curvature along the step grows at most as (1 - t largest)^-(1 + 1/alpha): this t is where that bound is
        # least.
        logarithms = point.logarithms + jnp.log1p(relative / (1 + (1 + 1 / alpha) / 2 * largest))
        after = sides(logarithms)[2]
        lost = ~jnp.isfinite(after)  # beyond what the dtype can hold
        settled = (largest < 1e-3) & (after > 0.5 * before)
        return _Point(jnp.where(lost, point.logarithms, logarithms), after, lost | settled | (after <= 100 * eps))

    start = jnp.where(usable, log_b * alpha / (alpha + 1), 0.0)
    found = _qp.bounded_while(
        lambda p: ~p.done, step, _Point(start, jnp.asarray(jnp.inf, dtype), ~jnp.any(usable)), max_steps=100
    )
    scale = (1 - alpha) / (1 + alpha) * middle
    return jnp.where(usable, jnp.exp(found.logarithms - logs + scale), 0.0)
