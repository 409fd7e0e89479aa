"""FORUM: multi-objective bilevel weighting by first derivatives alone."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtljax.balance import among_present, arguments
from mtljax.balance import normalise as divisors
from mtljax.balance.balancer import Balancer
from mtljax.balance.bilevel import Ahead, from_bilevel, rows_of, weighted_sum
from mtljax.balance.gramian import dot, root
from mtljax.balance.memory import guarded_descent
from mtljax.balance.solvers import quadratic_program

_ITERATIONS = 200  # of the small problem


class FORUMState(NamedTuple):
    """State of `forum`.

    Attributes:
        logits: a, (T,) float32.
        descent: the state of the transformation that moves them, of each task.
        shares: lambda, (T,) float32, on the simplex.
        scales: what each validation gradient is multiplied by, (T,) float32.
        pull: nu, () float32, the multiplier of the constraint.
        step: int32, steps taken.
    """

    logits: jax.Array
    descent: guarded_descent.Descent
    shares: jax.Array
    scales: jax.Array
    pull: jax.Array
    step: jax.Array


def forum(
    num_tasks: int,
    lr: float = 1e-3,
    step_size: float = 0.01,
    steps: int = 1,
    rho: float = 0.1,
    beta: float = 1.0,
    every: int = 1,
    normalise: divisors.Normalise = "none",
    optimizer: optax.GradientTransformation | None = None,
) -> Balancer:
    """Lowers all validation losses F_t, while weighted training losses stay as low as a few steps would get them.

    With `f(a, theta) = sum_t softmax(a)_t L_t(theta)` of the training batch, theta~ reached from theta by `steps` plain
    gradient steps on f, and `q = f(a, theta) - f(a, theta~)`, theta~ held fast: of all d over (a, theta) along which q
    falls by `<grad q, d> >= rho |grad q|^2` it is the one that makes `|d|^2 / 2 - min_t <grad F_t, d>` least:
    `d = sum_t lambda_t grad F_t + nu grad q`, `nu = max(rho - <grad q, sum_t lambda_t grad F_t> / |grad q|^2, 0)`, with
    lambda on the simplex where `|d|^2 / 2 - nu rho |grad q|^2` is least. Then lambda is averaged,
    `lambda <- lambda + beta_k (new - lambda)`, `beta_k = beta k^(-3/4)`. No second derivatives. The parameters go along
    d (weights `nu softmax(a)` of training losses and `lambda` of validation losses); a moves by Adam. A task that is
    absent keeps its logit and its lambda.

    Args:
        num_tasks: T, the number of tasks.
        lr: of Adam, which moves a, > 0.
        step_size: of the steps ahead, > 0.
        steps: how many, at least 1.
        rho: how much of the constraint's gradient is to be followed, > 0.
        beta: rate of averaging lambda, above 0, at most 1.
        every: k grows by one each so many steps, at least 1.
        normalise: what each grad F_t is divided by: `none`; `l2`, its norm; `loss`, F_t; `loss+`, both.
        optimizer: an optax transformation that moves a in the place of Adam.

    Returns:
        An optax `Aggregator` that sees the losses and needs a validation batch: `update(..., ahead=)`, as
        `mtl.balance.look_ahead` makes it. It costs T backward passes through the validation losses and one for each of
        `steps`: with four tasks and one step some five times as much as `equal`. It holds T gradients. The weights in
        its state are those of the validation losses.

    Raises:
        ValueError: for numbers out of range, an unknown `normalise`, or an optimizer that is none.

    References:
        Ye, Lin, Cao, Zhang and Tsang, A First-Order Multi-Gradient Algorithm for Multi-Objective Bi-Level Optimization,
        ECAI 2024, arXiv 2401.09257, algorithm 1 and section 3.2. They ask of q for `phi = rho |grad q|^2 / 2`, and take
        twice that in nu and once in the problem for lambda; here it is twice that in both, so that d solves the problem
        they begin with. In their code for multi-task learning `normalise='l2'`, `steps=5`, `step_size=0.1` (0.01 for
        QM9), and k counts epochs.

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
    arguments.whole("forum", 1, steps=steps, every=every)
    arguments.check_num_tasks(num_tasks)
    divisors.check("forum", normalise)
    moves = guarded_descent.adam_unless(optimizer, lr)

    def init() -> FORUMState:
        logits = jnp.zeros(num_tasks, jnp.float32)
        descent = guarded_descent.start(moves, logits)
        shares, scales = among_present.uniform(num_tasks), jnp.ones(num_tasks, jnp.float32)
        return FORUMState(logits, descent, shares, scales, jnp.float32(0), jnp.int32(0))

    def learn(ahead: Ahead, present: jax.Array, state: FORUMState) -> tuple[FORUMState, tuple]:
        of_logits, of_params = _slope_of_q(ahead, state.logits, present, step_size, steps)
        there = rows_of(lambda p: ahead.validation(p).astype(jnp.float32), ahead.params, num_tasks)
        losses, rows = ahead.total(there)
        products, along, scales = _products(losses, rows, of_params, normalise)
        size = _squared(of_params) + _squared(of_logits)
        usable = present & (jnp.diagonal(products) > 0)
        found = _shares(products, along, size, rho, usable)
        step = jnp.asarray(optax.safe_increment(state.step))
        rate = beta * (1 + (step - 1) // every).astype(jnp.float32) ** -0.75
        before = among_present.normalised(state.shares, present)
        shares = before + rate * (jnp.where(jnp.any(usable), found, before) - before)
        pull = _pull(shares, along, size, rho)
        # No derivative passes through the optimiser: where nothing pulls, that of Adam's root of 0 is no number.
        slope = jax.lax.stop_gradient(pull * of_logits)
        logits, descent = guarded_descent.step(moves, state.logits, slope, state.descent, present)
        kept = among_present.remembered(state.shares, shares, present)
        return FORUMState(logits, descent, kept, scales, pull, step), (of_logits, products, along)

    def weights_of(state: FORUMState, present: jax.Array) -> tuple[jax.Array, jax.Array]:
        shares = among_present.normalised(state.shares, present)
        return state.pull * among_present.softmax(state.logits, present), shares * state.scales

    return from_bilevel(learn, weights_of, num_tasks, init=init)


def _slope_of_q(
    ahead: Ahead, logits: jax.Array, present: jax.Array, step_size: float, steps: int
) -> tuple[jax.Array, Any]:
    """The derivatives of q in the logits and in the parameters."""
    weights = among_present.softmax(logits, present)
    lower = jax.lax.stop_gradient(ahead.stepped(weights, step_size, steps))

    def q(logits: jax.Array, params: Any) -> jax.Array:
        share = among_present.softmax(logits, present)
        return weighted_sum(share, ahead.training(params)) - weighted_sum(share, ahead.training(lower))

    return ahead.total(jax.grad(q, argnums=(0, 1))(logits, ahead.params))


def _products(
    losses: jax.Array, rows: Sequence[Any], other: Any, normalise: divisors.Normalise
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The inner products of T gradients, normalised, with each other, (T, T), and with another, (T,); their factors."""
    leaves = [jnp.stack(parts).reshape(len(rows), -1) for parts in zip(*map(jax.tree.leaves, rows), strict=True)]
    leaves = [leaf.astype(jnp.float32) for leaf in leaves]
    others = [leaf.ravel().astype(jnp.float32) for leaf in jax.tree.leaves(other)]
    products = functools.reduce(jnp.add, [dot(leaf, leaf.T) for leaf in leaves])
    along = functools.reduce(jnp.add, [dot(a, b) for a, b in zip(leaves, others, strict=True)])
    norms = root(jnp.diagonal(products))
    scales = jnp.where(norms > 0, divisors.divided(norms, losses, normalise) / jnp.where(norms > 0, norms, 1.0), 0.0)
    return products * scales[:, None] * scales, along * scales, scales


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
