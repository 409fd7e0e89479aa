"""`G w = w^(-1/alpha)`, `w > 0`: the equation of Nash bargaining (alpha = 1) and of alpha-fairness."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.balance.gramian import Gramian, dot
from mtljax.balance.solvers import linear_algebra, quadratic_program

_ENOUGH = 10  # steps after which no problem that has a solution was seen so far from it


class _Point(NamedTuple):
    logarithms: jax.Array  # log y, (T,)
    done: jax.Array
    steps: jax.Array | np.int32 = np.int32(0)


class _Equation(NamedTuple):
    """`C y = b y^(-1/alpha)`, in the logarithms of y; rows that are not usable play no part."""

    matrix: jax.Array  # C, (T, T)
    log_b: jax.Array  # (T,)
    alpha: jax.Array
    usable: jax.Array  # (T,) bool

    def sides(self, logarithms: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Both sides, (T,) each."""
        return dot(self.matrix, jnp.exp(logarithms)), jnp.exp(self.log_b - logarithms / self.alpha)

    def error(self, logarithms: jax.Array) -> jax.Array:
        """The largest difference of the two sides over what rounding explains."""
        left, right = self.sides(logarithms)
        eps = jnp.finfo(left.dtype).eps
        noise = linear_algebra.rounding(self.matrix, jnp.exp(logarithms))
        # Where rounding is as large as what is to be found, nothing is.
        errors = jnp.where(noise < right, jnp.abs(left - right) / (300 * eps * right + noise), jnp.inf)
        return jnp.max(jnp.where(self.usable, errors, 0.0))

    def known(self, logarithms: jax.Array) -> jax.Array:
        """Whether errors of the cosines, which no residual shows, move no equation by more than 5 %."""
        noise = linear_algebra.rounding(self.matrix, jnp.exp(logarithms))
        return jnp.all((noise <= linear_algebra.NEAR * self.sides(logarithms)[1]) | ~self.usable)

    def newton(self, logarithms: jax.Array, difference: jax.Array, unroll: bool = True) -> jax.Array:
        """The relative change of y that changes left side minus right side by `difference`, to first order; (T,)."""
        y, right = jnp.exp(logarithms), self.sides(logarithms)[1]
        # Scaled by the square root of y over the right side, the Hessian is at least 1 / alpha.
        root = jnp.where(self.usable, jnp.sqrt(y / right), 0.0)
        hessian = root[:, None] * self.matrix * root + jnp.eye(len(y), dtype=y.dtype) / self.alpha
        move = root * dot(quadratic_program.inverse_of(hessian, unroll), root * difference)
        return jnp.where(self.usable, move / y, 0.0)


def solve(gramian: Gramian, alpha: float) -> tuple[jax.Array, jax.Array]:
    """The positive solution w of `G w = w^(-1/alpha)`, (T,), 0 for zero rows; and whether it is that, to 5 %.

    With `y_t = w_t |g_t|` it reads `C y = b y^(-1/alpha)`, `b_t = |g_t|^(1/alpha - 1)`: where the convex
    `1/2 y^T C y - sum_t b_t y_t^(1 - 1/alpha) / (1 - 1/alpha)` is smallest. Newton steps, shortened so that it falls
    with each, find it: until no equation is off by more than its rounding errors, or 100 times. Where there is no
    solution (zero in the hull of the gradients), or none that rounding does not hide, a ridge of some rounding errors
    of the dtype on C keeps y finite.
    """
    norms, cosines = gramian
    number, dtype = norms.shape[0], norms.dtype
    usable = norms > 0
    eye = jnp.eye(number, dtype=dtype)
    logs = jnp.where(usable, jnp.log(jnp.where(usable, norms, 1.0)), 0.0)
    # The equation is homogeneous: norms relative to their geometric mean keep b in range.
    middle = jnp.sum(logs) / jnp.maximum(jnp.sum(usable), 1)
    log_b = jnp.where(usable, (1 / alpha - 1) * (logs - middle), 0.0)
    plain = _Equation(cosines + eye * jnp.where(usable, 0.0, 1.0), log_b, jnp.asarray(alpha, dtype), usable)
    ridge = eye * jnp.where(usable, 4 * number * jnp.finfo(dtype).eps, 0.0)
    exact, found = _root(plain, ~jnp.any(usable))
    ridged, _ = _root(plain._replace(matrix=plain.matrix + ridge), found)
    logarithms = jnp.where(found, exact, ridged)
    scale = (1 - alpha) / (1 + alpha) * middle
    return jnp.where(usable, jnp.exp(logarithms - logs + scale), 0.0), found & plain.known(logarithms)


@jax.custom_jvp
def _root(equation: _Equation, skipped: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The logarithms that solve it, (T,), and whether they do; the start where it is `skipped`."""
    alpha = equation.alpha
    start = jnp.where(equation.usable, equation.log_b * alpha / (alpha + 1), 0.0)

    def going(point: _Point) -> jax.Array:
        error = equation.error(point.logarithms)
        # Where y has grown until rounding hides the right side, it grows on for ever: there is no solution.
        return ~point.done & (error > 0.01) & ((point.steps < _ENOUGH) | jnp.isfinite(error))

    last = quadratic_program.bounded_while(
        going, lambda p: _step(equation, p), _Point(start, skipped), max_steps=100
    ).logarithms
    return last, equation.error(last) <= 1


@_root.defjvp
def _root_jvp(primals: tuple[_Equation, jax.Array], tangents: tuple[_Equation, Any]) -> tuple[Any, Any]:
    """The change of y that takes back what the equation's change does to its sides: no gradient goes through loops."""
    equation, found = primals[0], _root(*primals)
    y, right, change = jnp.exp(found[0]), equation.sides(found[0])[1], tangents[0]
    above = dot(change.matrix, y) - right * (change.log_b + found[0] * change.alpha / equation.alpha**2)
    return found, (equation.newton(found[0], -above, unroll=False), np.zeros((), jax.dtypes.float0))


def _step(equation: _Equation, point: _Point) -> _Point:
    left, right = equation.sides(point.logarithms)
    relative = equation.newton(point.logarithms, right - left)
    largest, alpha = jnp.max(jnp.abs(relative)), equation.alpha
    # The curvature along the step grows at most as (1 - t largest)^-(1 + 1/alpha): this t is where that bound is
    # least, as far as it keeps y positive.
    length = 1 / (1 + jnp.maximum(1.0, (1 + 1 / alpha) / 2) * largest)
    logarithms = point.logarithms + jnp.log1p(relative * length)
    lost = ~jnp.all(jnp.isfinite(logarithms) & jnp.isfinite(equation.sides(logarithms)[1]))
    eps = jnp.finfo(largest.dtype).eps
    return _Point(jnp.where(lost, point.logarithms, logarithms), lost | (largest < 4 * eps), point.steps + 1)
