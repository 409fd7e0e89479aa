"""FORUM: multi-objective bilevel weighting by first derivatives alone."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.bilevel import Ahead, from_bilevel, rows_of, weighted_sum
from mtljax.balance.gramian import dot
from mtljax.balance.memory import guarded_descent
from mtljax.balance.solvers import quadratic_program

_ITERATIONS = 200  # of the small problem


class FORUMState(NamedTuple):
    """State of `forum`.

    Attributes:
        logits: a, (T,) float32.
        descent: the state of the transformation that moves them, of each task.
        shares: lambda, (T,) float32, on the simplex.
        pull: nu, () float32, the multiplier of the constraint.
        step: int32, steps taken.
    """

    logits: jax.Array
    descent: guarded_descent.Descent
    shares: jax.Array
    pull: jax.Array
    step: jax.Array


def forum(
    num_tasks: int,
    lr: float = 1e-3,
    step_size: float = 0.01,
    steps: int = 1,
    rho: float = 0.3,
    beta: float = 1.0,
    optimizer: optax.GradientTransformation | None = None,
) -> Balancer:
    """Lowers all validation losses F_t, while weighted training losses stay as low as a few steps would get them.

    With `f(a, theta) = sum_t softmax(a)_t L_t(theta)` of the training batch, theta~ reached from theta by `steps` plain
    gradient steps on f, and `q = f(a, theta) - f(a, theta~)`, theta~ held fast: the direction over (a, theta) is
    `d = sum_t lambda_t grad F_t + nu grad q`, `nu = max(rho - <grad q, sum_t lambda_t grad F_t> / |grad q|^2, 0)`, so
    that q falls by at least `rho |grad q|^2`; lambda on the simplex makes `|d|^2 / 2 - nu rho |grad q|^2` least, and is
    averaged, `lambda <- lambda + beta_k (new - lambda)`, `beta_k = beta k^(-3/4)` in step k. No second derivatives. The
    parameters go along d (weights `nu softmax(a)` of training losses and `lambda` of validation losses); a moves by
    Adam. A task that is absent keeps its logit and its lambda.

    Args:
        num_tasks: T, the number of tasks.
        lr: of Adam, which moves a, > 0.
        step_size: of the steps ahead, > 0.
        steps: how many, at least 1.
        rho: how much of the constraint's gradient is to be followed, > 0.
        beta: rate of averaging lambda, above 0, at most 1.
        optimizer: an optax transformation that moves a in the place of Adam.

    Returns:
        An optax `Aggregator` that sees the losses and needs a validation batch: `update(..., ahead=)`, as
        `mtl.balance.look_ahead` makes it. It costs T backward passes through the validation losses and one for each of
        `steps`: with four tasks and one step some five times as much as `equal`. It holds T gradients. The weights in
        its state are lambda.

    Raises:
        ValueError: for numbers out of range, or an optimizer that is none.

    References:
        Ye, Lin, Cao, Zhang and Tsang, A First-Order Multi-Gradient Algorithm for Multi-Objective Bi-Level Optimization,
        ECAI 2024, arXiv 2401.09257.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> losses_fn = lambda x, data: jnp.array([(x - data) ** 2, (x - data) ** 2 / 2])
        >>> balancer, x = mtl.forum(2), jnp.array(1.0)
        >>> ahead = mtl.balance.look_ahead(losses_fn, x, batch=2.0, validation_batch=2.0)
        >>> jacobian = jnp.array([-2.0, -1.0])
        >>> direction, state = jax.jit(lambda state: balancer.update(jacobian, state, x, ahead=ahead))(balancer.init(x))
        >>> print(direction.round(3), state.weights.round(3))  # the flatter loss, along which q falls as well
        -1.0 [0. 1.]
    """
    arguments.positive("forum", lr=lr, step_size=step_size, rho=rho)
    arguments.fraction("forum", beta=beta)
    arguments.whole("forum", 1, steps=steps)
    arguments.check_num_tasks(num_tasks)
    moves = guarded_descent.adam_unless(optimizer, lr)

    def init() -> FORUMState:
        logits = jnp.zeros(num_tasks, jnp.float32)
        descent = guarded_descent.start(moves, logits)
        return FORUMState(logits, descent, among_present.uniform(num_tasks), jnp.float32(0), jnp.int32(0))

    def learn(ahead: Ahead, present: jax.Array, state: FORUMState) -> tuple[FORUMState, tuple]:
        weights = among_present.softmax(state.logits, present)
        lower = jax.lax.stop_gradient(ahead.stepped(weights, step_size, steps))

        def q(logits: jax.Array, params: object) -> jax.Array:
            share = among_present.softmax(logits, present)
            return weighted_sum(share, ahead.training(params)) - weighted_sum(share, ahead.training(lower))

        of_logits, of_params = ahead.total(jax.grad(q, argnums=(0, 1))(state.logits, ahead.params))
        rows = ahead.total(rows_of(lambda p: ahead.validation(p).astype(jnp.float32), ahead.params, num_tasks))
        products, along = _products(rows, of_params)
        size = _squared(of_params) + _squared(of_logits)
        usable = present & (jnp.diagonal(products) > 0)
        found = _shares(products, along, size, rho, usable)
        step = jnp.asarray(optax.safe_increment(state.step))
        rate = beta * step.astype(jnp.float32) ** -0.75
        before = among_present.normalised(state.shares, present)
        shares = before + rate * (jnp.where(jnp.any(usable), found, before) - before)
        pull = _pull(shares, along, size, rho)
        # No derivative passes through the optimiser: where nothing pulls, that of Adam's root of 0 is no number.
        slope = jax.lax.stop_gradient(pull * of_logits)
        logits, descent = guarded_descent.step(moves, state.logits, slope, state.descent, present)
        kept = among_present.remembered(state.shares, shares, present)
        return FORUMState(logits, descent, kept, pull, step), (of_logits, products, along)

    def weights_of(state: FORUMState, present: jax.Array) -> tuple[jax.Array, jax.Array]:
        shares = among_present.normalised(state.shares, present)
        return state.pull * among_present.softmax(state.logits, present), shares

    return from_bilevel(learn, weights_of, num_tasks, init=init)


def _products(rows: Sequence[Any], other: Any) -> tuple[jax.Array, jax.Array]:
    """The inner products of T gradients with each other, (T, T), and with another, (T,)."""
    leaves = [jnp.stack(parts).reshape(len(rows), -1) for parts in zip(*map(jax.tree.leaves, rows), strict=True)]
    leaves = [leaf.astype(jnp.float32) for leaf in leaves]
    others = [leaf.ravel().astype(jnp.float32) for leaf in jax.tree.leaves(other)]
    products = functools.reduce(jnp.add, [dot(leaf, leaf.T) for leaf in leaves])
    return products, functools.reduce(jnp.add, [dot(a, b) for a, b in zip(leaves, others, strict=True)])


def _squared(tree: Any) -> jax.Array:
    """The squared length of a tree, float32."""
    return functools.reduce(jnp.add, [jnp.sum(leaf.astype(jnp.float32) ** 2) for leaf in jax.tree.leaves(tree)])


def _pull(shares: jax.Array, along: jax.Array, size: jax.Array, rho: float) -> jax.Array:
    """nu, by which q falls fast enough; 0 where q does not change."""
    known = jnp.where(size > 0, size, 1.0)
    return jnp.where(size > 0, jnp.maximum(rho - dot(shares, along) / known, 0.0), 0.0)


def _shares(products: jax.Array, along: jax.Array, size: jax.Array, rho: float, usable: jax.Array) -> jax.Array:
    """lambda, by accelerated projected descent: the problem is convex, its curvature at most that of the products."""
    both = usable[:, None] & usable
    products, along = jnp.where(both, products, 0.0), jnp.where(usable, along, 0.0)
    curvature = jnp.maximum(jnp.trace(products), jnp.finfo(products.dtype).tiny)

    def step(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        shares, ahead = carry
        slope = dot(products, ahead) + _pull(ahead, along, size, rho) * along
        new = quadratic_program.onto_simplex(ahead - slope / curvature, usable)
        return new, new + i / (i + 3) * (new - shares)

    start = among_present.normalised(usable.astype(products.dtype), usable)
    return jax.lax.fori_loop(0, _ITERATIONS, step, (start, start))[0]
