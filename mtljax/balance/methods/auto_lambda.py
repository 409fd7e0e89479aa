"""Auto-Lambda: loss weights that lower the validation losses of primary tasks after the next step."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.bilevel import Ahead, from_bilevel, weighted_sum
from mtljax.balance.memory import guarded_descent


class AutoLambdaState(NamedTuple):
    """State of `auto_lambda`.

    Attributes:
        weights: lambda, (T,) float32.
        descent: the state of the transformation that moves them, of each task.
    """

    weights: jax.Array
    descent: guarded_descent.Descent


def auto_lambda(
    num_tasks: int,
    lr: float = 1e-4,
    step_size: float = 0.01,
    start: float = 0.1,
    primary: Sequence[str | int] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """Learns loss weights by the validation losses of the primary tasks, one training step ahead.

    Before each step lambda moves along the gradient of `sum over primary p of L_p(theta'; validation batch)`, with
    `theta' = theta - step_size * grad sum_t lambda_t L_t(theta; batch)`, which is
    `-step_size <grad L_t(theta; batch), grad L_primary(theta'; validation batch)>`; then the losses of the batch are
    weighted by lambda, which is kept at 0 or above. A task that is absent keeps its weight.

    Args:
        num_tasks: T, the number of tasks.
        lr: of Adam, which moves lambda, > 0.
        step_size: of the step ahead, > 0; best near the learning rate of the parameters.
        start: lambda before the first step, > 0.
        primary: names or places of the tasks that count; all by default.
        optimizer: an optax transformation that moves lambda in the place of Adam.
        tasks: the tasks' names in the order of the losses, with which `primary` may be names.

    Returns:
        An optax `Aggregator` that sees the losses and needs a validation batch: `update(..., ahead=)`, as
        `mtl.balance.look_ahead` makes it. It costs some 3.3 times as much as `equal`.

    Raises:
        ValueError: for numbers out of range, an unknown task, or an optimizer that is none.

    References:
        Liu, James, Davison and Johns, Auto-Lambda: Disentangling Dynamic Task Relationships, TMLR 2022,
        arXiv 2202.03091. Start and rate are those of the authors' code for dense prediction (3e-4 for CIFAR-100). It
        finds the derivative by finite differences, here it is exact; its step ahead is one of the optimiser of the
        moment (learning rate, momentum, weight decay), here a plain one; its lambda may fall below 0, which pushes a
        loss up without end; and its validation batch is of the training examples, in another order.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl, optax
        >>> losses_fn = lambda x, data: jnp.array([(x - data) ** 2, x**2])  # the second task pulls away from the data
        >>> balancer, x = mtl.auto_lambda(2, step_size=0.1, primary=(0,), optimizer=optax.sgd(0.5)), jnp.array(1.0)
        >>> ahead = mtl.balance.look_ahead(losses_fn, x, batch=2.0, validation_batch=2.0)
        >>> jacobian = jnp.array([-2.0, 2.0])
        >>> _, state = jax.jit(lambda state: balancer.update(jacobian, state, x, ahead=ahead))(balancer.init(x))
        >>> print(state.weights.round(3))
        [0.3 0. ]
    """
    arguments.positive("auto_lambda", lr=lr, step_size=step_size, start=start)
    chosen = _primary(num_tasks, primary, tasks)
    moves = guarded_descent.adam_unless(optimizer, lr)

    def init() -> AutoLambdaState:
        weights = jnp.full(num_tasks, start, jnp.float32)
        return AutoLambdaState(weights, guarded_descent.start(moves, weights))

    def learn(ahead: Ahead, present: jax.Array, state: AutoLambdaState) -> tuple[AutoLambdaState, jax.Array]:
        def after(weights: jax.Array) -> jax.Array:
            params = ahead.stepped(jnp.where(present, weights, 0.0), step_size)
            return weighted_sum(chosen.astype(jnp.float32), ahead.validation(params))

        gradient = ahead.total(jax.grad(after)(state.weights))
        weights, descent = guarded_descent.step(moves, state.weights, gradient, state.descent, present)
        return AutoLambdaState(jnp.maximum(weights, 0.0), descent), gradient

    return from_bilevel(learn, lambda state, present: (state.weights, None), num_tasks, init=init)


def _primary(num_tasks: int, primary: Sequence[str | int] | None, tasks: Sequence[str] | None) -> jax.Array:
    """Which tasks count, (T,) bool."""
    arguments.check_num_tasks(num_tasks)
    if primary is None:
        return jnp.ones(num_tasks, bool)
    if isinstance(primary, str) or not len(primary):
        raise ValueError(f"auto_lambda(primary={primary!r}): expected a list of tasks, at least one.")
    places = [arguments.index("auto_lambda", "primary", one, tasks) for one in primary]
    for place in places:
        arguments.whole("auto_lambda", 0, primary=place)
        if place >= num_tasks:
            raise ValueError(f"auto_lambda(primary=...): there is no task {place}; there are {num_tasks} tasks.")
    return jnp.zeros(num_tasks, bool).at[jnp.array(places)].set(True)
