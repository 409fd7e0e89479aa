"""`G w = w^(-1/alpha)`, `w > 0`: the equation of Nash bargaining (alpha = 1) and of alpha-fairness."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import _qp
from mtljax.balance._gramian import Gramian


class _Point(NamedTuple):
    logarithms: jax.Array  # log y, (T,)
    done: jax.Array


def solve(gramian: Gramian, alpha: float) -> tuple[jax.Array, jax.Array]:
    """The positive solution w of `G w = w^(-1/alpha)`, (T,), 0 for zero rows; and whether it is that.

    With `y_t = w_t |g_t|` it reads `C y = b y^(-1/alpha)`, `b_t = |g_t|^(1/alpha - 1)`: where the convex
    `1/2 y^T C y - sum_t b_t y_t^(1 - 1/alpha) / (1 - 1/alpha)` is smallest. Newton steps, shortened so that it falls
    with each, find it: until no equation is off by more than its rounding errors, or 100 times. Where there is no
    solution (zero in the hull of the gradients), or none that rounding does not hide, a ridge of some rounding errors
    of the dtype on C keeps y finite.
    """
    norms, cosines = gramian
    number, dtype = norms.shape[0], norms.dtype
    eps = jnp.finfo(dtype).eps
    usable = norms > 0
    eye = jnp.eye(number, dtype=dtype)
    logs = jnp.where(usable, jnp.log(jnp.where(usable, norms, 1.0)), 0.0)
    # The equation is homogeneous: norms relative to their geometric mean keep b in range.
    middle = jnp.sum(logs) / jnp.maximum(jnp.sum(usable), 1)
    log_b = jnp.where(usable, (1 / alpha - 1) * (logs - middle), 0.0)

    def sides(matrix: jax.Array, logarithms: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Both sides of the equations, and their largest error over what rounding explains."""
        y = jnp.exp(logarithms)
        left, right = _qp.dot(matrix, y), jnp.exp(log_b - logarithms / alpha)
        noise = 16 * eps * _qp.dot(jnp.abs(matrix), y)
        # Where rounding is as large as what is to be found, nothing is.
        errors = jnp.where(noise < right, jnp.abs(left - right) / (300 * eps * right + noise), jnp.inf)
        return left, right, jnp.max(jnp.where(usable, errors, 0.0))

    def step(matrix: jax.Array, point: _Point) -> _Point:
        y = jnp.exp(point.logarithms)
        left, right, _ = sides(matrix, point.logarithms)
        # Scaled by the square root of y over the right side, the Hessian is at least 1 / alpha.
        root = jnp.where(usable, jnp.sqrt(y / right), 0.0)
        inverse = _qp.inverse_of(root[:, None] * matrix * root + eye / alpha)
        move = root * _qp.dot(inverse, root * (right - left))
        relative = jnp.where(usable, move / y, 0.0)
        largest = jnp.max(jnp.abs(relative))
        # The curvature along the step grows at most as (1 - t largest)^-(1 + 1/alpha): this t is where that bound is
        # least, as far as it keeps y positive.
        length = 1 / (1 + jnp.maximum(1.0, (1 + 1 / alpha) / 2) * largest)
        logarithms = point.logarithms + jnp.log1p(relative * length)
        lost = ~jnp.all(jnp.isfinite(logarithms) & jnp.isfinite(jnp.exp(log_b - logarithms / alpha)))
        return _Point(jnp.where(lost, point.logarithms, logarithms), lost | (largest < 4 * eps))

    def found(matrix: jax.Array, skipped: jax.Array) -> tuple[jax.Array, jax.Array]:
        start = _Point(jnp.where(usable, log_b * alpha / (alpha + 1), 0.0), skipped)
        going = lambda p: ~p.done & (sides(matrix, p.logarithms)[2] > 0.01)  # noqa: E731
        last = _qp.bounded_while(going, lambda p: step(matrix, p), start, max_steps=100).logarithms
        return last, sides(matrix, last)[2] <= 1

    plain = cosines + eye * jnp.where(usable, 0.0, 1.0)
    exact, solved = found(plain, ~jnp.any(usable))
    ridged, _ = found(plain + eye * jnp.where(usable, 4 * number * eps, 0.0), solved)
    logarithms = jnp.where(solved, exact, ridged)
    scale = (1 - alpha) / (1 + alpha) * middle
    return jnp.where(usable, jnp.exp(logarithms - logs + scale), 0.0), solved
