"""Small quadratic programs over tasks, solved inside `jit`: no host callback, a bounded number of iterations.

All are cast as one problem, `argmin over y >= 0 of 1/2 y^T H y - q^T y`, H positive semidefinite, in coefficients on
rows of unit length, so that no answer depends on how badly the rows are scaled.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.balance.branches import branches_pay
from mtljax.balance.gramian import Gramian, dot

_TOGETHER = 4  # steps of a loop on an accelerator between two questions whether it is done


class Solution(NamedTuple):
    """What a solver found.

    Attributes:
        values: (T,).
        solved: () bool, whether it ended at a solution, to the precision of the dtype.
        free: (T,) bool, which of the values are not held at 0.
    """

    values: jax.Array
    solved: jax.Array
    free: jax.Array


class _Pivots(NamedTuple):
    free: jax.Array  # (T,) bool: variables that are not held at 0
    solution: jax.Array
    wrong: jax.Array  # (T,) bool: variables on the wrong side
    fewest: jax.Array  # the smallest number of wrong variables so far
    patience: jax.Array  # exchanges of all at once that are left before single ones


class _Active(NamedTuple):
    free: jax.Array  # (T,) bool: variables that are not held at 0
    solution: jax.Array  # never negative
    barred: jax.Array  # (T,) bool: variables that were let go in vain since the solution moved
    done: jax.Array


class Problem(NamedTuple):
    """`argmin over y >= 0 of 1/2 y^T H y - q^T y`: H (T, T), its diagonal of order 1 or 0, and q (T,)."""

    matrix: jax.Array
    linear: jax.Array

    def tolerance(self) -> jax.Array:
        """How far a variable or its slack may be below 0."""
        dtype = self.linear.dtype
        largest = jnp.maximum(jnp.max(jnp.abs(self.linear)), jnp.finfo(dtype).tiny)
        return 10 * self.linear.shape[0] * jnp.finfo(dtype).eps * largest

    def solve(self, free: jax.Array, unroll: bool = True) -> jax.Array:
        """The minimiser over the free variables alone, the others held at 0.

        Unrolled, it is for a loop's body: elsewhere XLA's CPU backend may fuse its steps for ever.
        """
        number, eps = self.linear.shape[0], jnp.finfo(self.linear.dtype).eps
        eye = jnp.eye(number, dtype=self.linear.dtype)
        part = jnp.where(free[:, None] & free, self.matrix, 0.0)
        ridge = eye * jnp.where(free, eps ** (2 / 3), 1.0)
        inverse = inverse_of(part + ridge, unroll)
        wanted = jnp.where(free, self.linear, 0.0)

        def refined(_: int, solution: jax.Array) -> jax.Array:
            return solution + dot(inverse, wanted - dot(part, solution))

        # Refinement takes the ridge out again, as far as H is not singular.
        return jax.lax.fori_loop(0, 12, refined, jnp.zeros_like(self.linear), unroll=unroll)

    def slack(self, solution: jax.Array) -> jax.Array:
        """`H y - q`, (T,)."""
        return dot(self.matrix, solution) - self.linear


def nonnegative_qp(matrix: jax.Array, linear: jax.Array, start: jax.Array | None = None) -> Solution:
    """The minimiser of `1/2 y^T H y - q^T y` over `y >= 0`.

    By block principal pivoting: each step solves for the free variables and exchanges all those on the wrong side;
    where that does not get better, one alone (Murty's rule). Where it has not ended after T + 20 steps, as may be with
    a singular H, the active-set method of Lawson and Hanson starts over: slower, but sure. Optimality holds to some 100
    rounding errors of the dtype.

    Args:
        matrix: H, (T, T), its diagonal of order 1 or 0.
        linear: q, (T,), in the range of H.
        start: (T,) bool, a guess at the variables that are not 0.

    Returns:
        y (T,), whether it is the minimiser, and which variables are free.

    References:
        Portugal, Judice and Vicente, A comparison of block pivoting and interior-point algorithms for linear least
        squares problems with nonnegative variables, Mathematics of Computation 63, 1994; Lawson and Hanson, Solving
        Least Squares Problems, 1974, chapter 23.
    """
    guess = jnp.zeros(linear.shape[0], bool) if start is None else start
    return _solve_qp(Problem(matrix, linear), guess)


@jax.custom_jvp
def _solve_qp(problem: Problem, start: jax.Array) -> Solution:
    number = start.shape[0]
    pivots = _pivot(problem, start)
    failed = jnp.any(pivots.wrong) | ~jnp.all(jnp.isfinite(pivots.solution))
    nothing = jnp.zeros(number, bool)
    first = _Active(nothing, jnp.zeros_like(problem.linear), nothing, ~failed)
    active = bounded_while(lambda a: ~a.done, lambda a: _exchange(problem, a), first, max_steps=4 * number)
    free = jnp.where(failed, active.free, pivots.free)
    solution = jnp.where(failed, active.solution, pivots.solution)
    solved = (~failed | active.done) & jnp.all(jnp.isfinite(solution))
    return Solution(jnp.where(free & (solution > 0), solution, 0.0), solved, free)


@_solve_qp.defjvp
def _solve_qp_jvp(primals: tuple[Problem, jax.Array], tangents: tuple[Problem, Any]) -> tuple[Solution, Solution]:
    """By the equations of the free variables, `H y = q`: no gradient could go back through the loops."""
    problem, found = primals[0], _solve_qp(*primals)
    change = tangents[0].linear - dot(tangents[0].matrix, found.values)
    values = problem._replace(linear=change).solve(found.free & (found.values > 0), unroll=False)
    none = [cast(jax.Array, np.zeros(shape, jax.dtypes.float0)) for shape in ((), found.free.shape)]
    return found, Solution(values, *none)


def _pivot(problem: Problem, start: jax.Array) -> _Pivots:
    """Block principal pivoting from a guess at the free variables."""
    number, tolerance = start.shape[0], problem.tolerance()

    def at(free: jax.Array, fewest: jax.Array, patience: jax.Array) -> _Pivots:
        solution = problem.solve(free)
        wrong = jnp.where(free, solution < -tolerance, problem.slack(solution) < -tolerance)
        return _Pivots(free, solution, wrong, fewest, patience)

    def step(pivots: _Pivots) -> _Pivots:
        amount = jnp.sum(pivots.wrong, dtype=jnp.int32)
        patience = jnp.where(amount < pivots.fewest, 3, pivots.patience - 1).astype(jnp.int32)
        last = jnp.max(jnp.where(pivots.wrong, jnp.arange(number), -1))
        exchanged = jnp.where(patience >= 0, pivots.wrong, jnp.arange(number) == last)
        return at(pivots.free ^ exchanged, jnp.minimum(amount, pivots.fewest), patience)

    first = at(start, jnp.int32(number + 1), jnp.int32(3))
    return bounded_while(lambda p: jnp.any(p.wrong), step, first, max_steps=number + 20)


def _exchange(problem: Problem, active: _Active) -> _Active:
    """One step of Lawson and Hanson: move to the minimiser of the free variables, or to the first that reaches 0."""
    tolerance = problem.tolerance()
    wanted = problem.solve(active.free)
    falling = active.free & (wanted <= 0)
    ratios = jnp.where(
        falling, active.solution / jnp.maximum(active.solution - wanted, jnp.finfo(wanted.dtype).tiny), 1.0
    )
    length = jnp.min(ratios)
    solution = jnp.where(active.free, active.solution + length * (wanted - active.solution), 0.0)
    held = falling & (ratios <= length)
    arrived = ~jnp.any(falling)
    barred = jnp.where(length > 0, False, active.barred | held)
    slack = jnp.where(active.free | barred, jnp.inf, problem.slack(solution))
    enters = (jnp.arange(len(slack)) == jnp.argmin(slack)) & (jnp.min(slack) < -tolerance) & arrived
    free = (active.free & ~held) | enters
    # A variable let go in vain leaves the others where they are: look for the next.
    return _Active(free, jnp.where(free, solution, 0.0), barred, arrived & ~jnp.any(enters))


def inverse_of(matrix: jax.Array, unroll: bool = True) -> jax.Array:
    """The inverse of a small positive definite matrix (T, T), by Gauss and Jordan's steps.

    In place of LAPACK's solvers, whose threads made a batch of forty 40 x 40 systems take 100 times as long on two
    cores. Where it stands in no loop, `unroll=False`, as for `Problem.solve`.
    """
    number = len(matrix)
    unit = jnp.eye(number, dtype=bool)

    def eliminate(k: jax.Array, a: jax.Array) -> jax.Array:
        pivot, row, column = a[k, k], a[k], a[:, k]
        here = unit[k]
        inverse = 1 / pivot
        rest = a - (column * inverse)[:, None] * row
        a = jnp.where(here[:, None], row * inverse, jnp.where(here, -column[:, None] * inverse, rest))
        return jnp.where(here[:, None] & here, inverse, a)

    return jax.lax.fori_loop(0, number, eliminate, matrix, unroll=unroll and number <= 4)


_Going = tuple[Any, jax.Array, jax.Array]  # a value, how many steps were taken, whether it goes on


def bounded_while(condition: Callable[[Any], jax.Array], step: Callable[[Any], Any], start: Any, max_steps: int) -> Any:
    """Steps while the condition holds, `max_steps` at most.

    Off the CPU several steps are taken before it is asked whether to go on, since the answer travels to the host.
    """
    together = 1 if branches_pay() else _TOGETHER

    def following(carry: _Going) -> _Going:
        value, number = step(carry[0]), carry[1] + 1
        return value, number, condition(value) & (number < max_steps)

    def while_it_goes(_: Any, carry: _Going) -> _Going:
        return jax.tree.map(lambda new, old: jnp.where(carry[2], new, old), following(carry), carry)

    def some(carry: _Going) -> _Going:
        return jax.lax.fori_loop(0, together - 1, while_it_goes, following(carry)) if together > 1 else following(carry)

    # Whether it goes on is found once and carried: under `vmap` the loop asks it at two places, and where rounding
    # made them differ it would never end.
    first = (start, jnp.int32(0), condition(start) & (max_steps > 0))
    return jax.lax.while_loop(lambda carry: carry[2], some, first)[0]


def onto_dual_cone(cosines: jax.Array, coefficients: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Projects `x = U^T a` onto the dual cone of the rows of U, `{x : U x >= 0}`.

    Args:
        cosines: `U U^T`, (T, T), rows of unit length or zero.
        coefficients: a, (T,).

    Returns:
        The coefficients of the projection on the rows of U, `a + y` with `y >= 0`, (T,), and whether they are that.
    """
    added = nonnegative_qp(cosines, -dot(cosines, coefficients))
    return coefficients + added.values, added.solved


def min_norm(gramian: Gramian, present: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The weights (T,) on the simplex over present tasks under which `|J^T w|` is smallest, and whether they are that.

    With `y_t = w_t |g_t|` and `a_t = min |g| / |g_t|` it is `argmin over y >= 0 of |U^T y|^2 + (a^T y - 1)^2`, up to a
    factor. Where a row is zero it takes all the weight.
    """
    norms, cosines = gramian
    zero = present & (norms == 0)
    usable = present & (norms > 0)
    inverse = unit_ratio(norms, usable)
    solution = nonnegative_qp(cosines + inverse[:, None] * inverse, inverse)
    weights = solution.values * inverse
    total = jnp.sum(weights)
    number = jnp.maximum(jnp.sum(usable), 1)
    weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1.0), usable / number)
    any_zero = jnp.any(zero)
    return jnp.where(any_zero, zero / jnp.maximum(jnp.sum(zero), 1), weights), solution.solved | any_zero


def unit_ratio(norms: jax.Array, usable: jax.Array) -> jax.Array:
    """The smallest usable norm over each norm, (T,) in [0, 1]; 0 for rows that are not usable."""
    smallest = jnp.min(jnp.where(usable, norms, jnp.inf))
    return jnp.where(usable, smallest / jnp.where(usable, norms, 1.0), 0.0)


def onto_simplex(point: jax.Array, present: jax.Array) -> jax.Array:
    """The nearest point of the simplex over present tasks, (T,); absent ones are 0."""
    # By how far each is below the largest, which moves nothing: of large numbers, rounding would hide the 1.
    point = point - jnp.max(jnp.where(present, point, jnp.finfo(point.dtype).min))
    ordered = jnp.sort(jnp.where(present, point, -jnp.inf))[::-1]
    known = jnp.isfinite(ordered)
    ranks = jnp.arange(1, len(point) + 1)
    excess = (jnp.cumsum(jnp.where(known, ordered, 0.0)) - 1) / ranks
    last = jnp.sum(known & (ordered > excess)) - 1
    return jnp.where(present, jnp.maximum(point - excess[jnp.maximum(last, 0)], 0.0), 0.0)
