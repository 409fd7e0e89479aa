"""The direction of the best worst improvement in a ball around a given one."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.balance.gramian import dot, root
from mtljax.balance.solvers import quadratic_program


def pull_to_worst(
    lengths: jax.Array, cosines: jax.Array, mean: jax.Array, present: jax.Array, c: float
) -> tuple[jax.Array, jax.Array]:
    """`d - g_0` in coefficients on the unit rows, (T,), and whether the search for it ended."""
    usable = present & (lengths > 0)
    inverse = quadratic_program.unit_ratio(lengths, usable)
    slope = dot(cosines, mean)
    size = root(dot(mean, slope))
    at = jnp.where(usable, slope / jnp.where(usable, inverse, 1.0), jnp.inf)
    # g_t . d <= |g_t| |d| bounds the level; a task whose gradient is zero bounds it by 0.
    bound = jnp.where(jnp.any(present & (lengths == 0)), 0.0, (1 + c) * size)
    ball = _Ball(cosines, inverse, slope, c * size, jnp.minimum(jnp.min(at), bound), bound)
    pull, solved = _deepest(ball, jnp.asarray(c == 0) | ~jnp.any(usable))
    reached = root(dot(pull, dot(cosines, pull)))
    outside = reached > ball.radius
    return jnp.where(outside, pull * ball.radius / jnp.where(outside, reached, 1.0), pull), solved


class _Ball(NamedTuple):
    cosines: jax.Array
    inverse: jax.Array  # a, (T,): the smallest norm over each
    slope: jax.Array  # C m, (T,)
    radius: jax.Array
    start: jax.Array  # a level at which d is inside the ball
    bound: jax.Array  # one that no d reaches, or the last that may be

    def problem(self, level: jax.Array) -> quadratic_program.Problem:
        """The program at a level t, `argmin over y >= 0 of 1/2 y^T C y - y^T (t a - C m)`."""
        return quadratic_program.Problem(self.cosines, level * self.inverse - self.slope)


class _Search(NamedTuple):
    level: jax.Array  # t in units of the smallest row
    low: jax.Array  # a level at which d is inside the ball
    high: jax.Array  # one at which it is outside
    pull: jax.Array  # (T,): d - g_0 in coefficients on the unit rows, at the last level inside the ball
    free: jax.Array  # (T,) bool
    done: jax.Array
    solved: jax.Array  # whether that level's problem was


@jax.custom_jvp
def _deepest(ball: _Ball, skipped: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The y of the highest level at which d is inside the ball, and whether it was found.

    `d(t) = g_0 + U^T y(t)` is piecewise linear in t, a piece for each set of free variables. Each step takes the level
    at which the present piece leaves the ball.
    """
    cosines, inverse, slope, radius, start, bound = ball
    number, tolerance = len(slope), 4 * jnp.finfo(slope.dtype).eps

    def step(search: _Search) -> _Search:
        matrix, linear = ball.problem(search.level)
        pull, solved, free = quadratic_program.nonnegative_qp(matrix, linear, search.free)
        along = dot(cosines, pull)
        squared = dot(pull, along)
        # Beyond the levels that any direction has, y grows until rounding hides its length.
        reachable = dot(jnp.abs(pull), jnp.abs(pull)) * tolerance <= radius**2
        reachable &= jnp.min(along - linear) >= -250 * tolerance * number * jnp.max(jnp.abs(linear))
        inside = (squared <= radius**2) & reachable
        low = jnp.where(inside, search.level, search.low)
        high = jnp.where(inside, search.high, search.level)
        following = _leaving(cosines, inverse, slope, free, radius)
        following = jnp.where((following > low) & (following < high), following, 0.5 * (low + high))
        near = (jnp.abs(squared - radius**2) <= tolerance * 8 * radius**2) & reachable
        flat = high - low <= tolerance * jnp.maximum(jnp.abs(low), jnp.abs(high))
        kept = jnp.where(inside | near, pull, search.pull)
        ended = jnp.where(inside | near, solved, search.solved)
        return _Search(following, low, high, kept, free, near | flat, ended)

    nothing = jnp.zeros(number, bool)
    first = _Search(bound, start, bound, jnp.zeros_like(slope), nothing, skipped, jnp.array(True))
    found = quadratic_program.bounded_while(lambda s: ~s.done, step, first, max_steps=60)
    return found.pull, found.done & found.solved


@_deepest.defjvp
def _deepest_jvp(primals: tuple[_Ball, jax.Array], tangents: tuple[_Ball, Any]) -> tuple[Any, Any]:
    """By the piece on which it ended: no gradient could go back through the search."""
    ball, found = primals[0], _deepest(*primals)
    pull, free = found[0], found[0] > 0
    at_edge = dot(pull, dot(ball.cosines, pull)) > 0.999 * ball.radius**2

    def piece(ball: _Ball) -> jax.Array:
        leaving = _leaving(ball.cosines, ball.inverse, ball.slope, free, ball.radius, unroll=False)
        return ball.problem(jnp.where(at_edge, leaving, ball.bound)).solve(free, unroll=False)

    return found, (jax.jvp(piece, primals[:1], tangents[:1])[1], np.zeros((), jax.dtypes.float0))


def _leaving(
    cosines: jax.Array, inverse: jax.Array, slope: jax.Array, free: jax.Array, radius: jax.Array, unroll: bool = True
) -> jax.Array:
    """The level at which the piece of these free variables leaves the ball: the larger root of a quadratic."""
    number, dtype = inverse.shape[0], inverse.dtype
    eye = jnp.eye(number, dtype=dtype)
    part = jnp.where(free[:, None] & free, cosines, 0.0) + eye * jnp.where(free, number * jnp.finfo(dtype).eps, 1.0)
    both = jnp.where(free[:, None], jnp.stack([inverse, slope], axis=1), 0.0)
    up, back = dot(quadratic_program.inverse_of(part, unroll), both).T
    a, b = dot(up, both[:, 0]), dot(up, both[:, 1])
    rest = dot(back, both[:, 1]) - radius**2
    return (b + root(b**2 - a * rest)) / jnp.where(a > 0, a, 1.0)
