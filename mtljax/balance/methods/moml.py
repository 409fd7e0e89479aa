"""MOML: loss weights that lower all validation losses together, by multi-objective descent."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtljax.balance import among_present, arguments
from mtljax.balance import normalise as divisors
from mtljax.balance.balancer import Balancer
from mtljax.balance.bilevel import Ahead, from_bilevel, rows_of
from mtljax.balance.gramian import Gramian, dot, gramian
from mtljax.balance.memory import guarded_descent
from mtljax.balance.solvers import quadratic_program


class MOMLState(NamedTuple):
    """State of `moml`.

    Attributes:
        logits: a, (T,) float32.
        descent: the state of the transformation that moves them, of each task.
    """

    logits: jax.Array
    descent: guarded_descent.Descent


def moml(
    num_tasks: int,
    lr: float = 1e-3,
    step_size: float = 0.01,
    steps: int = 1,
    normalise: divisors.Normalise = "none",
    optimizer: optax.GradientTransformation | None = None,
) -> Balancer:
    """Learns loss weights by the validation losses of all tasks at once, some training steps ahead.

    The weights are `alpha = softmax(a)`. Before each step, theta' is reached by `steps` plain gradient steps on
    `sum_t alpha_t L_t` from theta; H (T, T) holds the derivatives of each validation loss at theta' in a, through all
    of these steps; and a moves along `H^T gamma`, the shortest vector in the hull of H's rows (MGDA). A task that is
    absent keeps its logit; one without a label in the validation batch has no part in gamma.

    Args:
        num_tasks: T, the number of tasks.
        lr: of Adam, which moves a, > 0.
        step_size: of the steps ahead, > 0; best near the learning rate of the parameters.
        steps: how many, at least 1. From the second on, H holds second derivatives.
        normalise: what each row of H is divided by while gamma is sought: `none`; `l2`, its norm; `loss`, its
            validation loss; `loss+`, both.
        optimizer: an optax transformation that moves a in the place of Adam.

    Returns:
        An optax `Aggregator` that sees the losses and needs a validation batch: `update(..., ahead=)`, as
        `mtl.balance.look_ahead` makes it. It costs T backward passes through the validation losses and the steps ahead:
        with four tasks and one step some 6.4 times as much as `equal`.

    Raises:
        ValueError: for numbers out of range, an unknown `normalise`, or an optimizer that is none.

    References:
        Ye, Lin, Yue, Guo, Xiao and Zhang, Multi-Objective Meta Learning, NeurIPS 2021, arXiv 2102.07121. In their code
        for multi-task learning: one step ahead, as long as the learning rate; `l2` for Office and `loss` for NYUv2;
        Adam at 1e-3 and 1e-4; and the parameters are trained on both batches, not on that of training alone.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> losses_fn = lambda x, data: jnp.array([(x - data) ** 2, (x - data) ** 2 / 2])
        >>> balancer, x = mtl.moml(2, step_size=0.1), jnp.array(1.0)
        >>> ahead = mtl.balance.look_ahead(losses_fn, x, batch=2.0, validation_batch=2.0)
        >>> jacobian = jnp.array([-2.0, -1.0])
        >>> _, state = jax.jit(lambda state: balancer.update(jacobian, state, x, ahead=ahead))(balancer.init(x))
        >>> bool(state.weights[0] > state.weights[1])  # the steeper loss helps both more
        True
    """
    arguments.positive("moml", lr=lr, step_size=step_size)
    arguments.whole("moml", 1, steps=steps)
    arguments.check_num_tasks(num_tasks)
    divisors.check("moml", normalise)
    moves = guarded_descent.adam_unless(optimizer, lr)

    def init() -> MOMLState:
        logits = jnp.zeros(num_tasks, jnp.float32)
        return MOMLState(logits, guarded_descent.start(moves, logits))

    def learn(ahead: Ahead, present: jax.Array, state: MOMLState) -> tuple[MOMLState, jax.Array]:
        def after(logits: jax.Array) -> jax.Array:
            params = ahead.stepped(among_present.softmax(logits, present), step_size, steps)
            return ahead.validation(params).astype(jnp.float32)

        losses, rows = rows_of(after, state.logits, num_tasks)
        losses, hyper = ahead.total((losses, jnp.stack(rows)))
        seen = gramian(hyper, state.logits, num_tasks)
        seen = Gramian(divisors.divided(seen.norms, losses, normalise), seen.cosines)
        shares, _ = quadratic_program.min_norm(seen, present & (seen.norms > 0))
        gradient = dot(shares, jnp.where((shares > 0)[:, None], hyper, 0.0)).astype(jnp.float32)
        logits, descent = guarded_descent.step(moves, state.logits, gradient, state.descent, present)
        return MOMLState(logits, descent), hyper

    def weights_of(state: MOMLState, present: jax.Array) -> tuple[jax.Array, None]:
        return among_present.softmax(state.logits, present), None

    return from_bilevel(learn, weights_of, num_tasks, init=init)
